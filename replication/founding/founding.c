/* founding/founding.c - events in, outputs out; see founding.h. The decisions are in the files beside this one. */
#include "replication/founding/internal.h"

#include "base/assert.h"
#include "base/error.h"

#include <stdio.h>
#include <stdlib.h>

void founding_options_init(struct founding_options *options)
{
    *options = (struct founding_options){.mode = FOUNDING_JOIN,
                                         .ask_interval_us = 500000,
                                         .patience_us = 5000000,
                                         .resend_us = 300000,
                                         .alive_us = 10000000};
}

static bool are_sound(const struct founding_options *options)
{
    if (uuid_is_zero(&options->self.broker) || uuid_is_zero(&options->self.dir) || uuid_is_zero(&options->fresh_cluster)) return false;
    if (options->expect > FOUNDING_EXPECT_MAX || options->ask_interval_us == 0) return false;
    return options->mode == FOUNDING_JOIN || options->expect == 0;
}

/* ---- what becomes of the state ---- */

void founding_change(struct founding *founding)
{
    founding->wanted_version++;
    if (FOUNDING_DEFECT(founding, NOT_DURABLE)) founding->stored = founding->wanted;
}

/* Begins the next store, if there is something to store and none is under way. */
static void store(struct founding *founding)
{
    if (founding->is_storing || founding->wanted_version == founding->stored_version || founding->has_failed) return;
    founding_note_heard(founding);
    founding_stamps_add(&founding->wanted.stamps, random_next(&founding->random));
    founding->storing = founding->wanted;
    founding->storing_version = founding->wanted_version;
    founding->is_storing = founding->is_store_out = true;
    founding->store_number++;
}

void founding_become_member(struct founding *founding, const struct founding_value *value)
{
    struct founding_state *wanted = &founding->wanted;
    const struct uuid *marker = &founding->options.marker;
    char theirs[UUID_STRING_SIZE], ours[UUID_STRING_SIZE];

    if (wanted->phase == FOUNDING_MEMBER) return;
    if (!uuid_is_zero(marker) && !uuid_equal(marker, &value->cluster)) {
        if (founding->is_told_of_other) return;
        founding->is_told_of_other = true;
        snprintf(founding_say(founding, true, "does not join mesh %s: its marker says that it belongs to mesh %s",
                              uuid_format(&value->cluster, theirs), uuid_format(marker, ours))->cure,
                 FOUNDING_TEXT_MAX, "look for brokers of its own mesh; to give that one up, remove the marker");
        return;
    }
    wanted->phase = FOUNDING_MEMBER;
    wanted->value = *value;
    wanted->accepted = (struct founding_ballot){0};
    wanted->known_count = 0;
    wanted->is_set_back = false; /* it has no say in the founding any more; what consensus may have said is the lives' affair */
    founding_change(founding);
}

static void finish(struct founding *founding)
{
    static const struct uuid anybody;

    founding->is_done = founding->is_done_out = true;
    for (size_t i = 0; i < founding->peer_count; i++) {
        const struct founding_peer *peer = &founding->peers[i];
        if (!net_address_is_none(&peer->address)) founding_send(founding, FOUNDING_TELL, &peer->address, &anybody);
    }
}

/* Its mesh is on the disk: the second place next, then everybody hears. */
static void arrive(struct founding *founding)
{
    if (founding->is_done || founding->is_marking) return;
    if (founding->options.keeps_marker && uuid_is_zero(&founding->options.marker))
        founding->is_marking = founding->is_mark_out = true;
    else
        finish(founding);
}

static void answer_proposer(struct founding *founding, const struct founding_state *before)
{
    const struct founding_state *stored = &founding->stored;
    const struct founding_peer *peer = founding_find_peer(founding, &stored->promised.proposer);

    if (founding_ballot_equal(&before->promised, &stored->promised) && founding_ballot_equal(&before->accepted, &stored->accepted)) return;
    if (peer != NULL) founding_send(founding, FOUNDING_TELL, &peer->address, &peer->server.broker);
}

void founding_stored(struct founding *founding, uint64_t now_us, uint64_t number)
{
    if (!founding->is_storing || number != founding->store_number || founding->has_failed) return;
    founding->is_storing = false;
    if (founding->storing_version > founding->stored_version) {
        const struct founding_state before = founding->stored;
        founding->stored = founding->storing;
        founding->stored_version = founding->storing_version;
        if (founding->stored.phase != FOUNDING_MEMBER) answer_proposer(founding, &before);
    }
    if (founding->stored.phase == FOUNDING_MEMBER)
        arrive(founding);
    else
        founding_drive(founding, now_us);
    store(founding);
}

