/* mesh produce: records from standard input or files to a topic.
 *
 * Input is read in large blocks and cut into views; libmesh copies each record once. While its memory is full
 * we poll; while the input has nothing to read we wait for both, so that a slow pipe's records leave at once.
 */
#include "base/clock.h"
#include "base/error.h"
#include "cmd/cli/commands.h"
#include "cmd/cli/delivery_tally.h"
#include "cmd/cli/interrupt.h"
#include "cmd/cli/pause.h"
#include "cmd/cli/produce_summary.h"
#include "cmd/cli/producing.h"
#include "cmd/cli/progress.h"
#include "cmd/cli/record_reader.h"
#include "cmd/cli/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct produce {
    const struct arguments *arguments;
    struct session session;
    struct mesh_producer *producer;
    struct record_reader *reader;
    struct record_reader_options reader_options;
    struct mesh_header *headers; /* owned array; room for one more than header_count; keys owned */
    size_t header_count;
    int32_t partition;
    struct delivery_tally tally;
    struct progress progress;
    struct produce_summary summary;
    struct pause pause;
    uint64_t read_bytes;
    bool is_files;
};

/* ---- sending ---- */

static bool must_stop(const struct produce *produce)
{
    return interrupt_signal() != 0 || produce->tally.first_error != 0 || produce->tally.error != 0;
}

static void look_for_pause(struct produce *produce, uint64_t now_ns)
{
    pause_look(&produce->pause, produce->tally.delivered, mesh_producer_queued_records(produce->producer) > 0, now_ns);
}

/* Queues one record, waiting while the memory limit is reached. A refused record is counted. */
static void send_record(struct produce *produce, const struct record_view *view)
{
    struct mesh_record record = {
        .key = view->has_key ? (const void *)view->key.data : NULL,
        .key_size = view->key.size,
        .value = view->is_null              ? NULL
                 : view->value.data != NULL ? (const void *)view->value.data
                                            : "",
        .value_size = view->is_null ? 0 : view->value.size,
        .headers = produce->headers,
        .header_count = produce->header_count,
        .partition = produce->partition,
    };
    int err;

    while ((err = mesh_producer_send(produce->producer, &record, delivery_tally_record, &produce->tally)) ==
           MESH_EQUEUEFULL) {
        err = mesh_client_poll(produce->session.client, INTERRUPT_LOOK_MS);
        if (err != 0) break;
        look_for_pause(produce, clock_monotonic_ns());
    }
    produce->summary.records++;
    if (err == 0) {
        produce->summary.bytes += record.key_size + record.value_size;
        return;
    }
    delivery_tally_refuse(&produce->tally, err);
    produce->summary.refused_record = produce->summary.records;
    produce->summary.refused_bytes = record.key_size + record.value_size;
}

static void poll_client(struct produce *produce, int timeout_ms)
{
    int err = mesh_client_poll(produce->session.client, timeout_ms);
    uint64_t now_ns = clock_monotonic_ns();

    look_for_pause(produce, now_ns);
    if (err != 0 && produce->tally.error == 0) produce->tally.error = err;
    delivery_tally_write_receipts(&produce->tally);
    progress_update(&produce->progress, produce->summary.records, produce->summary.bytes, produce->read_bytes, now_ns);
}

/* ---- reading ---- */

/* Waits until the input can be read, serving the client meanwhile. Regular files always can. */
static void wait_for_input(struct produce *produce, int fd)
{
    struct pollfd fds[2] = {{.fd = fd, .events = POLLIN},
                            {.fd = mesh_client_fd(produce->session.client), .events = POLLIN}};

    while (!must_stop(produce)) {
        int timeout_ms = mesh_client_timeout_ms(produce->session.client);
        if (timeout_ms < 0 || timeout_ms > INTERRUPT_LOOK_MS) timeout_ms = INTERRUPT_LOOK_MS;
        if (poll(fds, 2, timeout_ms) > 0 && fds[0].revents != 0) return;
        poll_client(produce, 0);
    }
}

static int report_input(struct produce *produce, int err, const char *name, const char *cause)
{
    return (int)failure_report(produce->session.is_json, err, cause, "reading %s", name);
}

/* Sends every record of one input. Returns an exit code; what became of the records is in the tally. */
static int send_stream(struct produce *produce, int fd, const char *name)
{
    struct record_view view;
    size_t size = 1;
    int err = 0;

    while (err == 0 && size > 0) {
        wait_for_input(produce, fd);
        if (must_stop(produce)) return EXIT_DONE;
        err = record_reader_fill(produce->reader, fd, &size);
        if (err == MESH_EAGAIN) {
            err = 0;
            size = 1;
            continue;
        }
        if (err != 0) break;
        produce->read_bytes += size;
        while (!must_stop(produce) && (err = record_reader_next(produce->reader, &view)) == 0)
            send_record(produce, &view);
        if (err == MESH_EAGAIN) err = 0;
        poll_client(produce, 0);
    }
    if (must_stop(produce)) return EXIT_DONE;
    if (err == MESH_ETOOLARGE) return report_input(produce, err, name, "a record is larger than 64 MiB");
    if (err != 0) return report_input(produce, err, name, strerror(errno));
    err = record_reader_finish(produce->reader, &view);
    if (err == MESH_EPROTO)
        return report_input(produce, err, name, "the input ends inside a length-prefixed record");
    if (err == 0) {
        send_record(produce, &view);
        produce->summary.ends_without_newline = true;
    }
    return EXIT_DONE;
}

