/* mesh consume: a topic's records to standard output.
 *
 * Records are written into one buffer, which goes out when it is large or when nothing more has come: large
 * writes under load, no delay without it. */
#include "base/clock.h"
#include "base/error.h"
#include "cmd/cli/commands.h"
#include "cmd/cli/consume_plan.h"
#include "cmd/cli/interrupt.h"
#include "cmd/cli/json_writer.h"
#include "cmd/cli/progress.h"
#include "cmd/cli/record_writer.h"
#include "cmd/cli/session.h"
#include "cmd/cli/standard_output.h"
#include "cmd/cli/terminal.h"

#include <mesh/group.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RECORDS_PER_POLL 1024
#define OUTPUT_SIZE      (256u << 10) /* bytes that are written out at once */

struct consume {
    const struct arguments *arguments;
    struct session session;
    struct mesh_consumer *consumer;
    struct consume_plan plan;
    struct start_offset start;
    struct record_writer_options writer;
    struct buffer output;
    struct progress progress;
    uint64_t records, bytes; /* written; bytes of keys and values */
    uint64_t count_max;      /* 0: no limit */
    uint64_t start_ns, last_record_ns;
    int directory_fd; /* of --format files, else -1; owned */
    bool until_end;
};

/* ---- writing ---- */

static int write_out(struct consume *consume)
{
    int err = standard_output_write(consume->output.data, consume->output.size);

    buffer_clear(&consume->output);
    return err;
}

/* One record to its own file, which is complete or not there under its name. */
static int write_file(struct consume *consume, const struct mesh_consumed *record)
{
    char name[64], temporary[80];
    int fd, err;

    snprintf(name, sizeof(name), "%d-%lld", record->partition, (long long)record->offset);
    snprintf(temporary, sizeof(temporary), ".%s.part", name);
    err = record_writer_append_plain(&consume->writer, record, &consume->output);
    if (err != 0) return err;
    fd = openat(consume->directory_fd, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) return error_from_errno(errno);
    for (size_t done = 0; err == 0 && done < consume->output.size;) {
        ssize_t written = write(fd, consume->output.data + done, consume->output.size - done);
        if (written < 0 && errno != EINTR) err = error_from_errno(errno);
        if (written > 0) done += (size_t)written;
    }
    buffer_clear(&consume->output);
    if (close(fd) != 0 && err == 0) err = error_from_errno(errno);
    if (err == 0 && renameat(consume->directory_fd, temporary, consume->directory_fd, name) != 0)
        err = error_from_errno(errno);
    if (err != 0)
        (void)unlinkat(consume->directory_fd, temporary, 0); /* best effort: the write has failed already */
    return err;
}

static int write_record(struct consume *consume, const struct mesh_consumed *record)
{
    int err;

    consume->records++;
    consume->bytes += record->key_size + record->value_size;
    if (consume->directory_fd >= 0) return write_file(consume, record);
    err = record_writer_append(&consume->writer, record, &consume->output);
    if (err == 0 && consume->output.size >= OUTPUT_SIZE) err = write_out(consume);
    return err;
}

/* ---- reading ---- */

static bool is_done(const struct consume *consume)
{
    return interrupt_signal() != 0 || (consume->count_max > 0 && consume->records >= consume->count_max) ||
           (consume->until_end && consume->plan.open_count == 0);
}

static void end_partition(struct consume *consume, int32_t partition)
{
    (void)mesh_consumer_pause(consume->consumer, consume->arguments->operands[0],
                              partition); /* it is assigned */
}

static int take_records(struct consume *consume, const struct mesh_consumed *records, size_t count)
{
    int err = 0;

    for (size_t i = 0; err == 0 && i < count; i++) {
        const struct mesh_consumed *record = &records[i];
        if (consume->until_end) {
            if (!consume->plan.partitions[record->partition].is_read) continue;
            if (record->offset < consume->plan.partitions[record->partition].end)
                err = write_record(consume, record);
            if (consume_plan_advance(&consume->plan, record->partition, record->offset + 1))
                end_partition(consume, record->partition);
        } else {
            err = write_record(consume, record);
        }
        if (consume->count_max > 0 && consume->records >= consume->count_max) break;
    }
    return err;
}