void founding_store_failed(struct founding *founding, uint64_t now_us, int error)
{
    (void)now_us;
    founding->has_failed = true;
    founding->send_count = founding->send_next = 0;
    snprintf(founding_say(founding, true, "cannot remember what it promises: %s", mesh_strerror(error))->cure, FOUNDING_TEXT_MAX,
             "see to the disk of the data directory, then start the broker again");
}

void founding_marked(struct founding *founding, uint64_t now_us, int error)
{
    (void)now_us;
    if (!founding->is_marking || founding->is_done) return;
    founding->is_marking = false;
    if (error != 0)
        snprintf(founding_say(founding, true, "cannot write the marker %s: %s",
                              founding->options.marker_path != NULL ? founding->options.marker_path : "of the founding",
                              mesh_strerror(error))->cure,
                 FOUNDING_TEXT_MAX, "until a start at which it can be written, nothing but this mesh's brokers keeps a wiped majority from founding anew");
    finish(founding);
}

/* ---- a founding ---- */

/* What the directory and the second place say together. */
static void judge(struct founding *founding)
{
    const struct founding_options *options = &founding->options;
    const struct founding_state *stored = &founding->stored;
    uint32_t expect = options->mode == FOUNDING_SERVE ? 1 : options->expect;
    bool has_marker = options->keeps_marker && !uuid_is_zero(&options->marker);
    char theirs[UUID_STRING_SIZE], ours[UUID_STRING_SIZE];

    if (stored->phase == FOUNDING_MEMBER) {
        if (!has_marker || uuid_equal(&options->marker, &stored->value.cluster)) return;
        founding->has_failed = true;
        snprintf(founding_say(founding, true, "the directory belongs to mesh %s and the marker to mesh %s", uuid_format(&stored->value.cluster, ours),
                              uuid_format(&options->marker, theirs))->cure,
                 FOUNDING_TEXT_MAX, "one of the two was put here by mistake: start the broker with those that belong together");
        return;
    }
    founding->is_barred = has_marker;
    if (stored->promised.round != 0 && expect != 0 && expect != stored->expect) founding->is_changed = true;
    if (founding->is_barred || founding->is_changed) return;
    /* Without --expect it founds nothing; but what it has promised may be needed to complete what others began. */
    founding->expect = expect == 0 && stored->promised.round != 0 ? stored->expect : expect;
    if (founding->expect != stored->expect && stored->promised.round == 0) { /* started anew for another number: nothing was promised */
        founding->stored.expect = 0;
        founding->stored.known_count = 0;
    }
}

int founding_new(const struct founding_options *options, const struct founding_state *recovered, uint64_t now_us,
                 struct founding **ret_founding)
{
    struct founding *founding;

    if (!are_sound(options)) return MESH_EINVAL;
    founding = calloc(1, sizeof(*founding));
    if (founding == NULL) return MESH_ENOMEM;
    if (buffer_reserve(&founding->room, FOUNDING_MESSAGE_MAX) != 0) {
        free(founding);
        return MESH_ENOMEM;
    }
    founding->options = *options;
    if (!options->keeps_marker) founding->options.marker = (struct uuid){{0}};
    random_init(&founding->random, options->seed);
    if (recovered != NULL) founding->stored = *recovered;
    judge(founding);
    founding->wanted = founding->stored;
    founding->round_max = founding->stored.promised.round;
    founding->begun_us = founding->ask_due_us = founding->step_due_us = now_us;
    founding->say_due_us = now_us + 2 * (uint64_t)founding->options.ask_interval_us;
    if (founding->is_barred || founding->is_changed) founding->say_due_us = now_us;
    founding_remember_known(founding);
    if (founding->stored.phase == FOUNDING_MEMBER && !founding->has_failed) arrive(founding);
    *ret_founding = founding;
    return 0;
}

void founding_free(struct founding *founding)
{
    if (founding == NULL) return;
    buffer_deinit(&founding->room);
    free(founding);
}

void founding_set_seeds(struct founding *founding, uint64_t now_us, const struct net_address *seeds, size_t count)
{
    founding->seed_count = 0;
    for (size_t i = 0; i < count && founding->seed_count < FOUNDING_SEEDS_MAX; i++) {
        size_t at = 0;
        while (at < founding->seed_count && !net_address_equal(&founding->seeds[at], &seeds[i]))
            at++;
        if (at == founding->seed_count) founding->seeds[founding->seed_count++] = seeds[i];
    }
    if (founding->ask_due_us > now_us + founding->options.ask_interval_us) founding->ask_due_us = now_us;
}

void founding_hold_alone(struct founding *founding, uint64_t now_us, bool is_held)
{
    if (founding->is_held_alone == is_held) return;
    founding->is_held_alone = is_held;
    founding->step_due_us = now_us;
}

