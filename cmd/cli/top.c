/* mesh top: what a mesh is doing, drawn anew every other second. The figures are those of each broker's /metrics; who the brokers are says the status. */
#include "base/clock.h"
#include "base/error.h"
#include "cmd/cli/broker_words.h"
#include "cmd/cli/commands.h"
#include "cmd/cli/interrupt.h"
#include "cmd/cli/json_writer.h"
#include "cmd/cli/scrape.h"
#include "cmd/cli/screen.h"
#include "cmd/cli/session.h"
#include "cmd/cli/standard_output.h"
#include "cmd/cli/table.h"
#include "cmd/cli/top_state.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define INTERVAL_MS_DEFAULT 2000
#define INTERVAL_MS_MIN     100
#define SCRAPE_MS_MAX       5000 /* who has not answered by then is shown without figures */
#define SCRAPE_DOUBTED_MS   2000 /* ... who had not the last time, either */
#define PROBLEMS_SHOWN_MAX  3
#define ROWS_OUTSIDE        1000 /* of topics and groups, where there is no screen to fit */

struct top {
    struct session session;
    struct mesh_status *status;
    const struct mesh_status_info *info; /* of `status` */
    struct scrape *scrapes;              /* owned; one for each broker of `info` */
    struct top_look before, now;
    double seconds; /* between the two; 0: there is only one */
    int64_t interval_ms;
    bool is_screen;
};

/* ---- asking ---- */

static void scrapes_free(struct top *top)
{
    for (size_t i = 0; top->scrapes != NULL && i < top->info->broker_count; i++)
        buffer_deinit(&top->scrapes[i].answer);
    free(top->scrapes);
    top->scrapes = NULL;
}

/* Whether the brokers are those of before, in their order: else there is nothing to compare with. */
static bool is_same_mesh(const struct mesh_status_info *a, const struct mesh_status_info *b)
{
    bool is_same = a != NULL && a->broker_count == b->broker_count;

    for (size_t i = 0; is_same && i < b->broker_count; i++)
        is_same = a->brokers[i].node_id == b->brokers[i].node_id;
    return is_same;
}

static int ask_brokers(struct top *top)
{
    static const struct scrape_limits limits = {SCRAPE_MS_MAX, SCRAPE_DOUBTED_MS, screen_is_left, NULL};
    size_t count = top->info->broker_count;
    int err = top_look_init(&top->now, count, clock_monotonic_ns());

    top->scrapes = calloc(count + 1, sizeof(*top->scrapes));
    if (top->scrapes == NULL) return MESH_ENOMEM;
    for (size_t i = 0; i < count; i++) {
        top->scrapes[i].host = top->info->brokers[i].host;
        top->scrapes[i].port = top->info->brokers[i].port;
        top->scrapes[i].is_doubted = top->before.brokers != NULL && !top->before.brokers[i].is_there;
    }
    scrape_all(top->scrapes, count, &limits);
    for (size_t i = 0; i < count && err == 0; i++)
        if (top->scrapes[i].error == 0) err = top_look_add(&top->now, i, top->scrapes[i].body);
    return err;
}

/* Another look; the last one becomes the one before. Errors: those of mesh_status_get(), MESH_ENOMEM. */
static int look(struct top *top)
{
    struct mesh_status *status;
    int err = mesh_status_get(top->session.client, &status);
    bool is_same;

    if (err != 0) return err;
    is_same = is_same_mesh(top->info, mesh_status_info(status));
    scrapes_free(top);
    mesh_status_free(top->status);
    top->status = status;
    top->info = mesh_status_info(status);
    top_look_deinit(&top->before);
    top->before = top->now;
    top->now = (struct top_look){0};
    if (!is_same) top_look_deinit(&top->before);
    err = ask_brokers(top);
    top->seconds = top->before.brokers != NULL ? (double)(top->now.at_ns - top->before.at_ns) / 1e9 : 0;
    return err;
}

/* ---- figures ---- */