/* Positions move without records, too: over what compaction or control batches left out. */
static void look_at_positions(struct consume *consume)
{
    for (size_t i = 0; consume->until_end && i < consume->plan.partition_count; i++) {
        int64_t position;
        if (!consume->plan.partitions[i].is_read) continue;
        if (mesh_consumer_position(consume->consumer, consume->arguments->operands[0], (int32_t)i,
                                   &position) != 0)
            continue;
        if (position >= 0 && consume_plan_advance(&consume->plan, (int32_t)i, position))
            end_partition(consume, (int32_t)i);
    }
}

/* What was written out counts as handled: also what the last poll returned. */
static int commit(struct consume *consume)
{
    const char *group = arguments_text(consume->arguments, "group", NULL);
    int err = group == NULL ? 0 : mesh_consumer_commit(consume->consumer);

    return err == 0 ? EXIT_DONE : (int)session_fail(&consume->session, err, "committing for group '%s'", group);
}

static int report_partition_error(struct consume *consume, int err)
{
    char cause[512]; /* the client's sentence does not outlive the next call */
    const char *topic = consume->arguments->operands[0];
    int32_t partition = -1;

    snprintf(cause, sizeof(cause), "%s", mesh_client_error(consume->session.client));
    if (mesh_consumer_error_partition(consume->consumer, &topic, &partition) == 0 && partition >= 0)
        return (int)failure_report(false, err, cause, "consuming '%s' partition %d", topic, partition);
    return (int)failure_report(false, err, cause, "consuming '%s'", topic);
}

/* True when --timeout is given and nothing has come for so long. */
static bool has_waited_too_long(const struct consume *consume)
{
    uint64_t idle_ns = clock_monotonic_ns() - consume->last_record_ns;

    return consume->session.has_timeout && idle_ns >= (uint64_t)consume->session.timeout_ms * 1000000;
}

/* The wait of the next poll: none while there is something to write out, so that it goes out only when
 * nothing came. */
static int poll_wait_ms(const struct consume *consume)
{
    if (consume->output.size > 0) return 0;
    if (consume->session.has_timeout && consume->session.timeout_ms < INTERRUPT_LOOK_MS)
        return consume->session.timeout_ms;
    return INTERRUPT_LOOK_MS;
}

/* No more than are wanted: what a group's consumer is given counts as handled. */
static size_t records_of_poll(const struct consume *consume)
{
    uint64_t left = consume->count_max - consume->records;

    return consume->count_max > 0 && left < RECORDS_PER_POLL ? (size_t)left : RECORDS_PER_POLL;
}

static int consume_all(struct consume *consume)
{
    static struct mesh_consumed records[RECORDS_PER_POLL];
    int err, code = EXIT_DONE;
    size_t count;

    consume->last_record_ns = clock_monotonic_ns();
    while (!is_done(consume)) {
        err = mesh_consumer_poll(consume->consumer, records, records_of_poll(consume), poll_wait_ms(consume), &count);
        if (err != 0) {
            (void)write_out(consume); /* what came before is whole */
            return report_partition_error(consume, err);
        }
        err = take_records(consume, records, count);
        /* In a group what a poll returned counts as handled when the next one begins: it has to be out by then. */
        if (err == 0 && (count == 0 || arguments_has(consume->arguments, "group"))) err = write_out(consume);
        if (err == MESH_ECLOSED) return EXIT_DONE;
        if (err != 0) return (int)failure_output(err, "writing records");
        if (count == 0) {
            look_at_positions(consume);
            if (has_waited_too_long(consume) && !is_done(consume)) return EXIT_TIMED_OUT;
            continue;
        }
        consume->last_record_ns = clock_monotonic_ns();
        progress_update(&consume->progress, consume->records, consume->bytes, consume->records,
                        consume->last_record_ns);
    }
    err = write_out(consume);
    if (err != 0 && err != MESH_ECLOSED) return (int)failure_output(err, "writing records");
    if (err == 0) code = commit(consume);
    if (code != EXIT_DONE) return code;
    return interrupt_signal() != 0 ? EXIT_SIGNAL + interrupt_signal() : EXIT_DONE;
}

/* ---- the end ---- */

