/* fault_memory.c - in the library nasfarm_fault, memory:N of NASFARM_FAULT (fault_kit.h): the N-th malloc(), calloc() or realloc() that
 * the program itself calls gives NULL. Those of its shared libraries do not. Not for programs with a sanitizer, which bring an
 * allocator of their own. */
#include <errno.h>
#include <link.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static uint64_t fails_at, n_calls; /* 0: none does */
static uintptr_t program_from, program_to;

void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t each);
void *__libc_realloc(void *block, size_t n);

/* The first object is the program; where its code is. */
static int find_program(struct dl_phdr_info *info, size_t size, void *ctx)
{
    (void)size;
    (void)ctx;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];

        if (p->p_type != PT_LOAD || (p->p_flags & PF_X) == 0)
            continue;
        program_from = info->dlpi_addr + p->p_vaddr;
        program_to = program_from + p->p_memsz;
    }
    return 1;
}

__attribute__((constructor(101))) static void take_number_from_environment(void)
{
    const char *text = getenv("NASFARM_FAULT");

    if (text == NULL || strncmp(text, "memory:", 7) != 0)
        return;
    (void)dl_iterate_phdr(find_program, NULL);
    fails_at = strtoull(text + 7, NULL, 10);
}

static int fails(const void *caller)
{
    static const char said[] = "memory ends here\n"; /* so that a test knows */
    uintptr_t at = (uintptr_t)caller;

    if (fails_at == 0 || at < program_from || at >= program_to ||
        __atomic_add_fetch(&n_calls, 1, __ATOMIC_RELAXED) != fails_at)
        return 0;
    (void)!write(STDERR_FILENO, said, sizeof said - 1);
    errno = ENOMEM;
    return 1;
}

void *malloc(size_t n)
{
    return fails(__builtin_return_address(0)) ? NULL : __libc_malloc(n);
}

void *calloc(size_t n, size_t each)
{
    return fails(__builtin_return_address(0)) ? NULL : __libc_calloc(n, each);
}

void *realloc(void *block, size_t n)
{
    return fails(__builtin_return_address(0)) ? NULL : __libc_realloc(block, n);
}
