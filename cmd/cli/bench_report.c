#include "cmd/cli/bench_report.h"

#include "cmd/cli/json_writer.h"
#include "cmd/cli/standard_output.h"
#include "cmd/cli/terminal.h"

static const struct {
    const char *key, *title;
    double quantile;
} quantiles[] = {{"p50", "p50", 0.5}, {"p90", "p90", 0.9}, {"p99", "p99", 0.99}, {"p99_9", "p99.9", 0.999}};
#define QUANTILE_COUNT (sizeof(quantiles) / sizeof(quantiles[0]))

static double ratio(double a, double b)
{
    return b > 0 ? a / b : 0;
}

static void member_real(struct json_writer *json, const char *key, double real, int decimals)
{
    json_writer_key(json, key);
    json_writer_real(json, real, decimals);
}

static void member_unsigned(struct json_writer *json, const char *key, uint64_t integer)
{
    json_writer_key(json, key);
    json_writer_unsigned(json, integer);
}

static void write_latency(struct json_writer *json, const struct histogram *latency)
{
    json_writer_key(json, "latency_us");
    json_writer_begin_object(json);
    member_unsigned(json, "samples", latency->count);
    member_real(json, "mean", ratio((double)latency->sum, (double)latency->count) / 1e3, 3);
    member_real(json, "min", latency->count > 0 ? (double)latency->min / 1e3 : 0, 3);
    for (size_t i = 0; i < QUANTILE_COUNT; i++)
        member_real(json, quantiles[i].key, (double)histogram_quantile(latency, quantiles[i].quantile) / 1e3,
                    3);
    member_real(json, "max", (double)latency->max / 1e3, 3);
    json_writer_end_object(json);
}

/* CPU-seconds, and the same per GB and in microseconds per record. */
static void write_cpu(struct json_writer *json, const char *who, double seconds,
                      const struct bench_result *result)
{
    json_writer_key(json, who);
    if (seconds < 0) {
        json_writer_null(json);
        return;
    }
    json_writer_begin_object(json);
    member_real(json, "seconds", seconds, 3);
    member_real(json, "seconds_per_gb", ratio(seconds, (double)result->bytes / 1e9), 4);
    member_real(json, "us_per_record", ratio(seconds * 1e6, (double)result->records), 4);
    json_writer_end_object(json);
}

/* What the broker used meanwhile, -1 when it is not known. */
static double broker_seconds(const struct bench_result *result)
{
    if (result->before.broker < 0 || result->after.broker < 0) return -1;
    return result->after.broker - result->before.broker;
}

static int report_json(const struct bench *bench, const struct bench_result *result, struct buffer *text)
{
    struct json_writer json;

    json_writer_init(&json, text);
    json_writer_begin_object(&json);
    json_writer_key(&json, "bench");
    json_writer_text(&json, result->name);
    member_unsigned(&json, "record_size", bench->record_size);
    member_unsigned(&json, "records", result->records);
    member_unsigned(&json, "failed", result->failed);
    member_unsigned(&json, "unknown", result->unknown);
    member_unsigned(&json, "bytes", result->bytes);
    member_real(&json, "seconds", result->seconds, 6);
    member_real(&json, "records_per_second", ratio((double)result->records, result->seconds), 1);
    member_real(&json, "mb_per_second", ratio((double)result->bytes / 1e6, result->seconds), 3);
    if (result->latency != NULL) write_latency(&json, result->latency);
    write_cpu(&json, "client_cpu", result->after.client - result->before.client, result);
    write_cpu(&json, "broker_cpu", broker_seconds(result), result);
    if (result->replicas_synced != UINT32_MAX)
        member_unsigned(&json, "replicas_synced", result->replicas_synced);
    json_writer_end_object(&json);
    return json_writer_error(&json) != 0 ? MESH_ENOMEM : buffer_append(text, "\n", 1);
}

static int append_cpu(struct buffer *text, const char *who, double seconds, const struct bench_result *result)
{
    if (seconds < 0) return 0;
    return buffer_printf(text, "%-12s%.2f CPU-seconds: %.3f per GB, %.3f us per record\n", who, seconds,
                         ratio(seconds, (double)result->bytes / 1e9),
                         ratio(seconds * 1e6, (double)result->records));
}

static int append_latency(struct buffer *text, const struct histogram *latency)
{
    char figure[TERMINAL_FIGURE_SIZE];
    int err = buffer_append_string(text, "latency     ");

    for (size_t i = 0; err == 0 && i < QUANTILE_COUNT; i++)
        err = buffer_printf(text, "%s %s  ", quantiles[i].title,
                            terminal_nanoseconds(histogram_quantile(latency, quantiles[i].quantile), figure));
    return err != 0 ? err : buffer_printf(text, "max %s\n", terminal_nanoseconds(latency->max, figure));
}

static int report_people(const struct bench_result *result, struct buffer *text)
{
    char records[TERMINAL_FIGURE_SIZE], volume[TERMINAL_FIGURE_SIZE], seconds[TERMINAL_FIGURE_SIZE];
    char rate[TERMINAL_FIGURE_SIZE], speed[TERMINAL_FIGURE_SIZE];
    int err = buffer_printf(text, "%-12s%s records (%s) in %s: %s records/s, %s/s\n", result->name,
                            terminal_count(result->records, records),
                            terminal_megabytes((double)result->bytes, volume),
                            terminal_seconds(result->seconds, seconds),
                            terminal_count((uint64_t)ratio((double)result->records, result->seconds), rate),
                            terminal_megabytes(ratio((double)result->bytes, result->seconds), speed));

    if (err == 0 && result->latency != NULL && result->latency->count > 0)
        err = append_latency(text, result->latency);
    if (err == 0) err = append_cpu(text, "client", result->after.client - result->before.client, result);
    if (err == 0) err = append_cpu(text, "broker", broker_seconds(result), result);
    if (err == 0 && result->replicas_synced != UINT32_MAX)
        err = buffer_printf(text, "%-12seach record was synced on %u %s when it was acknowledged\n",
                            "durability", result->replicas_synced,
                            result->replicas_synced == 1 ? "replica" : "replicas");
    if (err == 0 && result->failed + result->unknown > 0)
        err = buffer_printf(text, "%-12s%llu failed, %llu unknown\n", "lost",
                            (unsigned long long)result->failed, (unsigned long long)result->unknown);
    return err;
}

int bench_report(const struct bench *bench, const struct bench_result *result)
{
    struct buffer text = BUFFER_INIT;
    int err = bench->session.is_json ? report_json(bench, result, &text) : report_people(result, &text);

    return standard_output_finish(&text, err);
}
