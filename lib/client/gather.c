#include "client/gather.h"

static void note(struct gather *gather, uint64_t now_ms, size_t fresh_bytes)
{
    uint64_t elapsed_ms = now_ms - gather->window_ms;

    gather->window_bytes += fresh_bytes;
    if (elapsed_ms < GATHER_WINDOW_MS) return;
    gather->is_flood = gather->window_bytes / elapsed_ms >= GATHER_FLOOD_BYTES;
    gather->window_ms = now_ms;
    gather->window_bytes = 0;
}

void gather_update(struct gather *gather, uint64_t now_ms, size_t fresh_bytes, const struct gather_load *load)
{
    size_t target = load->memory_max / 4; /* batches have room for more than they hold */
    bool is_short = load->memory_used >= load->memory_max / 4 * 3;

    note(gather, now_ms, fresh_bytes);
    if (load->open_count < target / GATHER_BATCH_BYTES) target = load->open_count * GATHER_BATCH_BYTES;
    gather->has_plenty = load->open_count >= GATHER_OPEN_MIN && (is_short || load->waiting_bytes >= target);
    gather->is_waiting = load->open_count >= GATHER_OPEN_MIN && gather->is_flood && !gather->has_plenty;
}
