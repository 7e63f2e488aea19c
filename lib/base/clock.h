/* base/clock.h - the machine's clocks. Cores never call these: time is handed to them. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

uint64_t clock_monotonic_ns(void); /* CLOCK_BOOTTIME: goes on while the machine is suspended, as everybody else's does; for durations */
uint64_t clock_monotonic_ms(void);
int64_t clock_wall_ms(void); /* CLOCK_REALTIME, ms since 1970-01-01 UTC; for record timestamps only */

#endif
