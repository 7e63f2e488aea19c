/* broker/runtime/long_memory.h - memory of long messages between brokers, which comes and goes with each of them.
 *
 * Given back to the system, a megabyte costs 256 page faults when it comes again: more than its copies and its AES together. So what was given back is
 * kept for a second, and for no longer: an idle broker has none. Taken on one thread it may be given back on another. */
#ifndef BROKER_RUNTIME_LONG_MEMORY_H
#define BROKER_RUNTIME_LONG_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LONG_MEMORY_MIN      (32u << 10) /* what is shorter is not kept: the allocator has such memory at hand */
#define LONG_MEMORY_KEPT_MAX (16u << 20)
#define LONG_MEMORY_KEPT_MS  1000

/* NULL: no memory. What is in it is any bytes. */
uint8_t *long_memory_take(size_t size);
void long_memory_give(uint8_t *bytes); /* accepts NULL */

size_t long_memory_capacity(const uint8_t *bytes); /* `size`, or more */

/* More room, the first `used` bytes kept. NULL: no memory, and `bytes` stays as it is. Accepts NULL for bytes. */
uint8_t *long_memory_grow(uint8_t *bytes, size_t used, size_t size);

/* Memory is kept only while somebody has promised to trim: between open and close, by a timer that runs while long_memory_trim() says so. */
void long_memory_open(void);
void long_memory_close(void); /* the last one gives the system all that is kept */

/* Gives the system what nobody has wanted for long. False: there is nothing left to trim, and nothing that will come back and be kept. */
bool long_memory_trim(uint64_t now_ms);

#endif
