/* mesh events: what brokers have noted, of all of them in the order of their clocks; --follow: and what comes. */
#include "cmd/cli/broker_choice.h"
#include "cmd/cli/commands.h"
#include "cmd/cli/interrupt.h"
#include "cmd/cli/json_writer.h"
#include "cmd/cli/session.h"
#include "cmd/cli/standard_output.h"
#include "cmd/cli/table.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define FOLLOW_MS     500
#define PATIENCE_MS   2000  /* for one answer while somebody follows: so long Ctrl-C may take */
#define SILENT_MS     500   /* ... for that of one that did not answer before */
#define AGAIN_MS      5000  /* after so long it is asked again: the events of the others do not wait for it */
#define PAGES_MAX     64    /* answers that are put together: more than a broker keeps */
#define BROKERS_MAX   1000

static const char *const level_names[] = {"debug", "info", "warn", "error"};

/* How far one broker's events were read. */
struct place {
    char id[37];
    uint64_t boot, last; /* boot 0: it was not read yet */
    bool is_silent; /* it did not answer the last time, which was said */
    uint64_t again_ms; /* then: when it is asked again */
};

/* What one round has found. */
struct found {
    struct mesh_events **pages; /* owned */
    size_t page_count, page_room;
    struct row {
        const struct mesh_events_info *from;
        const struct mesh_event_info *event;
    } *rows; /* owned; borrow from the pages */
    size_t row_count;
};

static void found_deinit(struct found *found)
{
    for (size_t i = 0; i < found->page_count; i++)
        mesh_events_free(found->pages[i]);
    free(found->pages);
    free(found->rows);
    *found = (struct found){0};
}

/* Takes `page`. */
static int found_add(struct found *found, struct mesh_events *page)
{
    const struct mesh_events_info *info = mesh_events_info(page);
    struct row *rows = realloc(found->rows, (found->row_count + info->event_count + 1) * sizeof(*rows));

    if (rows != NULL) found->rows = rows;
    if (rows != NULL && found->page_count == found->page_room) {
        size_t room = found->page_room * 2 + 8;
        struct mesh_events **pages = realloc(found->pages, room * sizeof(struct mesh_events *));

        if (pages != NULL) found->page_room = room;
        if (pages != NULL) found->pages = pages;
    }
    if (rows == NULL || found->page_count == found->page_room) {
        mesh_events_free(page);
        return MESH_ENOMEM;
    }
    found->pages[found->page_count++] = page;
    for (size_t i = 0; i < info->event_count; i++)
        found->rows[found->row_count++] = (struct row){info, &info->events[i]};
    return 0;
}

/* By time; of one broker by number. */
static int compare_rows(const void *a, const void *b)
{
    const struct row *left = a, *right = b;

    if (left->event->wall_ms != right->event->wall_ms) return left->event->wall_ms < right->event->wall_ms ? -1 : 1;
    if (strcmp(left->from->id, right->from->id) != 0) return strcmp(left->from->name, right->from->name);
    return (left->event->sequence > right->event->sequence) - (left->event->sequence < right->event->sequence);
}

/* ---- asking ---- */

/* Everything of one broker after place->last. A broker that has started anew begins again. */
static int read_broker(const struct session *session, struct place *place, uint64_t age_ms, struct found *found)
{
    for (int page_number = 0; page_number < PAGES_MAX; page_number++) {
        struct mesh_events *page;
        const struct mesh_events_info *info;
        int has_more, err = mesh_events_get(session->client, place->id, place->last, age_ms, &page);

        if (err != 0) return err;
        info = mesh_events_info(page);
        has_more = info->has_more;
        if (place->boot != 0 && info->boot != place->boot) {
            place->boot = info->boot;
            place->last = 0;
            mesh_events_free(page);
            continue;
        }
        place->boot = info->boot;
        place->last = info->last;
        err = found_add(found, page);
        if (err != 0 || !has_more) return err;
    }
    return 0;
}

static struct place *place_of(struct place *places, size_t *count, const char *id)
{
    for (size_t i = 0; i < *count; i++)
        if (strcmp(places[i].id, id) == 0) return &places[i];
    if (*count == BROKERS_MAX) return NULL;
    places[*count] = (struct place){0};
    snprintf(places[*count].id, sizeof(places[*count].id), "%s", id);
    return &places[(*count)++];
}

