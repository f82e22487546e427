/* trust.c - see trust.h. */
#include "trust.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define META "trust" /* a line for each: name, strikes */

void trust_release(struct trust *self)
{
    free(self->workers);
    *self = (struct trust){.n = 0};
}

static struct strikes *find(const struct trust *self, const char *worker)
{
    for (size_t i = 0; i < self->n; i++)
        if (strcmp(self->workers[i].worker, worker) == 0)
            return &self->workers[i];
    return NULL;
}

static struct strikes *get(struct trust *self, const char *worker)
{
    struct strikes *found = find(self, worker);

    if (found != NULL)
        return found;
    if (self->n == self->room) {
        size_t room = self->room > 0 ? 2 * self->room : 8;
        struct strikes *bigger = realloc(self->workers, room * sizeof *bigger);

        if (bigger == NULL)
            return NULL;
        self->workers = bigger;
        self->room = room;
    }
    found = &self->workers[self->n++];
    *found = (struct strikes){.n = 0};
    (void)snprintf(found->worker, sizeof found->worker, "%s", worker);
    return found;
}

static int save(const struct trust *self, struct store *store)
{
    char *text = NULL;
    size_t len = 0;
    FILE *f = open_memstream(&text, &len);
    int rc = f != NULL ? FARM_OK : FARM_ENOMEM;

    for (size_t i = 0; rc == FARM_OK && i < self->n; i++)
        (void)fprintf(f, "%s %" PRIu32 "\n", self->workers[i].worker, self->workers[i].n);
    if (f != NULL && fclose(f) != 0)
        rc = FARM_ENOMEM;
    if (rc == FARM_OK)
        rc = store_put_meta(store, META, text);
    free(text);
    return rc;
}

/* It has all its strikes. */
static void put_out(struct trust *self, const struct strikes *s)
{
    self->n_out++;
    self->bits_out |= worker_bit(s->worker);
}

int trust_open(struct trust *self, struct store *store)
{
    char *text = NULL;
    int rc = store_get_meta(store, META, &text);

    if (rc != FARM_OK)
        return rc == FARM_ENOTFOUND ? FARM_OK : rc;
    for (char *line = text, *end; rc == FARM_OK && *line != '\0'; line = end + (*end != '\0')) {
        char *number = line + strcspn(line, " \n");
        struct strikes *s;

        end = number + strcspn(number, "\n");
        if (*number != ' ') { /* no line of ours */
            rc = FARM_ECORRUPT;
            break;
        }
        *number = '\0';
        if ((s = get(self, line)) == NULL)
            rc = FARM_ENOMEM;
        else if ((s->n = (uint32_t)strtoul(number + 1, NULL, 10)) >= TRUST_STRIKES)
            put_out(self, s);
    }
    free(text);
    return rc;
}

bool trust_allows(const struct trust *self, const char *worker)
{
    const struct strikes *s = self->n_out > 0 ? find(self, worker) : NULL;

    return s == NULL || s->n < TRUST_STRIKES;
}

int trust_strike(struct trust *self, struct store *store, const char *worker, bool exact,
                 bool *lost)
{
    struct strikes *s = get(self, worker);

    *lost = false;
    if (s == NULL)
        return FARM_ENOMEM;
    if (s->n >= TRUST_STRIKES)
        return FARM_OK;
    s->n = exact ? TRUST_STRIKES : s->n + 1;
    *lost = s->n >= TRUST_STRIKES;
    if (*lost)
        put_out(self, s);
    return save(self, store);
}
