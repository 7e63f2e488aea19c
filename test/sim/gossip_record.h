/* sim/gossip_record.h - S14, second half: what a broker believes does not depend on the order in which it heard it.
 *
 * All that one process receives in its life is kept. Afterwards it is handed to fresh cores of the same identity, once as it
 * came and then in other orders, again and again until nothing changes any more (in two orders in a row), as anti-entropy would; all must end with
 * the same beliefs, and with no less than the process itself had:
 *
 *     who is a member, in which incarnation; who is accused in it, who has left; of those that are not accused, the
 *     soft state and the frontier.
 *
 * Everything is handed over as if it came through links: packets of an earlier boot are refused by a rule of the way, not of
 * the merging. Hardly any time passes meanwhile, so SUSPECT and DEAD count as one: between them there is only time. */
#ifndef SIM_GOSSIP_RECORD_H
#define SIM_GOSSIP_RECORD_H

#include "gossip/gossip.h"

#define GOSSIP_RECORD_BYTES_MAX (64u << 20)

struct gossip_record;
struct gossip_record *gossip_record_new(void);
void gossip_record_free(struct gossip_record *record); /* accepts NULL */

/* A life begins. */
void gossip_record_begin(struct gossip_record *record);
void gossip_record_add(struct gossip_record *record, const struct uuid *from, struct slice bytes);
size_t gossip_record_count(const struct gossip_record *record);

/* NULL when all is well; else what differs, valid until the next call. `options` are those of the process, with
 * incarnation and signer; `own` is its core, or NULL. */
const char *gossip_record_check(struct gossip_record *record, const struct gossip_options *options, uint64_t defects,
                                const struct gossip *own, unsigned orders, uint64_t seed);

#endif
