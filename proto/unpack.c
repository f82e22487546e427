/* unpack.c - see unpack.h. */
#include "unpack.h"

#include <stdint.h>
#include <stdlib.h>

static void *budget_alloc(void *ctx, size_t size)
{
    struct unpack_budget *self = ctx;
    size_t rounded;

    if (size > self->left)
        return NULL;
    self->left -= size;
    rounded = (size + 15) & ~(size_t)15;
    if (rounded <= sizeof self->near - self->near_used) {
        void *p = self->near + self->near_used;

        self->near_used += rounded;
        return p;
    }
    void *p = malloc(size > 0 ? size : 1);

    self->no_memory |= p == NULL;
    return p;
}

static void budget_free(void *ctx, void *p)
{
    struct unpack_budget *self = ctx;
    uintptr_t at = (uintptr_t)p, near = (uintptr_t)self->near;

    if (at >= near && at < near + sizeof self->near)
        return; /* goes with the budget */
    free(p);
}

void unpack_budget_init(struct unpack_budget *self, size_t bytes)
{
    self->allocator.alloc = budget_alloc;
    self->allocator.free = budget_free;
    self->allocator.allocator_data = self;
    self->left = bytes;
    self->near_used = 0;
    self->no_memory = false;
}

int unpack_budget_error(const struct unpack_budget *self, struct why *why)
{
    return self->no_memory ? why_set(why, FARM_ENOMEM, "no memory to unpack a message") : FARM_OK;
}
