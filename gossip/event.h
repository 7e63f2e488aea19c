/* gossip/event.h - what every event from outside begins with. */
#ifndef GOSSIP_EVENT_H
#define GOSSIP_EVENT_H

#include "gossip/internal.h"

/* Notes the time; when it comes much later than something was due, this broker has been asleep: nobody is judged for
 * what it did not hear meanwhile (PROTOCOLS 1.5, 4). */
void gossip_begin_event(struct gossip *gossip, uint64_t now_us);

#endif
