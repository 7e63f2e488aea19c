/* client/gather.h - whether the open batches of thousands of partitions had better grow before they are sent.
 *
 * A batch costs the same however little it holds. A producer that spreads a flood over thousands of partitions, and sends
 * what each of them has whenever its connections have a moment, sends single records; that makes both sides so busy that
 * they never get out of it. So while records pour in, the oldest batches wait until all of them together hold a fair
 * amount, or for GATHER_AGE_MS. Whoever sends little, or to few partitions, never waits here. No I/O. */
#ifndef CLIENT_GATHER_H
#define CLIENT_GATHER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GATHER_OPEN_MIN    256         /* open batches: with fewer, frames fill up anyway */
#define GATHER_BATCH_BYTES (16u << 10) /* worth waiting for, on average */
#define GATHER_WINDOW_MS   10          /* over which the rate is taken */
#define GATHER_FLOOD_BYTES (64u << 10) /* accepted per millisecond: a flood */
#define GATHER_AGE_MS      200         /* a batch waits no longer than this */

struct gather {
    uint64_t window_ms; /* when the present window began */
    size_t window_bytes;
    bool is_flood;   /* the window before this one said so */
    bool is_waiting; /* batches are let grow, up to GATHER_AGE_MS: look again at gather_due_ms() */
    bool has_plenty; /* enough has gathered to keep many requests in flight */
};

/* What there is to send. */
struct gather_load {
    size_t open_count;              /* batches that still take records */
    size_t waiting_bytes;           /* of records not on their way */
    size_t memory_used, memory_max; /* of the producer */
};

/* Once per turn: fresh_bytes were accepted since the last one. Sets is_waiting and has_plenty. */
void gather_update(struct gather *gather, uint64_t now_ms, size_t fresh_bytes, const struct gather_load *load);

static inline uint64_t gather_due_ms(const struct gather *gather)
{
    return gather->window_ms + GATHER_WINDOW_MS;
}

#endif