/* The counter of a broker before, NaN when it was not there: then there is no rate. */
static double rate_of(const struct top *top, size_t broker, size_t field)
{
    const struct top_broker *now = &top->now.brokers[broker], *before = top->seconds > 0 ? &top->before.brokers[broker] : NULL;
    double then = before != NULL && before->is_there ? *(const double *)(const void *)((const char *)before + field) : (double)NAN;

    return now->is_there ? top_rate(then, *(const double *)(const void *)((const char *)now + field), top->seconds) : (double)NAN;
}

#define RATE(top, broker, figure) rate_of(top, broker, offsetof(struct top_broker, figure))

static double p99(const struct top *top, size_t broker, bool is_sync)
{
    const struct top_broker *now = &top->now.brokers[broker], *before = top->seconds > 0 ? &top->before.brokers[broker] : NULL;

    if (before == NULL || !before->is_there || !now->is_there) return (double)NAN;
    return is_sync ? top_quantile(&before->syncs, &now->syncs, 0.99) : top_quantile(&before->acks, &now->acks, 0.99);
}

struct topic_rates {
    const struct top_topic *topic;
    double records, in, out; /* a second */
};

static struct topic_rates rates_of(const struct top *top, const struct top_topic *topic)
{
    return (struct topic_rates){topic, top_topic_rate(&top->before, &top->now, topic, TOP_PRODUCED_RECORDS, top->seconds),
                                top_topic_rate(&top->before, &top->now, topic, TOP_PRODUCED_BYTES, top->seconds),
                                top_topic_rate(&top->before, &top->now, topic, TOP_FETCHED_BYTES, top->seconds)};
}

static double traffic(const struct topic_rates *rates)
{
    return (isnan(rates->in) ? 0 : rates->in) + (isnan(rates->out) ? 0 : rates->out);
}

/* The busiest first, then the largest. */
static int compare_traffic(const void *a, const void *b)
{
    const struct topic_rates *left = a, *right = b;
    double x = traffic(left), y = traffic(right);

    if (x == y) {
        x = left->topic->stored_bytes;
        y = right->topic->stored_bytes;
    }
    return x < y ? 1 : x > y ? -1 : strcmp(left->topic->name, right->topic->name);
}

static int compare_lag(const void *a, const void *b)
{
    double left = ((const struct top_lag *)a)->records, right = ((const struct top_lag *)b)->records;

    return left < right ? 1 : left > right ? -1 : strcmp(((const struct top_lag *)a)->group, ((const struct top_lag *)b)->group);
}

/* ---- for people ---- */

static const char *count_text(double count, char to[TERMINAL_FIGURE_SIZE])
{
    return isnan(count) ? "-" : terminal_count((uint64_t)(count + 0.5), to);
}

static const char *bytes_text(double bytes, char to[TERMINAL_FIGURE_SIZE])
{
    return isnan(bytes) ? "-" : terminal_bytes((uint64_t)bytes, to);
}

static const char *time_text(double seconds, char to[TERMINAL_FIGURE_SIZE])
{
    if (isnan(seconds)) return "-";
    return isinf(seconds) ? "beyond" : terminal_nanoseconds((uint64_t)(seconds * 1e9), to);
}

static int head_write(const struct top *top, struct buffer *text, bool has_colours)
{
    char clock[16];
    time_t now = time(NULL);
    struct tm local;
    bool is_healthy = top->info->problem_count == 0;
    int err;

    strftime(clock, sizeof(clock), "%H:%M:%S", localtime_r(&now, &local));
    err = buffer_printf(text, "%s  %zu broker%s, %u topic%s, %u partition%s, ", clock, top->info->broker_count, top->info->broker_count == 1 ? "" : "s",
                        top->info->topics, top->info->topics == 1 ? "" : "s", top->info->partitions, top->info->partitions == 1 ? "" : "s");
    if (err == 0) err = table_coloured(text, is_healthy ? COLOUR_GREEN : COLOUR_RED, is_healthy ? "healthy" : "not healthy", has_colours);
    if (err == 0 && top->is_screen) err = buffer_printf(text, "; every %g s, q ends it", (double)top->interval_ms / 1e3);
    if (err == 0) err = buffer_append_string(text, "\n");
    for (size_t i = 0; err == 0 && i < top->info->problem_count && i < PROBLEMS_SHOWN_MAX; i++) {
        err = buffer_append_string(text, "  ");
        if (err == 0) err = table_coloured(text, COLOUR_YELLOW, top->info->problems[i].what, has_colours);
        if (err == 0) err = buffer_append_string(text, "\n");
    }
    if (err == 0 && !is_healthy)
        err = buffer_printf(text, "  %s'mesh status' says what it means and what to do\n", top->info->problem_count > PROBLEMS_SHOWN_MAX ? "and more; " : "");
    return err;
}