static bool is_looking(const struct founding *founding)
{
    return !founding->has_failed && founding->wanted.phase != FOUNDING_MEMBER;
}

/* Everybody asks everybody: in a large mesh, less often. */
static void ask(struct founding *founding, uint64_t now_us)
{
    uint64_t interval_us = founding->options.ask_interval_us;

    interval_us += interval_us * founding->peer_count / 32;
    founding->ask_due_us = now_us + interval_us - random_below(&founding->random, interval_us / 8 + 1);
    founding_ask_all(founding);
}

void founding_tick(struct founding *founding, uint64_t now_us)
{
    if (!is_looking(founding)) return;
    if (now_us >= founding->ask_due_us) ask(founding, now_us);
    if (now_us >= founding->step_due_us) founding->step_due_us = now_us + FOUNDING_STEP_US;
    founding_drive(founding, now_us);
    founding_say_waiting(founding, now_us);
    store(founding);
}

uint64_t founding_due_us(const struct founding *founding)
{
    if (!is_looking(founding)) return FOUNDING_NEVER;
    if (founding->expect == 0 || founding->ask_due_us < founding->step_due_us) return founding->ask_due_us;
    return founding->step_due_us;
}

/* Two meshes that can hear each other hold the same key and are two all the same: somebody has to know. */
static void notice_other_mesh(struct founding *founding, const struct founding_message *message)
{
    char theirs[UUID_STRING_SIZE], ours[UUID_STRING_SIZE];

    if (message->phase != FOUNDING_MEMBER || uuid_equal(&message->value.cluster, &founding->stored.value.cluster)) return;
    if (founding->is_told_of_other) return;
    founding->is_told_of_other = true;
    snprintf(founding_say(founding, true, "this broker belongs to mesh %s, and one that answers to mesh %s",
                          uuid_format(&founding->stored.value.cluster, ours), uuid_format(&message->value.cluster, theirs))->cure,
             FOUNDING_TEXT_MAX, "they stay two; let no seed of the one lead to the other");
}

static void receive(struct founding *founding, uint64_t now_us, const struct net_address *source, const struct founding_message *message)
{
    founding_hear(founding, now_us, source, message);
    if (message->phase == FOUNDING_MEMBER && !(FOUNDING_DEFECT(founding, MEMBER_IGNORED) && founding->expect != 0)) {
        founding_become_member(founding, &message->value);
        return;
    }
    if (message->kind == FOUNDING_ASK || message->expect != founding->expect) {
        if (message->kind != FOUNDING_TELL) founding_send(founding, FOUNDING_TELL, source, &message->sender.broker);
    } else if (message->kind == FOUNDING_PREPARE) {
        founding_on_prepare(founding, now_us, &message->ballot);
    } else if (message->kind == FOUNDING_ACCEPT) {
        const struct founding_value proposal = message->proposal;
        founding_on_accept(founding, now_us, &message->ballot, &proposal);
    }
    founding_drive(founding, now_us);
}

void founding_receive(struct founding *founding, uint64_t now_us, const struct uuid *from, const struct net_address *source,
                      struct slice bytes)
{
    struct founding_message *message = &founding->scratch;

    if (founding->has_failed) return;
    if (founding_message_decode(bytes, message) != 0 || !uuid_equal(from, &message->sender.broker)) {
        founding->dropped++;
        return;
    }
    if (raft_server_equal(&message->sender, &founding->options.self)) return; /* a seed leads here */
    if (founding->wanted.phase != FOUNDING_MEMBER) {
        receive(founding, now_us, source, message);
    } else if (founding->stored.phase != FOUNDING_MEMBER) {
        founding_hear(founding, now_us, source, message); /* it is told as soon as that is durable */
    } else {
        notice_other_mesh(founding, message);
        if (message->phase != FOUNDING_MEMBER || message->kind != FOUNDING_TELL)
            founding_send(founding, FOUNDING_TELL, source, &message->sender.broker); /* whoever speaks to a member hears of its mesh */
    }
    store(founding);
}

void founding_unreachable(struct founding *founding, uint64_t now_us, const struct net_address *address)
{
    (void)now_us;
    for (size_t i = 0; i < founding->peer_count; i++) {
        struct founding_peer *peer = &founding->peers[i];
        if (net_address_equal(&peer->address, address)) peer->heard_us = peer->told_us = 0;
    }
}

/* ---- outputs ---- */

void founding_send(struct founding *founding, enum founding_kind kind, const struct net_address *address, const struct uuid *to)
{
    if (founding->send_count == FOUNDING_SENDS_MAX || net_address_is_none(address)) return;
    founding->sends[founding->send_count++] = (struct founding_send){kind, *address, *to};
}

