/* paused.c - see paused.h. */
#include "paused.h"

#include <stdio.h>
#include <string.h>

#define ISA_BYTES sizeof((struct paused *)0)->isa

/* What is no array of floats; each field is a record of its own, of 64-bit words. */
struct words {
    uint64_t position
        [6]; /* epochs, step, images, the network's, the optimizer's and the averages' step */
    uint64_t numbers[4]; /* train_loss, fitness, loss, train_s: the bits of doubles */
    uint64_t isa[ISA_BYTES / 8];
};

static void write_words(const struct paused *self, struct words *words)
{
    const double numbers[4] = {self->train_loss, self->fitness, self->loss, self->train_s};

    words->position[0] = self->epochs;
    words->position[1] = self->step;
    words->position[2] = self->images;
    words->position[3] = net_step(self->net);
    words->position[4] = optimizer_steps(self->optimizer);
    words->position[5] = self->ema != NULL ? ema_updates(self->ema) : 0;
    memcpy(words->numbers, numbers, sizeof numbers);
    for (size_t i = 0; i < ISA_BYTES;
         i++) /* the first character is the lowest byte on any machine */
        words->isa[i / 8] |= (uint64_t)(uint8_t)self->isa[i] << 8 * (i % 8);
}

static void list_all(const struct paused *self, struct words *words, struct blob_list *list)
{
    for (size_t i = 0; i < net_n_params(self->net); i++) {
        struct net_param *p = net_param(self->net, i);

        blob_list_add(list, "value", p->name, p->shape, p->value, p->n);
    }
    optimizer_list(self->optimizer, list);
    if (self->ema != NULL)
        ema_list(self->ema, list);
    blob_list_add_wide(list, "position", words->position, 6);
    blob_list_add_wide(list, "numbers", words->numbers, 4);
    blob_list_add_wide(list, "isa", words->isa, ISA_BYTES / 8);
}

/* Of the graph, the recipe, and the images with all that is drawn for them. */
static int identify(const struct paused *self, struct digest digests[3])
{
    uint8_t origin[16];

    for (int i = 0; i < 8; i++) {
        origin[i] = (uint8_t)(self->seed >> 8 * i);
        origin[8 + i] = (uint8_t)(self->fingerprint >> 8 * i);
    }
    digests[0] = *net_graph_hash(self->net);
    digest_of(&digests[2], origin, sizeof origin);
    return recipe_digest(self->recipe, &digests[1]);
}

int paused_pack(const struct paused *self, uint8_t **bytes, size_t *len)
{
    struct blob_list list = {0};
    struct words words = {0};
    struct digest digests[3];
    const struct blob_record *records;
    int rc = identify(self, digests);

    write_words(self, &words);
    list_all(self, &words, &list);
    records = blob_list_records(&list);
    if (rc == FARM_OK)
        rc = records != NULL ? blob_pack(&BLOB_PAUSED, digests, records, list.n, bytes, len)
                             : FARM_ENOMEM;
    blob_list_release(&list);
    return rc;
}

static int check_identity(const struct digest ours[3], const uint8_t *bytes, struct why *why)
{
    static const char *const what[] = {"network", "recipe", "data set, or with another seed"};

    for (uint32_t i = 0; i < 3; i++) {
        struct digest theirs = blob_digest(bytes, i);

        if (memcmp(ours[i].bytes, theirs.bytes, sizeof theirs.bytes) != 0)
            return why_set(why, FARM_EINPUT,
                           "the paused training cannot go on here: it was of another %s", what[i]);
    }
    return FARM_OK;
}

/* Names and plus signs, nothing else; `here` is added unless it is there. */
static void join_isa(char out[ISA_BYTES], const uint64_t words[ISA_BYTES / 8], const char *here)
{
    char names[ISA_BYTES], probe[ISA_BYTES + 2], sought[ISA_BYTES + 2];
    size_t n = 0;

    for (size_t i = 0; i < ISA_BYTES - 1; i++) {
        char c = (char)(words[i / 8] >> 8 * (i % 8) & 0xff);

        if (c == '\0')
            break;
        names[n++] = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == '+' ? c : '?';
    }
    names[n] = '\0';
    (void)snprintf(probe, sizeof probe, "+%s+", names);
    (void)snprintf(sought, sizeof sought, "+%.*s+", (int)ISA_BYTES - 1, here);
    if (strstr(probe, sought) != NULL)
        (void)snprintf(out, ISA_BYTES, "%s", names);
    else
        (void)snprintf(out, ISA_BYTES, "%s%s%s", names, n > 0 ? "+" : "", here);
}

static void read_words(struct paused *self, const struct words *words, const char *here)
{
    double numbers[4];

    memcpy(numbers, words->numbers, sizeof numbers);
    self->epochs = words->position[0];
    self->step = words->position[1];
    self->images = words->position[2];
    net_set_step(self->net, words->position[3]);
    optimizer_set_steps(self->optimizer, words->position[4]);
    if (self->ema != NULL)
        ema_set_updates(self->ema, words->position[5]);
    self->train_loss = numbers[0];
    self->fitness = numbers[1];
    self->loss = numbers[2];
    self->train_s = numbers[3];
    join_isa(self->isa, words->isa, here);
}

int paused_unpack(struct paused *self, const char *here, const uint8_t *bytes, size_t len,
                  struct why *why)
{
    struct blob_list list = {0};
    struct words words = {0};
    struct digest digests[3];
    const struct blob_record *records;
    int rc;

    if ((rc = blob_check(&BLOB_PAUSED, bytes, len, why)) != FARM_OK)
        return rc;
    if ((rc = identify(self, digests)) != FARM_OK)
        return why_set(why, rc, "out of memory for a paused training");
    if ((rc = check_identity(digests, bytes, why)) != FARM_OK)
        return rc;
    list_all(self, &words, &list);
    if ((records = blob_list_records(&list)) == NULL)
        rc = why_set(why, FARM_ENOMEM, "out of memory for a paused training");
    else
        rc = blob_unpack(&BLOB_PAUSED, &digests[0], records, list.n, bytes, len, why);
    if (rc == FARM_OK)
        read_words(self, &words, here);
    blob_list_release(&list);
    return rc;
}