/* A broker that does not answer is told, and the others are shown. Returns the exit code. */
static int read_all(const struct session *session, const struct broker_choice *choice, struct place *places, size_t *place_count, uint64_t age_ms, struct found *found)
{
    int code = EXIT_DONE;

    for (size_t i = 0; i < choice->count; i++) {
        struct place *place = place_of(places, place_count, choice->brokers[i].id);
        int err = place == NULL ? MESH_EFULL : read_broker(session, place, age_ms, found);

        if (err != 0) code = (int)session_fail(session, err, "the events of %s", choice->brokers[i].name);
    }
    return code;
}

/* ---- showing ---- */

static int row_json(const struct row *row, struct buffer *text)
{
    struct json_writer json;

    json_writer_init(&json, text);
    json_writer_begin_object(&json);
    json_writer_key(&json, "time_ms");
    json_writer_unsigned(&json, row->event->wall_ms);
    json_writer_key(&json, "broker");
    json_writer_text(&json, row->from->id);
    json_writer_key(&json, "name");
    json_writer_text(&json, row->from->name);
    json_writer_key(&json, "boot");
    json_writer_unsigned(&json, row->from->boot);
    json_writer_key(&json, "sequence");
    json_writer_unsigned(&json, row->event->sequence);
    json_writer_key(&json, "level");
    json_writer_text(&json, level_names[row->event->level & 3]);
    json_writer_key(&json, "kind");
    json_writer_text(&json, row->event->kind);
    json_writer_key(&json, "text");
    json_writer_text(&json, row->event->text);
    json_writer_end_object(&json);
    return json_writer_error(&json) != 0 ? MESH_ENOMEM : buffer_append(text, "\n", 1);
}

/* Whatever a name or a text holds cannot move the cursor. */
static int append_clean(struct buffer *text, const char *from)
{
    int err = 0;

    for (; *from != '\0' && err == 0; from++)
        err = buffer_append(text, (unsigned char)*from < 0x20 || *from == 0x7f ? "?" : from, 1);
    return err;
}

static int row_people(const struct row *row, struct buffer *text, bool has_colours)
{
    static const enum colour colours[] = {COLOUR_DIM, COLOUR_NONE, COLOUR_YELLOW, COLOUR_RED};
    time_t seconds = (time_t)(row->event->wall_ms / 1000);
    char head[64], kind[32];
    struct tm tm;
    int err;

    if (gmtime_r(&seconds, &tm) == NULL) return MESH_EINVAL;
    (void)strftime(head, sizeof(head), "%Y-%m-%dT%H:%M:%S", &tm);
    err = buffer_printf(text, "%s.%03uZ ", head, (unsigned)(row->event->wall_ms % 1000));
    snprintf(kind, sizeof(kind), "%-5s %-8.20s ", level_names[row->event->level & 3], row->event->kind);
    if (err == 0) err = append_clean(text, row->from->name);
    if (err == 0) err = buffer_append_string(text, " ");
    if (err == 0) err = table_coloured(text, colours[row->event->level & 3], kind, has_colours);
    if (err == 0) err = append_clean(text, row->event->text);
    return err != 0 ? err : buffer_append_string(text, "\n");
}

static int show(const struct session *session, struct found *found)
{
    struct buffer text = BUFFER_INIT;
    bool has_colours = terminal_has_colours(STDOUT_FILENO);
    int err = 0;

    if (found->row_count > 1) qsort(found->rows, found->row_count, sizeof(found->rows[0]), compare_rows);
    for (size_t i = 0; i < found->row_count && err == 0; i++)
        err = session->is_json ? row_json(&found->rows[i], &text) : row_people(&found->rows[i], &text, has_colours);
    return standard_output_finish(&text, err);
}

/* ---- the command ---- */

static int choose(const struct session *session, const char *which, struct broker_choice *choice)
{
    int err = broker_choose(session->client, which, choice);

    if (err == 0) return EXIT_DONE;
    if (choice->problem == NULL) return (int)session_fail(session, err, "asking who is in the mesh");
    return (int)failure_report(session->is_json, err, choice->problem, "%s", which != NULL ? which : "the mesh");
}

