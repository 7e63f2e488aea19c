/* front/http/metrics_spread.c - see metrics_spread.h. */
#include "cmd/broker/front/http/metrics_spread.h"

void metrics_spread_write(struct metrics_writer *writer, const struct spread_stats *stats)
{
    const struct spread_feed_stats *feed = &stats->feed;

    metrics_single(writer, "mesh_group_spread_told_bytes_total", "counter", "Bytes of committed offsets told to brokers that have no replica of them.",
                   feed->bytes_told);
    metrics_single(writer, "mesh_group_spread_rounds_told_total", "counter", "Rounds of what changed that were told.", feed->rounds_told);
    metrics_single(writer, "mesh_group_spread_pieces_told_total", "counter", "Pieces of all that there is that were told.", feed->pieces_told);
    metrics_single(writer, "mesh_group_spread_starts_over_total", "counter", "Subscribers that had to be told everything again: they were too far behind.",
                   feed->starts_over);
    metrics_single(writer, "mesh_group_spread_heard_bytes_total", "counter", "Bytes of committed offsets heard from their leaders.", feed->bytes_heard);
    metrics_single(writer, "mesh_group_spread_refused_total", "counter", "Messages that no sound broker sends.", stats->messages_refused);
    metrics_single(writer, "mesh_group_spread_subscribers", "gauge", "Subscriptions of other brokers to group partitions led here.", feed->subscribers);
    metrics_single(writer, "mesh_group_spread_following", "gauge", "Group partitions that this broker follows without a gap.", feed->following);
    metrics_single(writer, "mesh_group_spread_cache_bytes", "gauge", "Memory of what was heard.", feed->cache_bytes);
}
