/* mesh drain: has a broker give its leadership away, and waits until it leads nothing; --empty: its replicas, until it keeps none; --undo: takes either back. */
#include "cmd/cli/broker_choice.h"
#include "cmd/cli/commands.h"
#include "cmd/cli/interrupt.h"
#include "cmd/cli/json_writer.h"
#include "cmd/cli/session.h"
#include "cmd/cli/standard_output.h"
#include "cmd/cli/terminal.h"

#include "base/clock.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define LOOK_MS 100

static bool is_done(const struct mesh_drain_info *info, enum mesh_drain_action action)
{
    switch (action) {
    case MESH_DRAIN_UNDO: return !info->is_wanted && !info->is_drained && !info->is_emptying;
    case MESH_DRAIN_EMPTY: return info->hosted == 0;
    default: return info->is_drained && info->led == 0;
    }
}

static int write_json(const struct mesh_drain_info *info)
{
    struct buffer text = BUFFER_INIT;
    struct json_writer json;

    json_writer_init(&json, &text);
    json_writer_begin_object(&json);
    json_writer_key(&json, "broker");
    json_writer_text(&json, info->id);
    json_writer_key(&json, "name");
    json_writer_text(&json, info->name);
    json_writer_key(&json, "wanted");
    json_writer_boolean(&json, info->is_wanted != 0);
    json_writer_key(&json, "drained");
    json_writer_boolean(&json, info->is_drained != 0);
    json_writer_key(&json, "led");
    json_writer_unsigned(&json, info->led);
    json_writer_key(&json, "others");
    json_writer_unsigned(&json, info->others);
    json_writer_key(&json, "emptying");
    json_writer_boolean(&json, info->is_emptying != 0);
    json_writer_key(&json, "hosted");
    json_writer_unsigned(&json, info->hosted);
    json_writer_end_object(&json);
    return standard_output_finish(&text, json_writer_error(&json) != 0 ? MESH_ENOMEM : buffer_append(&text, "\n", 1));
}

static int report(const struct session *session, const struct mesh_drain_info *info, enum mesh_drain_action action)
{
    if (session->is_json) return write_json(info);
    if (action == MESH_DRAIN_UNDO)
        fprintf(stderr, "%s may lead again; leadership goes back to it by and by.\n", info->name);
    else if (action == MESH_DRAIN_EMPTY && info->hosted == 0)
        fprintf(stderr, "%s keeps nothing any more: stop it, then 'mesh remove %s'.\n", info->name, info->name);
    else if (action == MESH_DRAIN_EMPTY)
        fprintf(stderr, "%s is being emptied: it still keeps %llu replicas.\n", info->name, (unsigned long long)info->hosted);
    else if (is_done(info, action))
        fprintf(stderr, "%s leads nothing, until it starts anew or 'mesh drain %s --undo'.\n", info->name, info->name);
    else
        fprintf(stderr, "%s is being drained: it still leads %llu partitions.\n", info->name, (unsigned long long)info->led);
    return EXIT_DONE;
}

static void show_progress(const struct mesh_drain_info *info, enum mesh_drain_action action, uint64_t *shown)
{
    uint64_t left = action == MESH_DRAIN_EMPTY ? info->hosted : info->led;

    if (!terminal_is(STDERR_FILENO) || left == *shown) return;
    *shown = left;
    fprintf(stderr, action == MESH_DRAIN_EMPTY ? "%s still keeps %llu replicas\n" : "%s still leads %llu partitions\n", info->name, (unsigned long long)left);
}

static int too_late(const struct session *session, const struct mesh_drain_info *info, enum mesh_drain_action action)
{
    char cause[256];

    if (action == MESH_DRAIN_UNDO)
        snprintf(cause, sizeof(cause), "the coordinator has not let it lead again yet");
    else if (action == MESH_DRAIN_EMPTY)
        snprintf(cause, sizeof(cause), "it still keeps %llu replicas; others go on copying them: the same command waits again, 'mesh status' names what is missing", (unsigned long long)info->hosted);
    else if (!info->is_drained)
        snprintf(cause, sizeof(cause), "the mesh has not agreed to it yet: is there a coordinator? 'mesh status' says");
    else
        snprintf(cause, sizeof(cause), "it still leads %llu partitions, of which no other replica is in sync; 'mesh status' names what is missing", (unsigned long long)info->led);
    return (int)failure_report(session->is_json, MESH_ETIMEDOUT, cause, action == MESH_DRAIN_EMPTY ? "emptying %s" : "draining %s", info->name);
}

/* Asks again until it is so. What was asked for holds, whatever comes of the waiting. */
static int wait_until_done(const struct session *session, const char *id, struct mesh_drain_info *info, enum mesh_drain_action action)
{
    uint64_t deadline_ms = clock_monotonic_ms() + (uint64_t)session->timeout_ms, shown = UINT64_MAX;
    const struct timespec pause = {0, LOOK_MS * 1000000};

    interrupt_install();
    while (!is_done(info, action)) {
        int err;

        show_progress(info, action, &shown);
        if (interrupt_signal() != 0) return EXIT_SIGNAL + interrupt_signal();
        if (clock_monotonic_ms() >= deadline_ms) return too_late(session, info, action);
        (void)nanosleep(&pause, NULL);
        err = mesh_drain(session->client, id, MESH_DRAIN_LOOK, info);
        if (err != 0) return (int)session_fail(session, err, "draining %s", info->name);
    }
    return report(session, info, action);
}

static int drain(const struct session *session, const struct arguments *arguments, const char *id)
{
    enum mesh_drain_action action = arguments_has(arguments, "undo") ? MESH_DRAIN_UNDO : arguments_has(arguments, "empty") ? MESH_DRAIN_EMPTY : MESH_DRAIN_BEGIN;
    struct mesh_drain_info info;
    int err = mesh_drain(session->client, id, action, &info);

    if (err != 0) return (int)session_fail(session, err, "draining %s", id == NULL ? "the broker" : arguments->operands[0]);
    if (arguments_has(arguments, "no-wait")) return report(session, &info, action);
    return wait_until_done(session, info.id, &info, action);
}

int command_drain(const struct arguments *arguments)
{
    const char *which = arguments->operand_count > 0 ? arguments->operands[0] : NULL;
    struct broker_choice choice = {0};
    struct session session;
    int err, code;

    if (which != NULL && arguments_has(arguments, "self")) return (int)failure_usage("drain", "--self is the broker that answers: name none with it");
    if (arguments_has(arguments, "empty") && arguments_has(arguments, "undo")) return (int)failure_usage("drain", "--undo takes --empty back: name one of them");
    code = (int)session_open(arguments, &session);
    if (code != EXIT_DONE) return code;
    err = which == NULL ? 0 : broker_choose(session.client, which, &choice);
    if (err != 0 && choice.problem == NULL)
        code = (int)session_fail(&session, err, "asking who is in the mesh");
    else if (err != 0)
        code = (int)failure_report(session.is_json, err, choice.problem, "%s", which);
    else
        code = drain(&session, arguments, which == NULL ? NULL : choice.brokers[0].id);
    broker_choice_deinit(&choice);
    session_close(&session);
    return code;
}
