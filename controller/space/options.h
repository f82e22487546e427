/* options.h - the numbers that one space can be told beside what all have: "width=0.5,head=128".
 *
 * It is not: for anybody but space.c; a space has a table (space_ops.options) and asks space_option().
 */
#ifndef NASFARM_OPTIONS_H
#define NASFARM_OPTIONS_H

#include "space.h"

/* From config.options, or the defaults, to self->option. FARM_EINPUT names an unknown option and lists the known, or says
 * the range. */
int options_read(struct space *self, struct why *why);
/* And back, all of them, as open() left them: what is stored does not change with the defaults. */
int options_write(struct space *self, struct why *why);

#endif