/* What the disk holds, and the wish. False: the wish has become void. */
static bool make_message(struct founding *founding, uint64_t now_us, enum founding_kind kind)
{
    struct founding_message *message = &founding->scratch;
    const struct founding_state *stored = &founding->stored;
    const struct founding_drive *drive = &founding->drive;
    bool is_member = stored->phase == FOUNDING_MEMBER;

    memset(message, 0, offsetof(struct founding_message, mentions));
    message->kind = kind;
    message->sender = founding->options.self;
    message->address = founding->options.address;
    message->phase = stored->phase;
    message->promised = is_member ? message->promised : stored->promised;
    message->accepted = is_member ? message->accepted : stored->accepted;
    message->value = stored->value;
    message->stamps = stored->stamps;
    message->expect = is_member ? 0 : founding->expect;
    if (kind == FOUNDING_PREPARE || kind == FOUNDING_ACCEPT) {
        if (is_member || drive->stage != (kind == FOUNDING_PREPARE ? FOUNDING_PREPARING : FOUNDING_ACCEPTING)) return false;
        message->ballot = drive->ballot;
        if (kind == FOUNDING_ACCEPT) message->proposal = stored->value;
    }
    if (is_member) return true;
    message->refusal = founding_refusal(founding, now_us);
    message->marker = founding->options.marker;
    founding_fill_mentions(founding, now_us, message);
    return true;
}

static bool next_send(struct founding *founding, uint64_t now_us, struct founding_output *output)
{
    while (founding->send_next < founding->send_count) {
        const struct founding_send *send = &founding->sends[founding->send_next++];
        if (!make_message(founding, now_us, send->kind)) continue;
        buffer_clear(&founding->room);
        MESH_ASSERT(founding_message_encode(&founding->scratch, &founding->room) == 0);
        MESH_ASSERT(founding->room.size <= FOUNDING_MESSAGE_MAX);
        output->type = FOUNDING_OUTPUT_SEND;
        output->address = send->address;
        output->to = send->to;
        output->message = buffer_slice(&founding->room);
        return true;
    }
    founding->send_next = founding->send_count = 0;
    return false;
}

static bool next_line(struct founding *founding, struct founding_output *output)
{
    const struct founding_line *line = &founding->lines[founding->line_next];

    if (founding->line_next == founding->line_count) {
        founding->line_next = founding->line_count = 0;
        return false;
    }
    founding->line_next++;
    output->type = FOUNDING_OUTPUT_LOG;
    output->text = line->text;
    output->cure = line->cure;
    output->is_warning = line->is_warning;
    return true;
}

static bool take(bool *flag)
{
    bool was = *flag;

    *flag = false;
    return was;
}

bool founding_next_output(struct founding *founding, uint64_t now_us, struct founding_output *ret_output)
{
    *ret_output = (struct founding_output){.value = founding->stored.value};
    if (next_line(founding, ret_output)) return true;
    if (founding->has_failed) return false;
    if (take(&founding->is_store_out)) {
        ret_output->type = FOUNDING_OUTPUT_STORE;
        ret_output->store = founding->store_number;
        ret_output->state = &founding->storing;
        return true;
    }
    if (next_send(founding, now_us, ret_output)) return true;
    if (take(&founding->is_mark_out)) {
        ret_output->type = FOUNDING_OUTPUT_MARK;
        return true;
    }
    if (!take(&founding->is_done_out)) return false;
    ret_output->type = FOUNDING_OUTPUT_DONE;
    ret_output->is_founder = founding_value_has(&founding->stored.value, &founding->options.self);
    return true;
}

/* ---- looking ---- */

void founding_get_status(const struct founding *founding, uint64_t now_us, struct founding_status *ret_status)
{
    *ret_status = (struct founding_status){
        .is_done = founding->is_done,
        .has_failed = founding->has_failed,
        .is_proposing = founding->drive.stage != FOUNDING_IDLE,
        .is_set_back = founding->wanted.is_set_back,
        .present = founding_present(founding, now_us),
        .needed = founding->expect != 0 ? founding_needed(founding) : 0,
        .dropped = founding->dropped,
        .proposals = founding->proposals,
    };
}

const struct founding_state *founding_get_state(const struct founding *founding)
{
    return &founding->stored;
}

#ifdef MESH_TEST_SWITCHES
void founding_bring_back(struct founding *founding, enum founding_defect defect)
{
    if (defect == FOUNDING_DEFECT_NONE) founding->defects = 0;
    else founding->defects |= UINT64_C(1) << defect;
    if (defect == FOUNDING_DEFECT_MARKER_IGNORED && founding->is_barred) {
        founding->is_barred = false;
        founding->options.marker = (struct uuid){{0}};
        founding->expect = founding->options.mode == FOUNDING_SERVE ? 1 : founding->options.expect;
    }
}
#endif
