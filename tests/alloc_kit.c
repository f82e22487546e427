/* alloc_kit.c - see alloc_kit.h. The blocks that are held are in a table of their addresses. */
#include "alloc_kit.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define TABLE_BITS 20
#define TABLE      (1u << TABLE_BITS)
#define TOMBSTONE  ((void *)1)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static void *table[TABLE];
static size_t n_live, n_used;
static uint64_t first, past, n_calls, n_failed;
static bool counting;

/* ---------------------------------------------------------------- what is held */

static size_t place_of(const void *block)
{
    return (size_t)(((uint64_t)(uintptr_t)block * 0x9e3779b97f4a7c15u) >> (64 - TABLE_BITS));
}

static void hold(void *block)
{
    size_t at = place_of(block);

    if (block == NULL)
        return;
    (void)pthread_mutex_lock(&lock);
    while (table[at] != NULL && table[at] != TOMBSTONE)
        at = (at + 1) % TABLE;
    n_used += table[at] == NULL;
    if (n_used > TABLE / 2)
        abort(); /* the test holds too much for this table */
    table[at] = block;
    n_live++;
    (void)pthread_mutex_unlock(&lock);
}

/* One that another library allocated is not here. */
static void let_go(const void *block)
{
    size_t at = place_of(block);

    if (block == NULL)
        return;
    (void)pthread_mutex_lock(&lock);
    while (table[at] != NULL && table[at] != block)
        at = (at + 1) % TABLE;
    if (table[at] == block) {
        n_live--;
        table[at] = TOMBSTONE;
        if (table[(at + 1) % TABLE] == NULL)
            for (; table[at] == TOMBSTONE; at = (at + TABLE - 1) % TABLE) {
                table[at] = NULL;
                n_used--;
            }
    }
    (void)pthread_mutex_unlock(&lock);
}

size_t alloc_live(void)
{
    return n_live;
}

/* ---------------------------------------------------------------- what fails */

void alloc_fail(uint64_t nth, uint64_t n)
{
    first = nth > 0 ? nth : UINT64_MAX;
    past = nth > 0 ? nth + n : UINT64_MAX;
    n_calls = n_failed = 0;
    counting = true;
}

void alloc_pause(void)
{
    counting = false;
}

void alloc_resume(void)
{
    counting = true;
}

uint64_t alloc_calls(void)
{
    return n_calls;
}

uint64_t alloc_failed(void)
{
    return n_failed;
}

static bool fails(void)
{
    if (!counting || ++n_calls < first || n_calls >= past)
        return false;
    n_failed++;
    return true;
}

/* ---------------------------------------------------------------- what stands in front of the C library */

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t each);
void *__real_realloc(void *block, size_t n);
void *__real_aligned_alloc(size_t alignment, size_t n);
char *__real_strdup(const char *text);
char *__real_strndup(const char *text, size_t n);
void __real_free(void *block);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t each);
void *__wrap_realloc(void *block, size_t n);
void *__wrap_aligned_alloc(size_t alignment, size_t n);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t n);
void __wrap_free(void *block);

static void *held(void *block)
{
    hold(block);
    return block;
}

void *__wrap_malloc(size_t n)
{
    return fails() ? NULL : held(__real_malloc(n));
}

void *__wrap_calloc(size_t n, size_t each)
{
    return fails() ? NULL : held(__real_calloc(n, each));
}

void *__wrap_realloc(void *block, size_t n)
{
    void *moved = fails() ? NULL : __real_realloc(block, n);

    if (moved == NULL)
        return NULL; /* the old one stays */
    let_go(block);
    return held(moved);
}

void *__wrap_aligned_alloc(size_t alignment, size_t n)
{
    return fails() ? NULL : held(__real_aligned_alloc(alignment, n));
}

char *__wrap_strdup(const char *text)
{
    return fails() ? NULL : held(__real_strdup(text));
}

char *__wrap_strndup(const char *text, size_t n)
{
    return fails() ? NULL : held(__real_strndup(text, n));
}

void __wrap_free(void *block)
{
    let_go(block);
    __real_free(block);
}
