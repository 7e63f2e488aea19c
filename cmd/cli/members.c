/* mesh members: who is in the mesh, as the asked broker sees it; --watch: and how that changes. */
#include "base/error.h"
#include "cmd/cli/commands.h"
#include "cmd/cli/interrupt.h"
#include "cmd/cli/json_writer.h"
#include "cmd/cli/session.h"
#include "cmd/cli/standard_output.h"
#include "cmd/cli/table.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define WATCH_MS 500

static const char *const state_names[] = {"alive", "suspect", "dead", "left"};

/* Where clients find it. */
static const char *client_address(const struct mesh_member_info *member, char *to, size_t size)
{
    snprintf(to, size, strchr(member->host, ':') != NULL ? "[%s]:%u" : "%s:%u", member->host, (unsigned)member->port);
    return member->host[0] != '\0' ? to : member->address;
}

/* ---- as JSON ---- */

static void write_member(struct json_writer *json, const struct mesh_member_info *member)
{
    char address[300];

    json_writer_begin_object(json);
    json_writer_key(json, "name");
    json_writer_text(json, member->name);
    json_writer_key(json, "broker");
    json_writer_text(json, member->id);
    json_writer_key(json, "address");
    json_writer_text(json, member->address);
    json_writer_key(json, "client_address");
    json_writer_text(json, client_address(member, address, sizeof(address)));
    json_writer_key(json, "state");
    json_writer_text(json, state_names[member->state]);
    json_writer_key(json, "incarnation");
    json_writer_unsigned(json, member->incarnation);
    json_writer_key(json, "zone");
    json_writer_text(json, member->zone);
    json_writer_key(json, "state_ms");
    json_writer_unsigned(json, member->state_ms);
    json_writer_key(json, "heard_ms_ago");
    if (member->heard_ms >= 0)
        json_writer_integer(json, member->heard_ms);
    else
        json_writer_null(json);
    json_writer_key(json, "rtt_us");
    if (member->rtt_us > 0)
        json_writer_unsigned(json, member->rtt_us);
    else
        json_writer_null(json);
    json_writer_key(json, "self");
    json_writer_boolean(json, member->is_self);
    json_writer_key(json, "udp_blocked");
    json_writer_boolean(json, member->is_udp_blocked);
    json_writer_end_object(json);
}

static int members_json(const struct mesh_members *members, struct buffer *text)
{
    struct json_writer json;

    json_writer_init(&json, text);
    json_writer_begin_object(&json);
    json_writer_key(&json, "cluster");
    json_writer_text(&json, mesh_members_cluster(members));
    json_writer_key(&json, "members");
    json_writer_begin_array(&json);
    for (size_t i = 0; i < mesh_members_count(members); i++)
        write_member(&json, mesh_members_at(members, i));
    json_writer_end_array(&json);
    json_writer_end_object(&json);
    return json_writer_error(&json) != 0 ? MESH_ENOMEM : buffer_append(text, "\n", 1);
}

/* ---- for people ---- */

static void add_row(struct table *table, const struct mesh_member_info *member)
{
    char address[300], since[TERMINAL_FIGURE_SIZE], rtt[TERMINAL_FIGURE_SIZE];

    table_cell(table, "%s%s", member->name, member->is_self ? " *" : "");
    table_cell(table, "%s", client_address(member, address, sizeof(address)));
    table_cell(table, "%s%s", state_names[member->state], member->is_udp_blocked ? " (no UDP)" : "");
    table_cell(table, "%s", terminal_seconds((double)(member->state_ms / 1000), since));
    table_cell(table, "%s", member->rtt_us == 0 ? "-" : terminal_nanoseconds((uint64_t)member->rtt_us * 1000, rtt));
    table_cell(table, "%s", member->zone[0] != '\0' ? member->zone : "-");
    table_cell(table, "%s", member->id);
}

static int append_counts(const struct mesh_members *members, struct buffer *text)
{
    size_t counts[4] = {0, 0, 0, 0};
    int err = buffer_printf(text, "\n");

    for (size_t i = 0; i < mesh_members_count(members); i++)
        counts[mesh_members_at(members, i)->state]++;
    for (size_t i = 0; i < 4 && err == 0; i++)
        if (counts[i] > 0 || i == 0) err = buffer_printf(text, "%s%zu %s", i == 0 ? "" : ", ", counts[i], state_names[i]);
    return err != 0 ? err : buffer_printf(text, "; * answered. Cluster %s\n", mesh_members_cluster(members));
}

static int members_people(const struct mesh_members *members, struct buffer *text)
{
    static const struct table_column columns[] = {{"NAME", false},  {"ADDRESS", false}, {"STATE", false}, {"FOR", true},
                                                  {"ROUND TRIP", true}, {"ZONE", false},    {"BROKER", false}};
    struct table table;
    int err;

    table_init(&table, columns, sizeof(columns) / sizeof(columns[0]));
    for (size_t i = 0; i < mesh_members_count(members); i++)
        add_row(&table, mesh_members_at(members, i));
    err = table_write(&table, text, terminal_has_colours(STDOUT_FILENO));
    table_deinit(&table);
    return err != 0 ? err : append_counts(members, text);
}

/* ---- watching ---- */

/* Whether anything but the passing of time has changed; keeps what is compared in *last. */
static bool has_changed(const struct mesh_members *members, struct buffer *last)
{
    struct buffer now = BUFFER_INIT;
    bool is_equal;

    for (size_t i = 0; i < mesh_members_count(members); i++) {
        const struct mesh_member_info *member = mesh_members_at(members, i);

        if (buffer_printf(&now, "%s %d %llu\n", member->id, (int)member->state, (unsigned long long)member->incarnation) != 0)
            break;
    }
    is_equal = now.size == last->size && (now.size == 0 || memcmp(now.data, last->data, now.size) == 0);
    buffer_deinit(last);
    *last = now;
    return !is_equal;
}

static int show(const struct session *session, const struct mesh_members *members, bool is_screen)
{
    struct buffer text = BUFFER_INIT;
    int err = is_screen ? buffer_append_string(&text, "\033[H\033[2J") : 0;

    if (err == 0) err = session->is_json ? members_json(members, &text) : members_people(members, &text);
    return standard_output_finish(&text, err);
}

/* On a terminal the table stays in place and is redrawn; elsewhere it is printed again when it has changed. */
static int watch(struct session *session)
{
    const struct timespec pause = {0, WATCH_MS * 1000000};
    bool is_screen = !session->is_json && terminal_is(STDOUT_FILENO);
    struct buffer last = BUFFER_INIT;
    int code = EXIT_DONE;

    interrupt_install();
    while (code == EXIT_DONE && interrupt_signal() == 0) {
        struct mesh_members *members;
        int err = mesh_members_get(session->client, &members);

        if (err != 0) {
            code = (int)session_fail(session, err, "asking for the members");
            break;
        }
        if (has_changed(members, &last) || is_screen) code = show(session, members, is_screen);
        mesh_members_free(members);
        (void)nanosleep(&pause, NULL);
    }
    buffer_deinit(&last);
    return code;
}

int command_members(const struct arguments *arguments)
{
    struct mesh_members *members;
    struct session session;
    int err, code = (int)session_open(arguments, &session);

    if (code != EXIT_DONE) return code;
    if (arguments_has(arguments, "watch")) {
        code = watch(&session);
    } else if ((err = mesh_members_get(session.client, &members)) != 0) {
        code = (int)session_fail(&session, err, "asking for the members");
    } else {
        code = show(&session, members, false);
        mesh_members_free(members);
    }
    session_close(&session);
    return code;
}
