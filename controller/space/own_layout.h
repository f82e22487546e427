/* own_layout.h - which genes an own space of stages has.
 *
 * It is not: for cells (own_cell.c), nor what the genes mean (own_chain.c).
 */
#ifndef NASFARM_OWN_LAYOUT_H
#define NASFARM_OWN_LAYOUT_H

#include "own.h"

/* Gives every choice of the definition its gene, and says how many there are. dims NULL: only that, and whether the
 * conditions make sense; else it has room for them, zeroed. FARM_EINPUT says "label:line: ...". */
int own_layout(struct own *own, struct dim *dims, uint32_t *n, const char *label, struct why *why);

/* The most blocks that the stage may have. */
uint32_t own_stage_deepest(const struct own_stage *stage);

#endif
