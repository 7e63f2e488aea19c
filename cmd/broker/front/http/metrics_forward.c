/* front/http/metrics_forward.c - see metrics_forward.h. */
#include "cmd/broker/front/http/metrics_forward.h"

void metrics_forward_write(struct metrics_writer *writer, const struct forward_stats *stats)
{
    metrics_single(writer, "mesh_forward_requests_total", "counter", "Requests sent on to the brokers that lead their partitions.", stats->calls);
    metrics_single(writer, "mesh_forward_request_bytes_total", "counter", "Bytes of these.", stats->call_bytes);
    metrics_single(writer, "mesh_forward_streamed_total", "counter", "Of these, past the control loops: by connections between shards.", stats->streamed);
    metrics_single(writer, "mesh_forward_answers_total", "counter", "Answers to these.", stats->answers);
    metrics_single(writer, "mesh_forward_answer_bytes_total", "counter", "Bytes of the answers.", stats->answer_bytes);
    metrics_single(writer, "mesh_forward_refused_total", "counter", "Requests that could not be sent on: no link in time, or a limit.",
                   stats->refused);
    metrics_single(writer, "mesh_forward_unknown_total", "counter", "Requests that were sent on and have no answer.", stats->unknown);
    metrics_single(writer, "mesh_forward_requests", "gauge", "Requests under way to other brokers, long polls included.", stats->calls_now);
    metrics_single(writer, "mesh_forward_streams", "gauge", "Connections between shards for forwarded requests, both ways.", stats->streams_now);
    metrics_single(writer, "mesh_forward_records_bytes", "gauge", "Records fetched from other brokers and not yet sent to clients.",
                   stats->records_bytes);
    metrics_single(writer, "mesh_forward_served_total", "counter", "Requests answered for other brokers.", stats->served);
    metrics_single(writer, "mesh_forward_served_bytes_total", "counter", "Bytes of these and of their answers.", stats->served_bytes);
    metrics_single(writer, "mesh_forward_serves_refused_total", "counter", "Requests of other brokers refused, for what they say or for a limit.",
                   stats->serves_refused);
    metrics_single(writer, "mesh_forward_serves", "gauge", "Requests of other brokers under way here, long polls included.", stats->serves_now);
}
