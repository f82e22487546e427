/* alloc_kit.h - memory that ends where a test wants it to, and a count of what is still held.
 *
 * It is:     what malloc(), calloc(), realloc(), aligned_alloc(), strdup(), strndup() and free() become in a program that is
 *            linked with --wrap for each of them (tests/memory.cmake): calls from objects of that program, and so of
 *            our libraries, which are static.
 * It is not: an end of memory for shared libraries (libzmq, which aborts then, LMDB, the C library): theirs never fails here, and
 *            is not counted. Nor a test framework.
 */
#ifndef NASFARM_ALLOC_KIT_H
#define NASFARM_ALLOC_KIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* From now on allocations are counted, and n of them, from the nth on (1 is the first), fail. nth 0: none does. */
void alloc_fail(uint64_t nth, uint64_t n);
/* Nothing fails, and nothing is counted, until alloc_resume(): the test's own code runs. A new alloc_fail() counts at once. */
void alloc_pause(void);
void alloc_resume(void);
uint64_t alloc_calls(void);  /* counted since alloc_fail() */
uint64_t alloc_failed(void); /* of those */
/* Blocks that were allocated here and are not freed, in the whole process. */
size_t alloc_live(void);

#endif
