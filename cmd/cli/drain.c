/* mesh drain: has brokers give their leadership away, and waits until they lead nothing; --empty: their replicas, until they keep none; --undo: takes either back. */
#include "cmd/cli/broker_choice.h"
#include "cmd/cli/commands.h"
#include "cmd/cli/interrupt.h"
#include "cmd/cli/json_writer.h"
#include "cmd/cli/session.h"
#include "cmd/cli/standard_output.h"
#include "cmd/cli/terminal.h"

#include "base/clock.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LOOK_MS     100
#define PATIENCE_MS 2000 /* for one answer while it is waited: so long Ctrl-C may take */

/* One broker that is drained. */
struct drained {
    char id[37]; /* "": the one that answers */
    char name[BROKER_CHOICE_NAME_SIZE];
    struct mesh_drain_info info; /* its last answer */
    bool is_asked;               /* it has heard of it: what was asked for holds, whatever comes of the waiting */
    bool is_over;                /* done, or failed: nothing more is waited for */
    uint64_t shown;              /* what was left when it was last said */
};

struct drain {
    const struct session *session;
    enum mesh_drain_action action;
    uint64_t deadline_ms; /* one for all brokers and all that is asked of them */
    struct drained *brokers; /* owned */
    size_t count;
    int code; /* of the first that failed */
};

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

static void show_progress(struct drained *broker, enum mesh_drain_action action)
{
    uint64_t left = action == MESH_DRAIN_EMPTY ? broker->info.hosted : broker->info.led;

    if (!terminal_is(STDERR_FILENO) || left == broker->shown) return;
    broker->shown = left;
    fprintf(stderr, action == MESH_DRAIN_EMPTY ? "%s still keeps %llu replicas\n" : "%s still leads %llu partitions\n", broker->info.name, (unsigned long long)left);
}

static int too_late(const struct drain *drain, const struct mesh_drain_info *info)
{
    char cause[256];

    if (drain->action == MESH_DRAIN_UNDO)
        snprintf(cause, sizeof(cause), "the coordinator has not let it lead again yet");
    else if (drain->action == MESH_DRAIN_EMPTY)
        snprintf(cause, sizeof(cause), "it still keeps %llu replicas; others go on copying them: the same command waits again, 'mesh status' names what is missing", (unsigned long long)info->hosted);
    else if (!info->is_drained)
        snprintf(cause, sizeof(cause), "the mesh has not agreed to it yet: is there a coordinator? 'mesh status' says");
    else
        snprintf(cause, sizeof(cause), "it still leads %llu partitions, of which no other replica is in sync; 'mesh status' names what is missing", (unsigned long long)info->led);
    return (int)failure_report(drain->session->is_json, MESH_ETIMEDOUT, cause, drain->action == MESH_DRAIN_EMPTY ? "emptying %s" : "draining %s", info->name);
}

/* ---- asking ---- */

static void end(struct drain *drain, struct drained *broker, int code)
{
    broker->is_over = true;
    if (drain->code == EXIT_DONE) drain->code = code;
}

static bool is_late(const struct drain *drain)
{
    return clock_monotonic_ms() >= drain->deadline_ms;
}

/* The next call has its share of the time that is left, and `most_ms` at most. */
static void limit_call(struct drain *drain, size_t share, uint64_t most_ms)
{
    uint64_t now_ms = clock_monotonic_ms(), left_ms = now_ms < drain->deadline_ms ? (drain->deadline_ms - now_ms) / share : 0;

    if (left_ms > most_ms) left_ms = most_ms;
    (void)mesh_client_set_timeout_ms(drain->session->client, left_ms > 0 ? (int)left_ms : 1);
}

/* Its first answer is that to what is wanted. A later one may be late: it is asked for again. */
static int ask(struct drain *drain, struct drained *broker)
{
    int err;

    if (broker->is_asked)
        limit_call(drain, 1, PATIENCE_MS);
    else
        limit_call(drain, drain->count - (size_t)(broker - drain->brokers), INT_MAX); /* those that come after it are to be asked, too */
    err = mesh_drain(drain->session->client, broker->id[0] != '\0' ? broker->id : NULL, broker->is_asked ? MESH_DRAIN_LOOK : drain->action, &broker->info);
    if (err == MESH_ETIMEDOUT && broker->is_asked && !is_late(drain)) return 0;
    if (err != 0) {
        end(drain, broker, (int)session_fail(drain->session, err, "draining %s", broker->name));
        return err;
    }
    broker->is_asked = true;
    snprintf(broker->id, sizeof(broker->id), "%s", broker->info.id); /* that of the one that answered */
    return 0;
}

static bool is_agreed(const struct mesh_drain_info *info, enum mesh_drain_action action)
{
    return action == MESH_DRAIN_BEGIN ? info->is_drained : is_done(info, action) || action == MESH_DRAIN_EMPTY;
}

