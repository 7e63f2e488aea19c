#include "cmd/cli/produce_summary.h"

#include "cmd/cli/interrupt.h"
#include "cmd/cli/standard_output.h"
#include "cmd/cli/terminal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PAUSE_TOLD_NS 1000000000ull /* shorter ones are nothing to talk about */

static void report_failures(const struct produce_summary *summary, const struct delivery_tally *tally,
                            const char *topic)
{
    char delivered[TERMINAL_FIGURE_SIZE], failed[TERMINAL_FIGURE_SIZE], unknown[TERMINAL_FIGURE_SIZE];
    int error = tally->first_error != 0 ? tally->first_error : tally->error;

    if (summary->refused_record != 0)
        failure_report(false, error, NULL,
                       "producing to '%s': record %" PRIu64 " of the input (%" PRIu64 " bytes)", topic,
                       summary->refused_record, summary->refused_bytes);
    else if (tally->first_error == 0 && tally->receipts_fd >= 0 && error != MESH_ENOMEM)
        failure_output(error, "writing receipts");
    else
        failure_report(false, error, NULL, "producing to '%s'", topic);
    fprintf(stderr, "      %s acknowledged, %s failed, %s unknown\n",
            terminal_count(tally->delivered, delivered), terminal_count(tally->failed, failed),
            terminal_count(tally->unknown, unknown));
    if (tally->unknown > 0)
        fputs("      unknown: it was sent and no clear answer came, so it may be in the topic or not; sending it again may store it twice\n", stderr);
}

/* What the weakest acknowledgement said. */
static void print_receipt(uint32_t holding, uint32_t synced)
{
    if (holding > 1) fprintf(stderr, "; each held by %u replicas when acknowledged", holding);
    if (synced == 0)
        fputs(holding > 1 ? ", and not yet synced to a disk" : "; not synced to a disk when acknowledged", stderr);
    else
        fprintf(stderr, "%s synced to disk on %u %s", holding > 1 ? "," : ";", synced, synced == 1 ? "replica" : "replicas");
}

/* A leader changed, or an answer was lost, and all is well again. */
static void print_trouble(const struct produce_summary *summary)
{
    char resent[TERMINAL_FIGURE_SIZE], pause[TERMINAL_FIGURE_SIZE];

    fprintf(stderr, "      %s records were sent again; the longest wait for an acknowledgement was %s\n", terminal_count(summary->resent, resent),
            terminal_seconds((double)summary->pause_ns / 1e9, pause));
}

static void print_people(const struct produce_summary *summary, const struct delivery_tally *tally,
                         const char *topic)
{
    char records[TERMINAL_FIGURE_SIZE], volume[TERMINAL_FIGURE_SIZE], seconds[TERMINAL_FIGURE_SIZE];
    char rate[TERMINAL_FIGURE_SIZE], speed[TERMINAL_FIGURE_SIZE];
    double per_second = summary->seconds > 0 ? 1 / summary->seconds : 0;

    fprintf(stderr, "%s records (%s) to '%s' in %s: %s records/s, %s/s",
            terminal_count(tally->delivered, records), terminal_megabytes((double)summary->bytes, volume),
            topic, terminal_seconds(summary->seconds, seconds),
            terminal_count((uint64_t)((double)tally->delivered * per_second), rate),
            terminal_megabytes((double)summary->bytes * per_second, speed));
    if (tally->delivered > 0) print_receipt(delivery_tally_replicas_holding(tally), delivery_tally_replicas_synced(tally));
    fputs("\n", stderr);
    if (summary->resent > 0 || summary->pause_ns > PAUSE_TOLD_NS) print_trouble(summary);
}

static void write_error(struct json_writer *json, int error)
{
    json_writer_key(json, "error");
    json_writer_begin_object(json);
    json_writer_key(json, "code");
    json_writer_integer(json, error);
    json_writer_key(json, "name");
    json_writer_text(json, mesh_error_name(error));
    json_writer_key(json, "message");
    json_writer_text(json, mesh_strerror(error));
    json_writer_end_object(json);
}

static int print_json(const struct produce_summary *summary, const struct arguments *arguments,
                      const struct delivery_tally *tally)
{
    double per_second = summary->seconds > 0 ? 1 / summary->seconds : 0;
    bool is_lines = strcmp(arguments_text(arguments, "format", "lines"), "lines") == 0;
    struct buffer text = BUFFER_INIT;
    struct json_writer json;

    json_writer_init(&json, &text);
    json_writer_begin_object(&json);
    json_writer_key(&json, "topic");
    json_writer_text(&json, arguments->operands[0]);
    json_writer_key(&json, "records");
    json_writer_unsigned(&json, tally->delivered);
    json_writer_key(&json, "bytes");
    json_writer_unsigned(&json, summary->bytes);
    json_writer_key(&json, "seconds");
    json_writer_real(&json, summary->seconds, 6);
    json_writer_key(&json, "records_per_second");
    json_writer_real(&json, (double)tally->delivered * per_second, 0);
    json_writer_key(&json, "mb_per_second");
    json_writer_real(&json, (double)summary->bytes * per_second / 1e6, 3);
    json_writer_key(&json, "resent");
    json_writer_unsigned(&json, summary->resent);
    json_writer_key(&json, "longest_pause_seconds");
    json_writer_real(&json, (double)summary->pause_ns / 1e9, 6);
    if (is_lines) {
        json_writer_key(&json, "final_newline");
        json_writer_boolean(&json, !summary->ends_without_newline);
    }
    delivery_tally_write_json(tally, &json);
    if (tally->first_error != 0 || tally->error != 0)
        write_error(&json, tally->first_error != 0 ? tally->first_error : tally->error);
    json_writer_end_object(&json);
    return standard_output_finish(&text, json_writer_error(&json) != 0 ? MESH_ENOMEM
                                                                       : buffer_append(&text, "\n", 1));
}

int produce_summary_finish(const struct produce_summary *summary, const struct session *session,
                           const struct arguments *arguments, const struct delivery_tally *tally, int code)
{
    bool is_talkative = arguments_has(arguments, "verbose") ||
                        (terminal_is(STDERR_FILENO) && !arguments_has(arguments, "quiet"));
    bool has_failures = tally->first_error != 0 || tally->error != 0 || tally->failed + tally->unknown > 0;

    if (has_failures)
        report_failures(summary, tally, arguments->operands[0]);
    else if (is_talkative && !session->is_json)
        print_people(summary, tally, arguments->operands[0]);
    if (session->is_json && code == EXIT_DONE) {
        int printed = print_json(summary, arguments, tally);
        if (printed != EXIT_DONE) return printed;
    }
    if (code != EXIT_DONE) return code;
    if (has_failures) return EXIT_FAILED;
    return interrupt_signal() != 0 ? EXIT_SIGNAL + interrupt_signal() : EXIT_DONE;
}
