/* alloc_kit.c - see alloc_kit.h. */
#include "alloc_kit.h"

#include <pthread.h>
#include <search.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static void *blocks; /* a tree of addresses, for tsearch() */
static size_t n_live;
static uint64_t first, past, n_calls, n_failed;
static bool counting;

/* ---------------------------------------------------------------- what is held */

static int by_address(const void *a, const void *b)
{
    return ((uintptr_t)a > (uintptr_t)b) - ((uintptr_t)a < (uintptr_t)b);
}

static void hold(void *block)
{
    if (block == NULL)
        return;
    (void)pthread_mutex_lock(&lock);
    if (tsearch(block, &blocks, by_address) == NULL) /* its own malloc() is the C library's */
        abort();
    n_live++;
    (void)pthread_mutex_unlock(&lock);
}

/* One that another library allocated is not here. */
static void let_go(const void *block)
{
    (void)pthread_mutex_lock(&lock);
    if (block != NULL && tdelete(block, &blocks, by_address) != NULL)
        n_live--;
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