/* Asks again until it is so, or the mesh has agreed to it (`is_begin`); false: somebody ends it. */
static bool wait_for(struct drain *drain, struct drained *broker, bool is_begin)
{
    const struct timespec pause = {0, LOOK_MS * 1000000};

    while (!broker->is_over && !(is_begin ? is_agreed : is_done)(&broker->info, drain->action)) {
        if (interrupt_signal() != 0) return false;
        if (!is_begin) show_progress(broker, drain->action);
        if (is_late(drain)) {
            end(drain, broker, too_late(drain, &broker->info));
            return true;
        }
        (void)nanosleep(&pause, NULL);
        if (interrupt_signal() == 0) (void)ask(drain, broker);
    }
    if (!broker->is_over && !is_begin) end(drain, broker, report(drain->session, &broker->info, drain->action));
    return true;
}

/* What holds although nobody waits for it any more. */
static int interrupted(const struct drain *drain)
{
    for (size_t i = 0; i < drain->count; i++) {
        const struct drained *broker = &drain->brokers[i];

        if (broker->is_over) continue;
        if (!broker->is_asked)
            fprintf(stderr, "%s was not asked.\n", broker->name);
        else if (drain->action == MESH_DRAIN_UNDO)
            fprintf(stderr, "%s: the undoing goes on by itself; 'mesh status' shows how it stands.\n", broker->info.name);
        else
            fprintf(stderr, "%s: it goes on by itself, %llu %s are left. 'mesh drain %s%s' waits again, 'mesh drain %s --undo' takes it back.\n", broker->info.name,
                    (unsigned long long)(drain->action == MESH_DRAIN_EMPTY ? broker->info.hosted : broker->info.led), drain->action == MESH_DRAIN_EMPTY ? "replicas" : "partitions",
                    broker->info.name, drain->action == MESH_DRAIN_EMPTY ? " --empty" : "", broker->info.name);
    }
    return EXIT_SIGNAL + interrupt_signal();
}

/* All of them are asked before any is waited for, so that none is given what it has to give away again. Each when the one before was agreed to: who judges
 * whether enough others are left knows of it then. */
static int run(struct drain *drain, bool is_waiting)
{
    interrupt_install();
    for (size_t i = 0; i < drain->count; i++) {
        struct drained *broker = &drain->brokers[i];

        if (interrupt_signal() != 0) return interrupted(drain);
        if (ask(drain, broker) != 0) continue;
        if (i + 1 < drain->count && !wait_for(drain, broker, true)) return interrupted(drain);
        if (!is_waiting && !broker->is_over) end(drain, broker, report(drain->session, &broker->info, drain->action));
    }
    for (size_t i = 0; i < drain->count; i++)
        if (!wait_for(drain, &drain->brokers[i], false)) return interrupted(drain);
    return drain->code;
}

/* ---- the command ---- */

/* Who is meant, all of them before anything is asked. Returns the exit code. */
static int choose(struct drain *drain, const struct arguments *arguments)
{
    if (arguments->operand_count == 0) snprintf(drain->brokers[0].name, sizeof(drain->brokers[0].name), "the broker");
    for (size_t i = 0; i < arguments->operand_count; i++) {
        struct broker_choice choice;
        int err;

        limit_call(drain, 1, INT_MAX);
        err = broker_choose(drain->session->client, arguments->operands[i], &choice);

        if (err != 0 && choice.problem == NULL) return (int)session_fail(drain->session, err, "asking who is in the mesh");
        if (err != 0) return (int)failure_report(drain->session->is_json, err, choice.problem, "%s", arguments->operands[i]);
        memcpy(drain->brokers[i].id, choice.brokers[0].id, sizeof(drain->brokers[i].id));
        memcpy(drain->brokers[i].name, choice.brokers[0].name, sizeof(drain->brokers[i].name));
        broker_choice_deinit(&choice);
    }
    return EXIT_DONE;
}

int command_drain(const struct arguments *arguments)
{
    struct drain drain = {.action = arguments_has(arguments, "undo") ? MESH_DRAIN_UNDO : arguments_has(arguments, "empty") ? MESH_DRAIN_EMPTY : MESH_DRAIN_BEGIN};
    struct session session;
    int code;

    if (arguments->operand_count > 0 && arguments_has(arguments, "self")) return (int)failure_usage("drain", "--self is the broker that answers: name none with it");
    if (arguments_has(arguments, "empty") && arguments_has(arguments, "undo")) return (int)failure_usage("drain", "--undo takes --empty back: name one of them");
    code = (int)session_open(arguments, &session);
    if (code != EXIT_DONE) return code;
    drain.session = &session;
    drain.deadline_ms = clock_monotonic_ms() + (uint64_t)session.timeout_ms;
    drain.count = arguments->operand_count > 0 ? arguments->operand_count : 1;
    drain.brokers = calloc(drain.count, sizeof(*drain.brokers));
    if (drain.brokers == NULL) {
        code = (int)failure_report(session.is_json, MESH_ENOMEM, NULL, "drain");
    } else {
        for (size_t i = 0; i < drain.count; i++)
            drain.brokers[i].shown = UINT64_MAX;
        code = choose(&drain, arguments);
        if (code == EXIT_DONE) code = run(&drain, !arguments_has(arguments, "no-wait"));
    }
    free(drain.brokers);
    session_close(&session);
    return code;
}