static int run_once(const struct session *session, const char *which, uint64_t age_ms, struct place *places, size_t *place_count)
{
    struct broker_choice choice;
    struct found found = {0};
    int code = choose(session, which, &choice), shown;

    if (code != EXIT_DONE) return code;
    code = read_all(session, &choice, places, place_count, age_ms, &found);
    shown = show(session, &found);
    found_deinit(&found);
    broker_choice_deinit(&choice);
    return shown != EXIT_DONE ? shown : code;
}

/* ---- following ---- */

/* Whom nobody hears is said once, and so is that he is back: on standard error alone, for the lines on standard output are events. */
static void note_silence(bool *is_silent, int err, const char *whom, const char *why)
{
    if (err != 0 && !*is_silent) fprintf(stderr, "mesh: %s does not answer, and its events come when it does: %s\n", whom, why != NULL && why[0] != '\0' ? why : mesh_strerror(err));
    if (err == 0 && *is_silent) fprintf(stderr, "mesh: %s answers again\n", whom);
    *is_silent = err != 0;
}

/* What came since the last time of those who answered it, or of those who did not: of these a sign of life is looked for now and then, and not for long. Returns
 * the exit code: only what cannot be written ends it. */
static int follow_some(const struct session *session, const struct broker_choice *choice, uint64_t age_ms, struct place *places, size_t *place_count, bool are_silent)
{
    struct found found = {0};
    int code;

    (void)mesh_client_set_timeout_ms(session->client, are_silent ? SILENT_MS : PATIENCE_MS);
    for (size_t i = 0; i < choice->count && interrupt_signal() == 0; i++) {
        struct place *place = place_of(places, place_count, choice->brokers[i].id);
        int err;

        if (place == NULL || place->is_silent != are_silent || (are_silent && clock_monotonic_ms() < place->again_ms)) continue;
        err = read_broker(session, place, place->boot == 0 ? age_ms : 0, &found);
        note_silence(&place->is_silent, err, choice->brokers[i].name, mesh_client_error(session->client));
        place->again_ms = clock_monotonic_ms() + AGAIN_MS;
    }
    code = show(session, &found);
    found_deinit(&found);
    return code;
}

/* Until somebody stops it. Brokers may be silent, and all of them may: it goes on when they are back. Only the first time somebody has to answer. */
static int follow(const struct session *session, const char *which, uint64_t age_ms, struct place *places, size_t *place_count)
{
    const struct timespec pause = {0, FOLLOW_MS * 1000000};
    bool has_begun = false, is_silent = false;
    int code = EXIT_DONE;

    interrupt_install();
    while (interrupt_signal() == 0 && code == EXIT_DONE) {
        struct broker_choice choice;
        int err = 0;

        if (!has_begun) {
            code = choose(session, which, &choice);
        } else {
            (void)mesh_client_set_timeout_ms(session->client, PATIENCE_MS);
            err = broker_choose(session->client, which, &choice);
            note_silence(&is_silent, err, "the mesh", choice.problem != NULL ? choice.problem : mesh_client_error(session->client));
        }
        if (code == EXIT_DONE && err == 0) {
            code = follow_some(session, &choice, age_ms, places, place_count, false); /* whose events do not wait for the others */
            if (code == EXIT_DONE) code = follow_some(session, &choice, age_ms, places, place_count, true);
            broker_choice_deinit(&choice);
            has_begun = true;
        }
        if (interrupt_signal() == 0 && code == EXIT_DONE) (void)nanosleep(&pause, NULL);
    }
    return interrupt_signal() != 0 ? EXIT_SIGNAL + interrupt_signal() : code;
}

int command_events(const struct arguments *arguments)
{
    const char *which = arguments_text(arguments, "of", NULL);
    uint64_t age_ms = (uint64_t)arguments_duration_ms(arguments, "since", 0);
    struct place *places;
    struct session session;
    size_t place_count = 0;
    int code = (int)session_open(arguments, &session);

    if (code != EXIT_DONE) return code;
    places = calloc(BROKERS_MAX, sizeof(*places));
    if (places == NULL)
        code = (int)failure_report(session.is_json, MESH_ENOMEM, NULL, "events");
    else
        code = (arguments_has(arguments, "follow") ? follow : run_once)(&session, which, age_ms, places, &place_count);
    free(places);
    session_close(&session);
    return code;
}
