/* fair.h - max-min fairness: capacity is poured like water, and nobody gets more than he asks for.
 *
 * It is not: a scheduler; the ledger decides who is asked and what is done with the shares.
 */
#ifndef NASFARM_FAIR_H
#define NASFARM_FAIR_H

#include <stddef.h>
#include <stdint.h>

/* One who asks. */
struct fair_share {
    uint64_t demand; /* never given more than this */
    uint64_t got;    /* from earlier pourings on entry; raised on return */
};

/* Pours capacity so that the smallest `got` is as large as it can be, then the next smallest, and so on. What does
 * not divide goes one each to the first in the list. Returns what nobody had a demand for. */
uint64_t fair_pour(struct fair_share *const *shares, size_t n, uint64_t capacity);

#endif
