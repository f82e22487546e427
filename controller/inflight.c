#include "inflight.h"

#include <assert.h>
#include <stdlib.h>

struct list {
    struct inflight_task *first, *last;
    size_t n;
};

struct inflight {
    struct inflight_task **slots; /* open addressing, linear probing, at most half full */
    size_t n_slots, n;
    struct list queue, published;
};

static void list_append(struct list *list, struct inflight_task *task)
{
    task->next = NULL;
    task->prev = list->last;
    *(list->last ? &list->last->next : &list->first) = task;
    list->last = task;
    list->n++;
}

static void list_prepend(struct list *list, struct inflight_task *task)
{
    task->prev = NULL;
    task->next = list->first;
    *(list->first ? &list->first->prev : &list->last) = task;
    list->first = task;
    list->n++;
}

static void list_remove(struct list *list, struct inflight_task *task)
{
    *(task->prev ? &task->prev->next : &list->first) = task->next;
    *(task->next ? &task->next->prev : &list->last) = task->prev;
    list->n--;
}

int inflight_create(struct inflight **out)
{
    struct inflight *self = calloc(1, sizeof *self);
    if (self == NULL)
        return FARM_ENOMEM;
    self->n_slots = 256;
    self->slots = calloc(self->n_slots, sizeof(struct inflight_task *));
    if (self->slots == NULL) {
        free(self);
        return FARM_ENOMEM;
    }
    *out = self;
    return FARM_OK;
}

static void task_free(struct inflight_task *task)
{
    zmq_msg_close(&task->payload);
    zmq_msg_close(&task->blob);
    free(task);
}

void inflight_destroy(struct inflight **self)
{
    if (*self == NULL)
        return;
    for (size_t i = 0; i < (*self)->n_slots; i++)
        if ((*self)->slots[i] != NULL)
            task_free((*self)->slots[i]);
    free((*self)->slots);
    free(*self);
    *self = NULL;
}

/* Where the key is, or the hole where it would go. */
static size_t slot_of(const struct inflight *self, const struct wire_key *key)
{
    size_t i = wire_key_hash(key) & (self->n_slots - 1);
    while (self->slots[i] != NULL && !wire_key_equal(&self->slots[i]->key, key))
        i = (i + 1) & (self->n_slots - 1);
    return i;
}

static int grow(struct inflight *self)
{
    struct inflight_task **old = self->slots;
    size_t n_old = self->n_slots;
    struct inflight_task **slots = calloc(2 * n_old, sizeof(struct inflight_task *));
    if (slots == NULL)
        return FARM_ENOMEM;
    self->slots = slots;
    self->n_slots = 2 * n_old;
    for (size_t i = 0; i < n_old; i++)
        if (old[i] != NULL)
            slots[slot_of(self, &old[i]->key)] = old[i];
    free(old);
    return FARM_OK;
}

static void free_bytes(void *bytes, void *hint)
{
    (void)hint;
    free(bytes);
}

/* Takes the bytes, also on failure. */
static int wrap(zmq_msg_t *out, struct inflight_bytes of)
{
    if (of.bytes == NULL)
        return zmq_msg_init(out);
    if (zmq_msg_init_data(out, of.bytes, of.len, free_bytes, NULL) == 0)
        return 0;
    free(of.bytes);
    zmq_msg_init(out);
    return -1;
}

int inflight_add(struct inflight *self, const struct wire_key *key, struct inflight_bytes task,
                 struct inflight_bytes blob, bool again)
{
    struct inflight_task *added = NULL;
    bool known = inflight_find(self, key) != NULL;

    if (known || (added = calloc(1, sizeof *added)) == NULL ||
        (2 * (self->n + 1) > self->n_slots && grow(self) != FARM_OK)) {
        free(added);
        free(task.bytes);
        free(blob.bytes);
        return known ? FARM_OK : FARM_ENOMEM;
    }
    int failed = wrap(&added->payload, task);
    if (wrap(&added->blob, blob) != 0 || failed != 0) {
        task_free(added);
        return FARM_ENOMEM;
    }
    added->key = *key;
    added->again = again;
    self->slots[slot_of(self, key)] = added;
    self->n++;
    list_append(&self->queue, added);
    return FARM_OK;
}

struct inflight_task *inflight_find(const struct inflight *self, const struct wire_key *key)
{
    return self->slots[slot_of(self, key)];
}

void inflight_remove(struct inflight *self, struct inflight_task *task)
{
    size_t mask = self->n_slots - 1, hole = slot_of(self, &task->key);
    assert(self->slots[hole] == task);
    self->slots[hole] = NULL;
    /* Whatever was pushed past the hole moves back into it, so that no probe ends too early. */
    for (size_t i = (hole + 1) & mask; self->slots[i] != NULL; i = (i + 1) & mask) {
        size_t home = wire_key_hash(&self->slots[i]->key) & mask;
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            self->slots[hole] = self->slots[i];
            self->slots[i] = NULL;
            hole = i;
        }
    }
    self->n--;
    list_remove(task->published ? &self->published : &self->queue, task);
    task_free(task);
}

struct inflight_task *inflight_queued(const struct inflight *self)
{
    return self->queue.first;
}

struct inflight_task *inflight_published(const struct inflight *self)
{
    return self->published.first;
}

void inflight_publish(struct inflight *self, struct inflight_task *task)
{
    assert(!task->published);
    list_remove(&self->queue, task);
    task->published = true;
    list_append(&self->published, task);
}

void inflight_requeue(struct inflight *self, struct inflight_task *task)
{
    if (!task->published)
        return;
    list_remove(&self->published, task);
    task->published = false;
    list_prepend(&self->queue, task);
}

void inflight_requeue_all(struct inflight *self)
{
    while (self->published.last != NULL) {
        self->published.last->again = true;
        inflight_requeue(self, self->published.last);
    }
}

size_t inflight_n(const struct inflight *self)
{
    return self->n;
}

size_t inflight_n_published(const struct inflight *self)
{
    return self->published.n;
}
