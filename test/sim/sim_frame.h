/* sim/sim_frame.h - messages on a simulated stream: their size, a type, and sums over both, a stand-in for the seal of a real channel. What
 * was damaged on the way is noticed and never delivered. */
#ifndef SIM_SIM_FRAME_H
#define SIM_SIM_FRAME_H

#include "base/buffer.h"
#include "base/slice.h"

#include <stdint.h>

#define SIM_FRAME_HEADER 24

void sim_frame_put(struct buffer *to, uint32_t type, struct slice payload);

/* The frame at bytes.data + *at, behind which *at stands then; its payload lies in `bytes`. 1; 0: not all of it is there; -1: damaged, or larger
 * than size_max. */
int sim_frame_take(struct slice bytes, size_t size_max, size_t *at, uint32_t *ret_type, struct slice *ret_payload);

#endif
