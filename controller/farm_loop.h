/* farm_loop.h - the controller's socket loop: sleeps, takes what came, lets the farm do its turn.
 *
 * It is:     a DEALER socket, connected to one broker, and the two loops over it: until data is there, until the search
 *            is over.
 * It is not: what is said over that socket (farm.h).
 */
#ifndef NASFARM_FARM_LOOP_H
#define NASFARM_FARM_LOOP_H

#include "farm.h"

struct farm_loop;

/* Connects; the first HELLO is sent by the first turn. FARM_EINPUT for an endpoint that is none. */
int farm_loop_create(struct farm_loop **out, const struct farm_options *options, struct why *why);
/* Says GOODBYE when connected. */
void farm_loop_destroy(struct farm_loop **self);

/* Turns until a worker offers data set `name` ("": the only one there is), and copies its description.
 *   keep_on   asked once a turn (NULL: nobody is); what it returns other than FARM_OK ends the wait and is returned
 * FARM_ENOTFOUND when the time is over: the sentence names what is there instead. FARM_EBUSY when told to stop. */
int farm_loop_wait_data(struct farm_loop *self, const char *name, int64_t timeout_ms,
                        int (*keep_on)(void *, struct why *), void *ctx, struct wire_data *out,
                        struct why *why);

/* Runs the experiment to one of its ends. An error (not FARM_OK) is one that waiting does not heal: a store that is
 * damaged, a broker that speaks another version or that already serves this experiment to someone else. */
int farm_loop_run(struct farm_loop *self, struct experiment *experiment, enum farm_end *end,
                  struct why *why);

/* Borrowed. */
struct farm *farm_loop_farm(struct farm_loop *self);

#endif