static void broker_row(const struct top *top, size_t i, struct table *table)
{
    char figure[TERMINAL_FIGURE_SIZE];
    const struct mesh_broker_info *info = &top->info->brokers[i];
    const struct top_broker *broker = &top->now.brokers[i];
    double cpu = RATE(top, i, cpu_s);

    table_cell(table, "%s%s", info->name, info->node_id == top->info->coordinator ? " *" : "");
    table_cell(table, "%s", broker->is_there ? broker_words_state(info) : mesh_strerror(top->scrapes[i].error));
    table_cell(table, "%s", count_text(RATE(top, i, produced_records), figure));
    table_cell(table, "%s", bytes_text(RATE(top, i, produced_bytes), figure));
    table_cell(table, "%s", bytes_text(RATE(top, i, fetched_bytes), figure));
    table_cell(table, "%s", time_text(p99(top, i, false), figure));
    table_cell(table, "%s", time_text(p99(top, i, true), figure));
    if (isnan(cpu))
        table_cell(table, "-");
    else
        table_cell(table, "%.0f %%", cpu * 100);
    table_cell(table, "%s", broker->is_there ? terminal_bytes((uint64_t)broker->resident_bytes, figure) : "-");
    table_cell(table, "%s", broker->is_there ? terminal_bytes((uint64_t)broker->disk_free_bytes, figure) : "-");
    table_cell(table, "%s", broker->is_there ? count_text(broker->connections, figure) : "-");
    table_cell(table, "%s", broker->is_there ? count_text(broker->leaders, figure) : "-");
}

static int brokers_write(const struct top *top, struct buffer *text, bool has_colours)
{
    static const struct table_column columns[] = {{"BROKER", false},  {"STATE", false}, {"RECORDS/S", true}, {"IN/S", true},  {"OUT/S", true},   {"ACK P99", true},
                                                  {"SYNC P99", true}, {"CPU", true},    {"MEMORY", true},    {"DISK FREE", true}, {"CLIENTS", true}, {"LEADS", true}};
    struct table table;
    int err = buffer_append_string(text, "\n");

    table_init(&table, columns, sizeof(columns) / sizeof(columns[0]));
    for (size_t i = 0; i < top->info->broker_count; i++)
        broker_row(top, i, &table);
    if (err == 0) err = table_write(&table, text, has_colours);
    table_deinit(&table);
    return err;
}

static int topics_write(const struct top *top, struct buffer *text, bool has_colours, const struct topic_rates *rates, size_t count)
{
    static const struct table_column columns[] = {{"TOPIC", false}, {"RECORDS/S", true}, {"IN/S", true}, {"OUT/S", true}, {"ON ALL DISKS", true}};
    char figure[TERMINAL_FIGURE_SIZE];
    struct table table;
    int err = count > 0 ? buffer_append_string(text, "\n") : 0;

    if (count == 0) return 0;
    table_init(&table, columns, sizeof(columns) / sizeof(columns[0]));
    for (size_t i = 0; i < count; i++) {
        table_cell(&table, "%s", rates[i].topic->name);
        table_cell(&table, "%s", count_text(rates[i].records, figure));
        table_cell(&table, "%s", bytes_text(rates[i].in, figure));
        table_cell(&table, "%s", bytes_text(rates[i].out, figure));
        table_cell(&table, "%s", terminal_bytes((uint64_t)rates[i].topic->stored_bytes, figure));
    }
    if (err == 0) err = table_write(&table, text, has_colours);
    table_deinit(&table);
    if (err == 0 && top->now.topic_count > count) err = buffer_printf(text, "%zu more\n", top->now.topic_count - count);
    return err;
}