/* Reads a whole file into `to`. Errors: MESH_ETOOLARGE, those of read(2). */
static int read_whole(int fd, struct buffer *to)
{
    for (;;) {
        ssize_t size;
        if (to->size > RECORD_READER_SIZE_MAX) return MESH_ETOOLARGE;
        if (buffer_reserve(to, RECORD_READER_BLOCK_SIZE) != 0) return MESH_ENOMEM;
        size = read(fd, to->data + to->size, RECORD_READER_BLOCK_SIZE);
        if (size < 0 && errno != EINTR) return error_from_errno(errno);
        if (size == 0) return 0;
        if (size > 0) to->size += (size_t)size;
    }
}

/* Sends one file as one record, with its name in a header. */
static int send_file(struct produce *produce, int fd, const char *name)
{
    const char *slash = strrchr(name, '/'), *base = slash != NULL ? slash + 1 : name;
    struct buffer content = BUFFER_INIT;
    int err = read_whole(fd, &content);

    if (err == 0) {
        struct record_view view = {.value = buffer_slice(&content)};
        produce->headers[produce->header_count++] = (struct mesh_header){"filename", base, strlen(base)};
        send_record(produce, &view);
        produce->header_count--;
        produce->read_bytes += content.size;
        poll_client(produce, 0);
    }
    buffer_deinit(&content);
    return err != 0 ? report_input(produce, err, name,
                                   err == MESH_ETOOLARGE ? "the file is larger than 64 MiB" : NULL)
                    : EXIT_DONE;
}

static int send_input(struct produce *produce, const char *name)
{
    bool is_stdin = strcmp(name, "-") == 0;
    int fd = is_stdin ? STDIN_FILENO : open(name, O_RDONLY | O_CLOEXEC), code;

    if (fd < 0) return report_input(produce, error_from_errno(errno), name, strerror(errno));
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL); /* only advice */
    if (produce->is_files)
        code = send_file(produce, fd, name);
    else
        code = send_stream(produce, fd, is_stdin ? "standard input" : name);
    if (!is_stdin) (void)close(fd); /* nothing was written */
    return code;
}

static int send_inputs(struct produce *produce)
{
    const struct arguments *arguments = produce->arguments;
    int code = EXIT_DONE;

    if (arguments->operand_count == 1) return send_input(produce, "-");
    for (size_t i = 1; code == EXIT_DONE && i < arguments->operand_count && !must_stop(produce); i++)
        code = send_input(produce, arguments->operands[i]);
    return code;
}

/* Bytes of all inputs when each is a regular file, else 0: what the progress line measures against. */
static uint64_t total_size(const struct arguments *arguments)
{
    uint64_t total = 0;
    struct stat stat_of;

    if (arguments->operand_count == 1)
        return fstat(STDIN_FILENO, &stat_of) == 0 && S_ISREG(stat_of.st_mode) ? (uint64_t)stat_of.st_size : 0;
    for (size_t i = 1; i < arguments->operand_count; i++) {
        if (stat(arguments->operands[i], &stat_of) != 0 || !S_ISREG(stat_of.st_mode)) return 0;
        total += (uint64_t)stat_of.st_size;
    }
    return total;
}

/* Every record has a delivery timeout, so that this ends. */
static void drain(struct produce *produce)
{
    while (mesh_producer_queued_records(produce->producer) > 0 && produce->tally.error == 0)
        poll_client(produce, INTERRUPT_LOOK_MS);
    delivery_tally_write_receipts(&produce->tally);
}

/* ---- setting up ---- */

static int collect_headers(struct produce *produce)
{
    const struct arguments *arguments = produce->arguments;
    const char *text;
    size_t cursor = 0;

    produce->headers = calloc(arguments->option_count + 1, sizeof(produce->headers[0]));
    if (produce->headers == NULL) return MESH_ENOMEM;
    while ((text = arguments_next(arguments, "header", &cursor)) != NULL) {
        const char *equals = strchr(text, '=');
        char *key = strndup(text, (size_t)(equals - text));
        if (key == NULL) return MESH_ENOMEM;
        produce->headers[produce->header_count++] = (struct mesh_header){key, equals + 1, strlen(equals + 1)};
    }
    return 0;
}

