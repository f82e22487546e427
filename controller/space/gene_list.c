/* gene_list.c - see gene_list.h. */
#include "gene_list.h"

#include <stdlib.h>
#include <string.h>

#include "skeleton.h"

/* What stands between the gene before, of group `before`, and this one. */
static const char *separator(const struct dim *d, bool first, uint32_t before)
{
    return first ? "" : d->group == before ? "," : "|";
}

char *gene_list_notation(const struct space *self, const struct genome *genome)
{
    uint32_t n = self->n_dims - self->n_tuned, before = 0;
    char *text = malloc((size_t)n * 34 + 1), *at = text, room[32];
    bool first = true;

    if (text == NULL)
        return NULL;
    for (uint32_t i = 0; i < n; i++) {
        const struct dim *d = &self->dims[i];

        if (!space_active(self, genome, i))
            continue;
        at = stpcpy(at, separator(d, first, before));
        at = stpcpy(at, dim_text(d, genome->gene[i], room));
        before = d->group;
        first = false;
    }
    *at = '\0';
    return text;
}

static double first_value(const struct dim *d)
{
    return d->kind == DIM_CATEGORICAL ? 0 : d->lo;
}

static bool take_number(struct notation_cursor *c, const struct dim *d, double *out)
{
    char *end;
    double v = strtod(c->at, &end);

    if (end == c->at || v < d->lo || v > d->hi || (d->kind == DIM_INTEGER && v != (double)(long)v))
        return notation_refuse(c, "a number in its range");
    c->at = end;
    *out = v;
    return true;
}

/* A label ends at "," or "|" or the end. */
static bool take_gene(struct notation_cursor *c, const struct dim *d, double *out)
{
    char stop = c->at[strcspn(c->at, ",|")];
    bool ok;

    if (d->labels == NULL)
        return take_number(c, d, out);
    ok = notation_label(c, d->labels, (uint32_t)dim_values(d), stop, out);
    if (ok && d->kind == DIM_INTEGER)
        *out += d->lo;
    return ok;
}

struct genome *gene_list_parse(const struct space *self, const char *text, struct why *why)
{
    uint32_t n = self->n_dims - self->n_tuned, before = 0;
    struct notation_cursor c = {text, text, why};
    struct genome *genome = genome_create(n);
    bool ok = genome != NULL, first = true;

    if (!ok)
        (void)why_set(why, FARM_ENOMEM, "out of memory for a genome");
    for (uint32_t i = 0; i < n && ok; i++) {
        const struct dim *d = &self->dims[i];

        genome->gene[i] = first_value(d);
        if (!space_active(self, genome, i))
            continue;
        ok = notation_expect(&c, separator(d, first, before)) && take_gene(&c, d, &genome->gene[i]);
        before = d->group;
        first = false;
    }
    if (ok && notation_end(&c))
        return genome;
    free(genome);
    return NULL;
}
