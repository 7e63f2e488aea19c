/* gossip/leave.h - a broker goes, and says so. */
#ifndef GOSSIP_LEAVE_H
#define GOSSIP_LEAVE_H

#include "gossip/internal.h"

void leave_check(struct gossip *gossip); /* the leave timer: is everybody told? */

#endif