static void print_summary(const struct consume *consume, double seconds)
{
    char records[TERMINAL_FIGURE_SIZE], volume[TERMINAL_FIGURE_SIZE], time[TERMINAL_FIGURE_SIZE],
        speed[TERMINAL_FIGURE_SIZE];
    double per_second = seconds > 0 ? 1 / seconds : 0;

    fprintf(stderr, "%s records (%s) from '%s' in %s: %s/s\n", terminal_count(consume->records, records),
            terminal_megabytes((double)consume->bytes, volume), consume->arguments->operands[0],
            terminal_seconds(seconds, time), terminal_megabytes((double)consume->bytes * per_second, speed));
}

static void print_json_summary(const struct consume *consume, double seconds)
{
    double per_second = seconds > 0 ? 1 / seconds : 0;
    struct buffer text = BUFFER_INIT;
    struct json_writer json;

    json_writer_init(&json, &text);
    json_writer_begin_object(&json);
    json_writer_key(&json, "topic");
    json_writer_text(&json, consume->arguments->operands[0]);
    json_writer_key(&json, "records");
    json_writer_unsigned(&json, consume->records);
    json_writer_key(&json, "bytes");
    json_writer_unsigned(&json, consume->bytes);
    json_writer_key(&json, "seconds");
    json_writer_real(&json, seconds, 6);
    json_writer_key(&json, "records_per_second");
    json_writer_real(&json, (double)consume->records * per_second, 0);
    json_writer_key(&json, "mb_per_second");
    json_writer_real(&json, (double)consume->bytes * per_second / 1e6, 3);
    json_writer_end_object(&json);
    if (json_writer_error(&json) == 0) fprintf(stderr, "%.*s\n", (int)text.size, (char *)text.data);
    buffer_deinit(&text);
}

static void summarize(const struct consume *consume, int code)
{
    const struct arguments *arguments = consume->arguments;
    double seconds = (double)(consume->last_record_ns - consume->start_ns) / 1e9;
    bool is_talkative =
        arguments_has(arguments, "verbose") ||
        (terminal_is(STDERR_FILENO) && !terminal_is(STDOUT_FILENO) && !arguments_has(arguments, "quiet"));

    if (code == EXIT_TIMED_OUT && !arguments_has(arguments, "quiet"))
        fprintf(stderr, "mesh: consuming '%s': no record came for %d ms\n", arguments->operands[0],
                consume->session.timeout_ms);
    if (arguments_has(arguments, "json-summary"))
        print_json_summary(consume, seconds);
    else if (is_talkative)
        print_summary(consume, seconds);
}

/* ---- setting up ---- */

static enum output_format format_of(const struct arguments *arguments)
{
    static const char *const names[] = {"lines", "raw", "length-prefixed", "json",
                                        "files"}; /* in the order of the enum */
    const char *text =
        arguments_text(arguments, "format", arguments_has(arguments, "json") ? "json" : "lines");

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(text, names[i]) == 0) return (enum output_format)i;
    return OUTPUT_LINES;
}

static int set_up_writer(struct consume *consume)
{
    const struct arguments *arguments = consume->arguments;
    struct record_writer_options *writer = &consume->writer;
    const char *directory = arguments_text(arguments, "output", ".");

    writer->format = format_of(arguments);
    writer->with_keys = arguments_has(arguments, "keys");
    writer->null_marker = arguments_text(arguments, "null-marker", NULL);
    if (writer->format == OUTPUT_FILES) {
        consume->directory_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (consume->directory_fd < 0) {
            int err = error_from_errno(errno);
            return (int)failure_report(false, err, strerror(errno), "opening directory %s", directory);
        }
    }
    (void)value_parse_bytes(arguments_text(arguments, "key-delimiter", "\\t"), writer->key_delimiter,
                            &writer->key_delimiter_size); /* checked when it was parsed */
    return EXIT_DONE;
}