static int lags_write(const struct top *top, struct buffer *text, bool has_colours, size_t count)
{
    static const struct table_column columns[] = {{"GROUP", false}, {"TOPIC", false}, {"LAG", true}};
    char figure[TERMINAL_FIGURE_SIZE];
    struct table table;
    int err = count > 0 ? buffer_append_string(text, "\n") : 0;

    if (count == 0) return 0;
    table_init(&table, columns, sizeof(columns) / sizeof(columns[0]));
    for (size_t i = 0; i < count; i++) {
        table_cell(&table, "%s", top->now.lags[i].group);
        table_cell(&table, "%s", top->now.lags[i].topic);
        table_cell(&table, "%s", count_text(top->now.lags[i].records, figure));
    }
    if (err == 0) err = table_write(&table, text, has_colours);
    table_deinit(&table);
    if (err == 0 && top->now.lag_count > count) err = buffer_printf(text, "%zu more\n", top->now.lag_count - count);
    return err;
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static int people(const struct top *top, struct buffer *text, const struct topic_rates *rates)
{
    bool has_colours = terminal_has_colours(STDOUT_FILENO);
    size_t rows = top->is_screen ? screen_height() : 2 * ROWS_OUTSIDE;
    size_t used = 12 + top->info->broker_count + smaller(top->info->problem_count, PROBLEMS_SHOWN_MAX); /* headings and blank lines too */
    size_t room = rows > used ? rows - used : 2;
    size_t lags = smaller(top->now.lag_count, room / 3), topics = smaller(top->now.topic_count, room - lags);
    int err = head_write(top, text, has_colours);

    if (err == 0) err = brokers_write(top, text, has_colours);
    if (err == 0) err = topics_write(top, text, has_colours, rates, topics);
    return err != 0 ? err : lags_write(top, text, has_colours, lags);
}

/* ---- as JSON: an object a line ---- */

static void real(struct json_writer *json, const char *key, double value, int decimals)
{
    json_writer_key(json, key);
    json_writer_real(json, value, decimals);
}

static void broker_json(const struct top *top, size_t i, struct json_writer *json)
{
    const struct mesh_broker_info *info = &top->info->brokers[i];
    const struct top_broker *broker = &top->now.brokers[i];

    json_writer_begin_object(json);
    json_writer_key(json, "name");
    json_writer_text(json, info->name);
    json_writer_key(json, "broker");
    json_writer_text(json, info->id);
    json_writer_key(json, "role");
    json_writer_text(json, broker_words_role(top->info, info));
    json_writer_key(json, "state");
    json_writer_text(json, broker_words_state(info));
    json_writer_key(json, "answers");
    json_writer_boolean(json, broker->is_there);
    real(json, "records_per_s", RATE(top, i, produced_records), 1);
    real(json, "in_bytes_per_s", RATE(top, i, produced_bytes), 0);
    real(json, "out_bytes_per_s", RATE(top, i, fetched_bytes), 0);
    real(json, "ack_p99_s", p99(top, i, false), 6);
    real(json, "sync_p99_s", p99(top, i, true), 6);
    real(json, "cpu_cores", RATE(top, i, cpu_s), 3);
    real(json, "resident_bytes", broker->is_there ? broker->resident_bytes : (double)NAN, 0);
    real(json, "disk_free_bytes", broker->is_there ? broker->disk_free_bytes : (double)NAN, 0);
    real(json, "connections", broker->is_there ? broker->connections : (double)NAN, 0);
    real(json, "leaders", broker->is_there ? broker->leaders : (double)NAN, 0);
    json_writer_end_object(json);
}

static void topic_json(const struct topic_rates *rates, struct json_writer *json)
{
    json_writer_begin_object(json);
    json_writer_key(json, "topic");
    json_writer_text(json, rates->topic->name);
    real(json, "records_per_s", rates->records, 1);
    real(json, "in_bytes_per_s", rates->in, 0);
    real(json, "out_bytes_per_s", rates->out, 0);
    real(json, "stored_bytes", rates->topic->stored_bytes, 0);
    json_writer_end_object(json);
}

static int json_write(const struct top *top, struct buffer *text, const struct topic_rates *rates)
{
    struct json_writer json;

    json_writer_init(&json, text);
    json_writer_begin_object(&json);
    real(&json, "seconds", top->seconds, 3);
    json_writer_key(&json, "problems");
    json_writer_unsigned(&json, top->info->problem_count);
    json_writer_key(&json, "brokers");
    json_writer_begin_array(&json);
    for (size_t i = 0; i < top->info->broker_count; i++)
        broker_json(top, i, &json);
    json_writer_end_array(&json);
    json_writer_key(&json, "topics");
    json_writer_begin_array(&json);
    for (size_t i = 0; i < top->now.topic_count && i < ROWS_OUTSIDE; i++)
        topic_json(&rates[i], &json);
    json_writer_end_array(&json);
    json_writer_key(&json, "groups");
    json_writer_begin_array(&json);
    for (size_t i = 0; i < top->now.lag_count && i < ROWS_OUTSIDE; i++) {
        json_writer_begin_object(&json);
        json_writer_key(&json, "group");
        json_writer_text(&json, top->now.lags[i].group);
        json_writer_key(&json, "topic");
        json_writer_text(&json, top->now.lags[i].topic);
        real(&json, "lag", top->now.lags[i].records, 0);
        json_writer_end_object(&json);
    }
    json_writer_end_array(&json);
    json_writer_end_object(&json);
    return json_writer_error(&json) != 0 ? MESH_ENOMEM : buffer_append(text, "\n", 1);
}

/* ---- the command ---- */

static int show(struct top *top)
{
    struct topic_rates *rates = calloc(top->now.topic_count + 1, sizeof(*rates));
    struct buffer text = BUFFER_INIT;
    int err = rates == NULL ? MESH_ENOMEM : top->is_screen ? screen_home(&text) : 0;

    for (size_t i = 0; err == 0 && i < top->now.topic_count; i++)
        rates[i] = rates_of(top, &top->now.topics[i]);
    if (err == 0) {
        qsort(rates, top->now.topic_count, sizeof(*rates), compare_traffic);
        if (top->now.lag_count > 0) qsort(top->now.lags, top->now.lag_count, sizeof(*top->now.lags), compare_lag);
        err = top->session.is_json ? json_write(top, &text, rates) : people(top, &text, rates);
    }
    if (err == 0 && top->is_screen) err = screen_fit(&text);
    free(rates);
    return standard_output_finish(&text, err);
}

/* Looks every interval; what has no screen to itself is shown from the second look on, which has rates. */
static int run(struct top *top, int64_t count)
{
    int64_t shown = 0;

    while (interrupt_signal() == 0 && (count == 0 || shown < count)) {
        uint64_t began_ms = clock_monotonic_ms();
        int err = look(top);

        if (screen_is_left()) break;
        if (err != 0) {
            screen_end();
            return (int)session_fail(&top->session, err, "asking what the mesh does");
        }
        if (top->is_screen || top->seconds > 0) {
            int code = show(top);
            if (code != EXIT_DONE) return code;
            shown++;
        }
        if ((count == 0 || shown < count) && !screen_wait(began_ms + (uint64_t)top->interval_ms)) break;
    }
    return EXIT_DONE;
}

int command_top(const struct arguments *arguments)
{
    struct top top = {.interval_ms = arguments_duration_ms(arguments, "interval", INTERVAL_MS_DEFAULT)};
    int64_t count;
    int code;

    if (top.interval_ms < INTERVAL_MS_MIN) top.interval_ms = INTERVAL_MS_MIN;
    code = (int)session_open(arguments, &top.session);
    if (code != EXIT_DONE) return code;
    top.is_screen = !top.session.is_json && terminal_is(STDOUT_FILENO);
    count = arguments_integer(arguments, "count", top.is_screen || top.session.is_json ? 0 : 1);
    interrupt_install();
    if (top.is_screen) screen_begin();
    code = run(&top, count);
    screen_end();
    scrapes_free(&top);
    top_look_deinit(&top.before);
    top_look_deinit(&top.now);
    mesh_status_free(top.status);
    session_close(&top.session);
    return code;
}