static int set_up_reader(struct produce *produce)
{
    const struct arguments *arguments = produce->arguments;
    const char *format = arguments_text(arguments, "format", "lines"),
               *delimiter = arguments_text(arguments, "key-delimiter", NULL);
    struct record_reader_options *options = &produce->reader_options;
    int err;

    produce->is_files = strcmp(format, "files") == 0;
    options->framing = strcmp(format, "length-prefixed") == 0 ? FRAMING_LENGTH_PREFIXED : FRAMING_LINES;
    options->keeps_newlines = arguments_has(arguments, "keep-newlines");
    options->null_marker = arguments_text(arguments, "null-marker", NULL);
    if (delimiter != NULL) {
        err = value_parse_bytes(delimiter, options->key_delimiter, &options->key_delimiter_size);
        if (err != 0) return err;
    }
    return record_reader_new(options, &produce->reader);
}

static int set_up_producer(struct produce *produce)
{
    const struct arguments *arguments = produce->arguments;
    int err = mesh_producer_new(produce->session.client, arguments->operands[0], &produce->producer);

    if (err == 0) err = producing_set_options(produce->producer, arguments);
    if (err == 0) err = mesh_producer_set_delivery_timeout_ms(produce->producer, produce->session.timeout_ms);
    produce->partition = (int32_t)arguments_integer(arguments, "partition", MESH_PARTITION_ANY);
    return err;
}

/* What the parser cannot know: combinations that make no sense. NULL when all is well. */
static const char *find_contradiction(const struct arguments *arguments)
{
    const char *format = arguments_text(arguments, "format", "lines");

    if (strcmp(format, "files") == 0) {
        if (arguments->operand_count < 2) return "--format files needs the names of files";
        if (arguments_has(arguments, "key-delimiter"))
            return "--key-delimiter has no meaning with --format files";
        if (arguments_has(arguments, "null-marker"))
            return "--null-marker has no meaning with --format files";
    }
    if (strcmp(format, "lines") != 0 && arguments_has(arguments, "keep-newlines"))
        return "--keep-newlines has a meaning with --format lines only";
    return NULL;
}

/* A person is typing: told once how to end, and not disturbed by a progress line. */
static bool greet_typist(const struct arguments *arguments)
{
    if (arguments->operand_count > 1 || !terminal_is(STDIN_FILENO)) return false;
    if (terminal_is(STDERR_FILENO) && !arguments_has(arguments, "quiet"))
        fputs("type records, one per line; Ctrl-D at the start of a line ends\n", stderr);
    return true;
}

static int run(struct produce *produce)
{
    const char *receipts = arguments_text(produce->arguments, "receipts", NULL);
    bool is_quiet = arguments_has(produce->arguments, "quiet");
    uint64_t start_ns;
    int code, err;

    code = (int)producing_ensure_topic(&produce->session, produce->arguments->operands[0], produce->partition,
                                       !arguments_has(produce->arguments, "no-create"));
    if (code != EXIT_DONE) return code;
    if (receipts != NULL && (err = delivery_tally_open_receipts(&produce->tally, receipts)) != 0)
        return (int)failure_report(produce->session.is_json, err, strerror(errno), "opening %s", receipts);
    interrupt_install();
    start_ns = clock_monotonic_ns();
    if (greet_typist(produce->arguments)) is_quiet = true;
    progress_init(&produce->progress, !is_quiet, total_size(produce->arguments), start_ns);
    code = send_inputs(produce);
    drain(produce);
    progress_clear(&produce->progress);
    produce->summary.resent = mesh_producer_resent_records(produce->producer);
    produce->summary.pause_ns = produce->pause.longest_ns;
    produce->summary.seconds = (double)(clock_monotonic_ns() - start_ns) / 1e9;
    return produce_summary_finish(&produce->summary, &produce->session, produce->arguments, &produce->tally,
                                  code);
}

int command_produce(const struct arguments *arguments)
{
    const char *contradiction = find_contradiction(arguments);
    struct produce produce = {.arguments = arguments};
    int code, err;

    if (contradiction != NULL) return (int)failure_usage("produce", contradiction);
    code = (int)session_open(arguments, &produce.session);
    if (code != EXIT_DONE) return code;
    delivery_tally_init(&produce.tally, arguments->operands[0]);
    err = collect_headers(&produce);
    if (err == 0) err = set_up_reader(&produce);
    if (err == 0) err = set_up_producer(&produce);
    code = err != 0 ? (int)session_fail(&produce.session, err, "producing to '%s'", arguments->operands[0])
                    : run(&produce);
    mesh_producer_free(produce.producer);
    record_reader_free(produce.reader);
    for (size_t i = 0; i < produce.header_count; i++)
        free((void *)(uintptr_t)produce.headers[i].key);
    free(produce.headers);
    delivery_tally_deinit(&produce.tally);
    session_close(&produce.session);
    return code;
}