/* Assigns what the plan says: the whole topic in one call when every partition starts alike. */
static int assign(struct consume *consume, int32_t partition)
{
    const char *topic = consume->arguments->operands[0];
    bool is_alike = consume->start.kind != START_BEFORE_END && !consume->until_end;
    int err = 0;

    if (consume->start.kind == START_TIME && (is_alike || partition >= 0))
        return mesh_consumer_assign_time(consume->consumer, topic, partition, consume->start.value);
    if (is_alike) {
        int64_t start = consume->plan.partitions[partition < 0 ? 0 : partition].start;
        return mesh_consumer_assign(consume->consumer, topic, partition, start);
    }
    for (size_t i = 0; err == 0 && i < consume->plan.partition_count; i++) {
        if (!consume->plan.partitions[i].is_read) continue;
        err = consume->start.kind == START_TIME
                  ? mesh_consumer_assign_time(consume->consumer, topic, (int32_t)i, consume->start.value)
                  : mesh_consumer_assign(consume->consumer, topic, (int32_t)i,
                                         consume->plan.partitions[i].start);
    }
    return err;
}

static int report_obstacle(const struct consume *consume, const struct mesh_partition_info *obstacle)
{
    return (int)failure_report(false, obstacle->error, obstacle->problem, "consuming '%s' partition %d",
                               consume->arguments->operands[0], obstacle->partition);
}

static int plan_and_assign(struct consume *consume)
{
    const struct mesh_partition_info *obstacle;
    const struct arguments *arguments = consume->arguments;
    int32_t partition = (int32_t)arguments_integer(arguments, "partition", -1);
    struct mesh_topic_list *list;
    int err = mesh_topic_describe(consume->session.client, arguments->operands[0], &list);

    if (err != 0) return (int)session_fail(&consume->session, err, "consuming '%s'", arguments->operands[0]);
    err = consume_plan_init(&consume->plan, mesh_topic_list_get(list, 0), partition, consume->start,
                            consume->until_end);
    obstacle = consume_plan_obstacle(mesh_topic_list_get(list, 0), partition, consume->start, consume->until_end);
    if (obstacle != NULL) err = report_obstacle(consume, obstacle);
    mesh_topic_list_free(list);
    if (obstacle != NULL) return err;
    if (err == MESH_EUNKNOWN_TOPIC)
        return (int)failure_report(false, err, "there is no such partition", "consuming '%s' partition %d",
                                   arguments->operands[0], partition);
    if (err != 0) return (int)failure_report(false, err, NULL, "consuming '%s'", arguments->operands[0]);
    err = mesh_consumer_new(consume->session.client, &consume->consumer);
    if (err == 0 && arguments_has(arguments, "no-verify"))
        err = mesh_consumer_set_verify(consume->consumer, 0);
    if (err == 0) err = assign(consume, partition);
    if (err != 0) return (int)session_fail(&consume->session, err, "consuming '%s'", arguments->operands[0]);
    return EXIT_DONE;
}

/* Standard output takes no more, or slowly. From the library's thread, while the writing hangs. */
static void tell_slow(void *user, const struct mesh_slow_info *info)
{
    (void)user;
    fprintf(stderr, "mesh: slow: topic=%s partition=%d offset=%lld seconds=%.1f limit_seconds=%.1f\n", info->topic, (int)info->partition,
            (long long)info->offset, (double)info->took_ms / 1000, (double)info->limit_ms / 1000);
}

/* What stands there now follows. */
static void tell_cut(void *user, const struct mesh_truncation_info *info)
{
    (void)user;
    fprintf(stderr, "mesh: lost: topic=%s partition=%d read_up_to=%lld goes_on_from=%lld: an election has lost what was between\n", info->topic, (int)info->partition,
            (long long)info->position, (long long)info->offset);
}

static int subscribe_as(struct consume *consume, struct mesh_group_options *options)
{
    const struct arguments *arguments = consume->arguments;
    int err = mesh_group_options_set(options, "group", arguments_text(arguments, "group", ""));

    if (err == 0) err = mesh_group_options_set(options, "instance", arguments_text(arguments, "instance", ""));
    if (err == 0) err = mesh_group_options_set(options, "broadcast", arguments_has(arguments, "broadcast") ? "on" : "off");
    if (err == 0) err = mesh_group_options_set(options, "start", consume->start.kind == START_END ? "latest" : "earliest");
    if (err != 0) return (int)failure_usage("consume", "the names of groups and instances have 1 to 255 bytes");
    err = mesh_consumer_new(consume->session.client, &consume->consumer);
    if (err == 0 && arguments_has(arguments, "no-verify")) err = mesh_consumer_set_verify(consume->consumer, 0);
    if (err == 0) mesh_consumer_on_slow(consume->consumer, tell_slow, NULL);
    if (err == 0) mesh_consumer_on_truncation(consume->consumer, MESH_TRUNCATION_GO_BACK, tell_cut, NULL);
    if (err == 0 && arguments_has(arguments, "pattern")) err = mesh_consumer_subscribe_pattern(consume->consumer, options, arguments->operands[0]);
    if (err == 0 && !arguments_has(arguments, "pattern")) err = mesh_consumer_subscribe(consume->consumer, options, arguments->operands, 1);
    return err == 0 ? EXIT_DONE : (int)session_fail(&consume->session, err, "consuming '%s'", arguments->operands[0]);
}

