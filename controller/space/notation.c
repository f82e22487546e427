/* notation.c - a whole genome as text: the architecture as its space writes it, and what is tuned behind it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tune.h"

char *space_notation(const struct space *self, const struct genome *genome)
{
    char *network = self->ops->notation(self, genome), *out;
    size_t len, room;

    if (network == NULL || self->n_tuned == 0)
        return network;
    len = strlen(network);
    room = len + 2 + self->n_tuned * (sizeof self->dims[0].name + 34);
    if ((out = malloc(room)) != NULL)
        memcpy(out, network, len + 1);
    for (uint32_t i = self->n_dims - self->n_tuned; out != NULL && i < self->n_dims; i++) {
        char value[32];

        len += (size_t)snprintf(out + len, room - len, "%c%s=%s",
                                i == self->n_dims - self->n_tuned ? ';' : ',', self->dims[i].name,
                                dim_text(&self->dims[i], genome->gene[i], value));
    }
    free(network);
    return out;
}

static int parse_tuned(const struct space *self, const char *text, struct genome *genome,
                       struct why *why)
{
    int rc = FARM_OK;

    while (*text != '\0' && rc == FARM_OK) {
        size_t len = strcspn(text, ","), name = strcspn(text, "=,");
        uint32_t i = self->n_dims - self->n_tuned;

        while (i < self->n_dims &&
               !(strlen(self->dims[i].name) == name && memcmp(self->dims[i].name, text, name) == 0))
            i++;
        if (i == self->n_dims || text[name] != '=')
            return why_set(why, FARM_EGENOME, "'%.*s' is no setting that is tuned here",
                           (int)(len < 60 ? len : 60), text);
        rc = tune_parse(&self->dims[i], text + name + 1, len - name - 1, &genome->gene[i], why);
        text += len + (text[len] == ',');
    }
    return rc;
}

/* The architecture's genes and room for the tuned ones, which have the usual values. */
static struct genome *with_tuned(const struct space *self, const struct genome *network)
{
    struct genome *out = genome_create(self->n_dims);
    struct recipe usual;

    recipe_init(&usual);
    for (uint32_t i = 0; out != NULL && i < self->n_dims; i++)
        out->gene[i] = i < network->n ? network->gene[i] : tune_gene_of(&self->dims[i], &usual);
    return out;
}

struct genome *space_parse(const struct space *self, const char *text, struct why *why)
{
    const char *behind = strchr(text, ';');
    char *network;
    struct genome *arch = NULL, *out = NULL;

    if (self->n_tuned == 0)
        return self->ops->parse(self, text, why);
    network = behind != NULL ? strndup(text, (size_t)(behind - text)) : strdup(text);
    if (network != NULL && (arch = self->ops->parse(self, network, why)) != NULL)
        out = with_tuned(self, arch);
    if (network == NULL || (arch != NULL && out == NULL))
        (void)why_set(why, FARM_ENOMEM, "out of memory for a genome");
    if (out != NULL && behind != NULL && parse_tuned(self, behind + 1, out, why) != FARM_OK) {
        free(out);
        out = NULL;
    }
    free(arch);
    free(network);
    return out;
}