static int subscribe(struct consume *consume)
{
    struct mesh_group_options *options = NULL;
    int code;

    if (mesh_group_options_new(&options) != 0) return (int)failure_report(false, MESH_ENOMEM, NULL, "consuming '%s'", consume->arguments->operands[0]);
    code = subscribe_as(consume, options);
    mesh_group_options_free(options);
    return code;
}

/* What has no meaning beside what else was asked for. */
static const char *fault_of(const struct arguments *arguments, const struct start_offset *start)
{
    bool is_for_groups = arguments_has(arguments, "instance") || arguments_has(arguments, "pattern") || arguments_has(arguments, "broadcast");

    if (!arguments_has(arguments, "group")) return is_for_groups ? "--instance, --pattern and --broadcast have a meaning with --group only" : NULL;
    if (arguments_has(arguments, "broadcast") && !arguments_has(arguments, "instance"))
        return "--broadcast needs --instance: the name under which this consumer finds its offsets again";
    if (arguments_has(arguments, "partition")) return "--partition has no meaning with --group: the group assigns partitions";
    if (arguments_has(arguments, "until-end")) return "--until-end has no meaning with --group: others may read the rest; --timeout ends it when nothing comes";
    if (start->kind != START_BEGINNING && start->kind != START_END) return "with --group --from is beginning or end; 'mesh group reset' sets where a group stands";
    return NULL;
}

static int run(struct consume *consume)
{
    uint64_t total = consume->count_max;
    int code = set_up_writer(consume);

    if (code == EXIT_DONE) code = arguments_has(consume->arguments, "group") ? subscribe(consume) : plan_and_assign(consume);
    if (code != EXIT_DONE) return code;
    interrupt_install();
    consume->start_ns = clock_monotonic_ns();
    if (total == 0 || (consume->plan.record_total > 0 && consume->plan.record_total < total))
        total = consume->plan.record_total;
    /* A progress line among records on the same terminal would only disturb. */
    progress_init(&consume->progress,
                  !arguments_has(consume->arguments, "quiet") && !terminal_is(STDOUT_FILENO), total,
                  consume->start_ns);
    code = consume_all(consume);
    progress_clear(&consume->progress);
    summarize(consume, code);
    return code;
}

int command_consume(const struct arguments *arguments)
{
    struct consume consume = {.arguments = arguments, .directory_fd = -1};
    const char *fault;
    int code;

    if (arguments_has(arguments, "output") && format_of(arguments) != OUTPUT_FILES)
        return (int)failure_usage("consume", "--output has a meaning with --format files only");
    consume.until_end = arguments_has(arguments, "until-end");
    consume.count_max = (uint64_t)arguments_integer(arguments, "count", 0);
    if (arguments_has(arguments, "count") && consume.count_max == 0)
        return EXIT_DONE; /* nothing was asked for */
    (void)start_offset_parse(arguments_text(arguments, "from", "beginning"), clock_wall_ms(),
                             &consume.start); /* checked */
    fault = fault_of(arguments, &consume.start);
    if (fault != NULL) return (int)failure_usage("consume", fault);
    code = (int)session_open(arguments, &consume.session);
    if (code != EXIT_DONE) return code;
    consume.session.is_json =
        false; /* --json is a format here: facts of failures go to standard error only */
    code = run(&consume);
    mesh_consumer_free(consume.consumer);
    consume_plan_deinit(&consume.plan);
    buffer_deinit(&consume.output);
    if (consume.directory_fd >= 0) (void)close(consume.directory_fd);
    session_close(&consume.session);
    return code;
}
