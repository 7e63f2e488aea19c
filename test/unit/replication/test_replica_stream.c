/* A follower that is told things by a leader, and both ends of a stream: cuts, checks, and lies. */
#include "base/error.h"
#include "replica_rig.h"
#include "support/run_suite.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

static struct replica_rig rig;

static const struct slice no_bytes = {NULL, 0};

static struct replica *replica_of_rig(void)
{
    return &rig.replicas[0];
}

static struct sink_slot *slot_of_rig(void)
{
    return rig.replicas[0].slot;
}

/* Follows node 2 in epoch 4, with a log of these records, and has asked in session 1. */
static void follow(const int *records, int epochs, uint64_t high_watermark)
{
    rig_init(&rig, PARTITION_MODE_ISR, 3, 2);
    rig_fill(&rig, 0, records, epochs, high_watermark);
    rig_assign(&rig, 2, 4, 1, 7);
    sink_connected(&rig.sink);
    rig_hear_follower(&rig);
}

static struct stream_message from_leader(enum stream_message_type type)
{
    return (struct stream_message){.type = type, .session = slot_of_rig()->session, .leader_epoch = 4, .high_watermark = 100, .start_epoch = -1};
}

/* ---- attaching ---- */

START_TEST(the_follower_says_where_it_stands)
{
    const int records[] = {3, 0, 2};

    follow(records, 3, 4);
    ck_assert_uint_eq(rig.heard_count, 2);
    ck_assert_int_eq(rig.heard[0].type, STREAM_CREDIT);
    ck_assert_uint_eq(rig.heard[0].credit, STREAM_WINDOW);
    ck_assert_int_eq(rig.heard[1].type, STREAM_ATTACH);
    ck_assert_uint_eq(rig.heard[1].session, 1);
    ck_assert_int_eq(rig.heard[1].leader_epoch, 4);
    ck_assert_int_eq(rig.heard[1].last_epoch, 2);
    ck_assert_uint_eq(rig.heard[1].log_end, 5);
    ck_assert_uint_eq(rig.heard[1].durable, 5);
    ck_assert_uint_eq(rig.heard[1].broker_epoch, 101);
    ck_assert_uint_eq(rig.heard[1].generation, 201);
    rig_hear_follower(&rig);
    ck_assert_uint_eq(rig.heard_count, 0); /* and then it is silent */
    rig_deinit(&rig);
}
END_TEST

START_TEST(who_is_rejected_asks_again_less_and_less_often)
{
    const int records[] = {3};
    struct stream_message reject;
    uint64_t now_ms = 1000;

    follow(records, 1, 0);
    for (uint64_t wait_ms = STREAM_RETRY_MIN_MS; wait_ms < 5000; wait_ms *= 2) {
        uint64_t capped_ms = wait_ms < STREAM_RETRY_MAX_MS ? wait_ms : STREAM_RETRY_MAX_MS;

        reject = from_leader(STREAM_REJECT);
        reject.reason = STREAM_REASON_NOT_LEADER;
        ck_assert_int_eq(rig_lead(&rig, reject, no_bytes), 0);
        ck_assert_uint_eq(rig.sink.deadline_ms, now_ms + capped_ms);
        rig_tick(&rig, now_ms + capped_ms - 1);
        ck_assert(!sink_has_output(&rig.sink));
        now_ms += capped_ms;
        rig_tick(&rig, now_ms);
        rig_hear_follower(&rig);
        ck_assert_int_eq(rig.heard[0].type, STREAM_ATTACH);
    }
    ck_assert_int_eq(rig_lead(&rig, from_leader(STREAM_MARK), no_bytes), 0);
    reject = from_leader(STREAM_REJECT);
    reject.reason = STREAM_REASON_STALE_EPOCH;
    ck_assert_int_eq(rig_lead(&rig, reject, no_bytes), 0);
    ck_assert_uint_eq(rig.sink.deadline_ms, now_ms + STREAM_RETRY_MIN_MS); /* it followed meanwhile */
    rig_deinit(&rig);
}
END_TEST

START_TEST(a_new_epoch_leaves_and_asks_at_once)
{
    const int records[] = {3};

    follow(records, 1, 0);
    rig_assign(&rig, 3, 5, 2, 7);
    rig_hear_follower(&rig);
    ck_assert_uint_eq(rig.heard_count, 2);
    ck_assert_int_eq(rig.heard[0].type, STREAM_DETACH);
    ck_assert_int_eq(rig.heard[1].type, STREAM_ATTACH);
    ck_assert_int_eq(rig.heard[1].leader_epoch, 5);
    ck_assert_uint_eq(rig.heard[1].slot, rig.heard[0].slot); /* the number is free again */
    ck_assert_uint_eq(rig.heard[1].session, 2);
    rig_deinit(&rig);
}
END_TEST

/* ---- R2, R3: cuts. The log: 10 records of epoch 0, 5 of 1, none of 2, 5 of 3: ends at 20. ---- */

enum { CUTS, RESETS, LIES };

static const struct {
    uint64_t trim;
    int32_t epoch; /* DIVERGED(epoch, end) */
    uint64_t end;
    int want;
    uint64_t want_offset;
} cut_cases[] = {
    {0, 3, 18, CUTS, 18},
    {0, 1, 18, CUTS, 15}, /* its epoch ends later than ours */
    {0, 1, 12, CUTS, 12},
    {0, 2, 18, CUTS, 15}, /* which we do not have */
    {0, 0, 30, CUTS, 10},
    {0, 0, 0, CUTS, 0},
    {12, 0, 11, RESETS, 9}, /* below our log's start: anew, at the leader's (9) */
    {0, 3, 20, LIES, 0},  /* that is where we end */
    {0, 3, 30, LIES, 0},
    {0, 4, 10, LIES, 0},  /* an epoch above our last says nothing */
};

START_TEST(a_diverged_log_is_cut_where_both_agree)
{
    const int records[] = {10, 5, 0, 5};
    struct stream_message diverged;
    struct replica_cut cut;
    int err;

    follow(records, 4, 0);
    replica_log_trim(&rig.logs[0], cut_cases[_i].trim);
    rig_sync(&rig);
    diverged = from_leader(STREAM_DIVERGED);
    diverged.last_epoch = cut_cases[_i].epoch;
    diverged.end_offset = cut_cases[_i].end;
    diverged.log_start = 9;
    diverged.high_watermark = 9;
    diverged.start_epoch = 0;
    err = rig_lead(&rig, diverged, no_bytes);
    if (cut_cases[_i].want == LIES) {
        ck_assert_int_eq(err, MESH_EPROTO);
        ck_assert_int_eq(rig.sink.lie, STREAM_LIE_NO_CUT);
        rig_deinit(&rig);
        return;
    }
    ck_assert_int_eq(err, 0);
    ck_assert_uint_eq(rig.todo[0] & REPLICA_TODO_CUT, REPLICA_TODO_CUT);
    replica_get_cut(replica_of_rig(), &cut);
    ck_assert_uint_eq(cut.offset, cut_cases[_i].want_offset);
    ck_assert_int_eq(cut.is_reset, cut_cases[_i].want == RESETS);
    ck_assert_int_eq(cut.epoch, cut_cases[_i].want == RESETS ? 0 : -1);
    ck_assert_uint_eq(replica_of_rig()->partition.high_watermark, cut_cases[_i].trim); /* nothing is adopted before */
    rig_hear_follower(&rig);
    ck_assert_uint_eq(rig.heard_count, 0); /* nor said */
    rig_cut(&rig, 0);
    rig_hear_follower(&rig);
    ck_assert_int_eq(rig.heard[0].type, STREAM_ATTACH);
    ck_assert_uint_eq(rig.heard[0].log_end, cut_cases[_i].want_offset);
    ck_assert_uint_eq(rig.heard[0].session, 2);
    rig_deinit(&rig);
}
END_TEST

/* KAFKA-9491; R20 */
START_TEST(a_reset_takes_the_watermark_along)
{
    const int records[] = {10};
    struct stream_message reset;
    struct replica_cut cut;

    follow(records, 1, 6);
    reset = from_leader(STREAM_RESET);
    reset.log_start = reset.high_watermark = 30;
    reset.start_epoch = 3;
    ck_assert_int_eq(rig_lead(&rig, reset, no_bytes), 0);
    replica_get_cut(replica_of_rig(), &cut);
    ck_assert(cut.is_reset && !cut.is_committed); /* what it has, nobody keeps any more */
    rig_cut(&rig, 0);
    ck_assert_uint_eq(replica_of_rig()->partition.high_watermark, 30);
    ck_assert_uint_eq(replica_of_rig()->partition.log_start, 30);
    rig_hear_follower(&rig);
    ck_assert_int_eq(rig.heard[0].type, STREAM_ATTACH); /* it is empty, and knows behind which record */
    ck_assert_uint_eq(rig.heard[0].log_end, 30);
    ck_assert_int_eq(rig.heard[0].last_epoch, 3);
    reset.session = rig.heard[0].session;
    ck_assert_int_eq(rig_lead(&rig, reset, no_bytes), MESH_EPROTO); /* that would change nothing */
    ck_assert_int_eq(rig.sink.lie, STREAM_LIE_NO_CUT);
    rig_deinit(&rig);
}
END_TEST

/* Emptied to begin behind a record of an epoch that a later leader, elected with a loss, does not have: a cut where the log begins would take nothing, and the same be
 * said for ever (seed 10106174 of the simulator). */
START_TEST(an_empty_log_that_parted_before_its_start_begins_anew)
{
    const int records[] = {10};
    struct stream_message reset, diverged;
    struct replica_cut cut;

    follow(records, 1, 6);
    reset = from_leader(STREAM_RESET);
    reset.log_start = reset.high_watermark = 30;
    reset.start_epoch = 3;
    ck_assert_int_eq(rig_lead(&rig, reset, no_bytes), 0);
    rig_cut(&rig, 0);
    rig_hear_follower(&rig);
    diverged = from_leader(STREAM_DIVERGED);
    diverged.session = rig.heard[0].session;
    diverged.last_epoch = 2;
    diverged.end_offset = 35;
    diverged.log_start = 9;
    diverged.start_epoch = 0;
    diverged.high_watermark = 40;
    ck_assert_int_eq(rig_lead(&rig, diverged, no_bytes), 0);
    replica_get_cut(replica_of_rig(), &cut);
    ck_assert(cut.is_reset && cut.is_committed); /* the records before its start were committed once, and others stand there */
    ck_assert_uint_eq(cut.offset, 9);
    ck_assert_int_eq(cut.epoch, 0);
    rig_cut(&rig, 0);
    rig_hear_follower(&rig);
    ck_assert_int_eq(rig.heard[0].type, STREAM_ATTACH);
    ck_assert_uint_eq(rig.heard[0].log_end, 9);
    ck_assert_int_eq(rig.heard[0].last_epoch, 0);
    ck_assert_uint_eq(replica_of_rig()->partition.high_watermark, 9);
    rig_deinit(&rig);
}
END_TEST

START_TEST(a_cut_of_what_was_committed_is_told)
{
    const int records[] = {10};
    struct stream_message diverged;
    struct replica_cut cut;

    follow(records, 1, 6);
    diverged = from_leader(STREAM_DIVERGED);
    diverged.end_offset = 5;
    ck_assert_int_eq(rig_lead(&rig, diverged, no_bytes), 0);
    replica_get_cut(replica_of_rig(), &cut);
    ck_assert(cut.is_committed);
    rig_cut(&rig, 0);
    ck_assert_uint_eq(replica_of_rig()->partition.high_watermark, 5);
    rig_deinit(&rig);
}
END_TEST

/* ---- damage ---- */

static struct partition_positions damaged_at(uint64_t offset)
{
    return (struct partition_positions){.start = 0, .end = 10, .written = offset, .durable = offset};
}

/* Follows with ten records, of which the leader has said that 6 are committed. */
static void follow_ten(void)
{
    const int records[] = {10};
    struct stream_message mark;

    follow(records, 1, 6);
    mark = from_leader(STREAM_MARK);
    mark.high_watermark = 6;
    ck_assert(!replica_is_following(replica_of_rig()));
    ck_assert_int_eq(rig_lead(&rig, mark, no_bytes), 0);
    ck_assert(replica_is_following(replica_of_rig()));
}

START_TEST(a_follower_whose_log_is_damaged_states_less_and_more_when_it_is_mended)
{
    struct partition_positions positions = damaged_at(4);

    follow_ten();
    replica_set_positions(replica_of_rig(), &positions);
    rig_hear_follower(&rig);
    ck_assert_uint_eq(rig.heard_count, 2); /* no acknowledgement falls: it attaches anew */
    ck_assert_int_eq(rig.heard[0].type, STREAM_DETACH);
    ck_assert_int_eq(rig.heard[0].reason, STREAM_REASON_STORAGE);
    ck_assert_int_eq(rig.heard[1].type, STREAM_ATTACH);
    ck_assert_uint_eq(rig.heard[1].log_end, 10);
    ck_assert_uint_eq(rig.heard[1].written, 4);
    ck_assert_uint_eq(rig.heard[1].durable, 4);
    ck_assert_int_eq(rig_lead(&rig, from_leader(STREAM_MARK), no_bytes), 0);
    positions = damaged_at(10);
    replica_set_positions(replica_of_rig(), &positions);
    rig_hear_follower(&rig);
    ck_assert_uint_eq(rig.heard_count, 1);
    ck_assert_int_eq(rig.heard[0].type, STREAM_ACK);
    ck_assert_uint_eq(rig.heard[0].durable, 10);
    rig_deinit(&rig);
}
END_TEST

START_TEST(what_is_given_up_is_cut_and_asked_for_again)
{
    follow_ten();
    ck_assert(replica_give_up(replica_of_rig(), 7));
    ck_assert(!replica_give_up(replica_of_rig(), 7));
    rig_hear_follower(&rig);
    ck_assert_uint_eq(rig.heard_count, 1);
    ck_assert_int_eq(rig.heard[0].type, STREAM_DETACH);
    rig_cut(&rig, 0);
    rig_hear_follower(&rig);
    ck_assert_uint_eq(rig.heard_count, 1);
    ck_assert_int_eq(rig.heard[0].type, STREAM_ATTACH);
    ck_assert_uint_eq(rig.heard[0].log_end, 7);
    ck_assert_uint_eq(replica_of_rig()->partition.high_watermark, 6);
    rig_deinit(&rig);
}
END_TEST

/* ---- data ---- */

static void put_batches(struct buffer *to, uint64_t from, int count, int32_t epoch)
{
    for (int i = 0; i < count; i++)
        rig_batch(to, from + (uint64_t)i, epoch);
}

START_TEST(data_are_appended_and_acknowledged)
{
    const int records[] = {3};
    struct buffer bytes = BUFFER_INIT;

    follow(records, 1, 1);
    put_batches(&bytes, 3, 2, 2);
    put_batches(&bytes, 5, 1, 4);
    ck_assert_int_eq(rig_lead(&rig, from_leader(STREAM_DATA), buffer_slice(&bytes)), 0);
    ck_assert_uint_eq(rig.appended, 3);
    ck_assert_uint_eq(replica_of_rig()->partition.log_end, 6);
    ck_assert_uint_eq(replica_of_rig()->partition.high_watermark, 6); /* the leader's is 100: what is here counts */
    rig.logs[0].written = 6;
    ck_assert(!sink_has_output(&rig.sink)); /* group: what is not durable is no news */
    rig_sync(&rig);
    rig_hear_follower(&rig);
    ck_assert_uint_eq(rig.heard_count, 1);
    ck_assert_int_eq(rig.heard[0].type, STREAM_ACK);
    ck_assert_uint_eq(rig.heard[0].written, 6);
    ck_assert_uint_eq(rig.heard[0].durable, 6);
    rig_hear_follower(&rig);
    ck_assert_uint_eq(rig.heard_count, 0);
    buffer_deinit(&bytes);
    rig_deinit(&rig);
}
END_TEST

START_TEST(a_damaged_batch_leaves_nothing_behind)
{
    const int records[] = {3};
    struct buffer bytes = BUFFER_INIT;

    follow(records, 1, 1);
    put_batches(&bytes, 3, 3, 4);
    bytes.data[bytes.size - 1] ^= 1; /* the last of three */
    ck_assert_int_eq(rig_lead(&rig, from_leader(STREAM_DATA), buffer_slice(&bytes)), 0);
    ck_assert_uint_eq(rig.appended, 0);
    ck_assert_int_eq(slot_of_rig()->state, SINK_SLOT_REFUSED);
    rig_hear_follower(&rig);
    ck_assert_int_eq(rig.heard[0].type, STREAM_DETACH);
    ck_assert_int_eq(rig.heard[0].reason, STREAM_REASON_DAMAGED);
    rig_tick(&rig, 1000 + STREAM_RETRY_MIN_MS);
    rig_hear_follower(&rig);
    ck_assert_int_eq(rig.heard[0].type, STREAM_ATTACH); /* and again */
    buffer_deinit(&bytes);
    rig_deinit(&rig);
}
END_TEST

START_TEST(a_batch_may_come_in_pieces)
{
    const int records[] = {3};
    struct buffer bytes = BUFFER_INIT;
    struct stream_message data, more;
    size_t half;

    follow(records, 1, 1);
    put_batches(&bytes, 3, 2, 4);
    half = bytes.size / 2 + 3;
    data = from_leader(STREAM_DATA);
    data.size = (uint32_t)bytes.size;
    more = from_leader(STREAM_MORE);
    ck_assert_int_eq(rig_lead(&rig, data, slice_of(bytes.data, 10)), 0);
    ck_assert_int_eq(rig_lead(&rig, more, slice_of(bytes.data + 10, half - 10)), 0);
    ck_assert_uint_eq(rig.appended, 0);
    ck_assert_int_eq(rig_lead(&rig, more, slice_of(bytes.data + half, bytes.size - half)), 0);
    ck_assert_uint_eq(rig.appended, 2);
    ck_assert_int_eq(rig_lead(&rig, more, slice_of(bytes.data, 1)), MESH_EPROTO);
    ck_assert_int_eq(rig.sink.lie, STREAM_LIE_PIECES);
    buffer_deinit(&bytes);
    rig_deinit(&rig);
}
END_TEST

START_TEST(what_is_late_is_dropped_and_its_credits_come_back)
{
    const int records[] = {3};
    struct buffer bytes = BUFFER_INIT;
    struct stream_message data;

    follow(records, 1, 1);
    data = from_leader(STREAM_DATA);
    put_batches(&bytes, 3, 1, 4);
    rig_assign(&rig, 2, 5, 2, 7);
    rig_hear_follower(&rig);
    ck_assert_int_eq(rig_lead(&rig, data, buffer_slice(&bytes)), 0); /* of session 1 */
    ck_assert_uint_eq(rig.appended, 0);
    ck_assert_uint_eq(rig.sink.owed, bytes.size);
    buffer_deinit(&bytes);
    rig_deinit(&rig);
}
END_TEST

START_TEST(an_event_is_void_when_the_replica_has_moved_on)
{
    const int records[] = {3};
    struct buffer bytes = BUFFER_INIT, packet = BUFFER_INIT;
    struct stream_message data;
    struct sink_event event;

    follow(records, 1, 1);
    put_batches(&bytes, 3, 2, 4);
    data = from_leader(STREAM_DATA);
    data.size = (uint32_t)bytes.size;
    ck_assert_int_eq(stream_packet_begin(&packet), 0);
    ck_assert_int_eq(stream_message_encode(&data, &packet), 0);
    ck_assert_int_eq(buffer_append(&packet, bytes.data, bytes.size), 0);
    ck_assert_int_eq(sink_receive(&rig.sink, buffer_slice(&packet)), 0);
    ck_assert_int_eq(sink_next(&rig.sink, &event), 1);
    ck_assert_int_eq(sink_next(&rig.sink, &event), 1); /* the same one: the store was full */
    ck_assert_uint_eq((uint64_t)event.header.base_offset, 3);
    rig_assign(&rig, 1, 5, 2, 7);                      /* now it leads itself */
    ck_assert_int_eq(sink_next(&rig.sink, &event), 0);
    ck_assert_uint_eq(rig.logs[0].end, 4); /* its epoch's record, and nothing else */
    buffer_deinit(&bytes);
    buffer_deinit(&packet);
    rig_deinit(&rig);
}
END_TEST

START_TEST(a_log_that_takes_nothing_leaves)
{
    const int records[] = {3};
    struct buffer bytes = BUFFER_INIT, packet = BUFFER_INIT;
    struct stream_message data;
    struct sink_event event;

    follow(records, 1, 1);
    put_batches(&bytes, 3, 2, 4);
    data = from_leader(STREAM_DATA);
    data.size = (uint32_t)bytes.size;
    ck_assert_int_eq(stream_packet_begin(&packet), 0);
    ck_assert_int_eq(stream_message_encode(&data, &packet), 0);
    ck_assert_int_eq(buffer_append(&packet, bytes.data, bytes.size), 0);
    ck_assert_int_eq(sink_receive(&rig.sink, buffer_slice(&packet)), 0);
    ck_assert_int_eq(sink_next(&rig.sink, &event), 1);
    sink_fail(&rig.sink);
    ck_assert_int_eq(sink_next(&rig.sink, &event), 0);
    rig_hear_follower(&rig);
    ck_assert_int_eq(rig.heard[0].type, STREAM_DETACH);
    ck_assert_int_eq(rig.heard[0].reason, STREAM_REASON_STORAGE);
    buffer_deinit(&bytes);
    buffer_deinit(&packet);
    rig_deinit(&rig);
}
END_TEST

/* ---- lies of a leader ---- */

static const struct {
    const char *what;
    struct stream_message message; /* session 0: the present one */
    uint64_t base;                 /* DATA: a batch there ... */
    int32_t batch_epoch;           /* ... of this epoch */
    enum stream_lie want;
} leader_lies[] = {
    {"a gap", {.type = STREAM_DATA, .leader_epoch = 4}, 4, 4, STREAM_LIE_ORDER},
    {"what we have", {.type = STREAM_DATA, .leader_epoch = 4}, 2, 4, STREAM_LIE_ORDER},
    {"an epoch of the future", {.type = STREAM_DATA, .leader_epoch = 4}, 3, 5, STREAM_LIE_BATCH_EPOCH},
    {"an epoch of the past", {.type = STREAM_DATA, .leader_epoch = 4}, 3, 1, STREAM_LIE_BATCH_EPOCH},
    {"another leader epoch", {.type = STREAM_DATA, .leader_epoch = 5}, 3, 4, STREAM_LIE_EPOCH},
    {"an older one", {.type = STREAM_MARK, .leader_epoch = 3}, 0, 0, STREAM_LIE_EPOCH},
    {"no such slot", {.type = STREAM_MARK, .slot = 1, .leader_epoch = 4}, 0, 0, STREAM_LIE_SLOT},
    {"no such session", {.type = STREAM_MARK, .session = 2, .leader_epoch = 4}, 0, 0, STREAM_LIE_SESSION},
    {"an acknowledgement", {.type = STREAM_ACK, .leader_epoch = 4}, 0, 0, STREAM_LIE_DIRECTION},
    {"a piece of nothing", {.type = STREAM_MORE}, 0, 0, STREAM_LIE_PIECES},
    {"two divergences", {.type = STREAM_DIVERGED, .leader_epoch = 4, .start_epoch = -1, .last_epoch = 2, .end_offset = 3}, 0, 0, STREAM_LIE_NO_CUT},
};

START_TEST(a_leader_that_lies_is_named)
{
    const int records[] = {0, 0, 3};
    struct stream_message message = leader_lies[_i].message;
    struct buffer bytes = BUFFER_INIT;

    follow(records, 3, 0);
    if (message.session == 0) message.session = 1;
    if (message.type == STREAM_DATA) put_batches(&bytes, leader_lies[_i].base, 1, leader_lies[_i].batch_epoch);
    if (message.type == STREAM_MORE) put_batches(&bytes, 3, 1, 4);
    ck_assert_msg(rig_lead(&rig, message, buffer_slice(&bytes)) == MESH_EPROTO, "%s", leader_lies[_i].what);
    ck_assert_msg(rig.sink.lie == leader_lies[_i].want, "%s: %s", leader_lies[_i].what, stream_lie_text(rig.sink.lie));
    ck_assert_uint_eq(rig.appended, 0);
    ck_assert_uint_eq(replica_of_rig()->partition.high_watermark, 0);
    buffer_deinit(&bytes);
    rig_deinit(&rig);
}
END_TEST

START_TEST(data_beyond_the_credits_are_a_lie)
{
    const int records[] = {3};
    struct buffer bytes = BUFFER_INIT;

    follow(records, 1, 0);
    rig.sink.balance = 1; /* one more, of whatever size */
    put_batches(&bytes, 3, 1, 4);
    ck_assert_int_eq(rig_lead(&rig, from_leader(STREAM_DATA), buffer_slice(&bytes)), 0);
    buffer_clear(&bytes);
    put_batches(&bytes, 4, 1, 4);
    ck_assert_int_eq(rig_lead(&rig, from_leader(STREAM_DATA), buffer_slice(&bytes)), MESH_EPROTO);
    ck_assert_int_eq(rig.sink.lie, STREAM_LIE_CREDIT);
    buffer_deinit(&bytes);
    rig_deinit(&rig);
}
END_TEST

/* ---- lies of a follower: of epoch 4, attached in session 5 at 3 of 4 offsets (written 3, durable 2), one more batch sent ---- */

static const struct {
    const char *what;
    struct stream_message message;
    enum stream_lie want; /* NONE: true, or late */
} follower_lies[] = {
    {"what was sent", {.type = STREAM_ACK, .session = 5, .leader_epoch = 4, .written = 4, .durable = 4}, STREAM_LIE_NONE},
    {"nothing new", {.type = STREAM_ACK, .session = 5, .leader_epoch = 4, .written = 3, .durable = 2}, STREAM_LIE_NONE},
    {"more than was sent", {.type = STREAM_ACK, .session = 5, .leader_epoch = 4, .written = 5, .durable = 4}, STREAM_LIE_ACK_AHEAD},
    {"a huge offset", {.type = STREAM_ACK, .session = 5, .leader_epoch = 4, .written = INT64_MAX, .durable = INT64_MAX}, STREAM_LIE_ACK_AHEAD},
    {"less durable", {.type = STREAM_ACK, .session = 5, .leader_epoch = 4, .written = 3, .durable = 1}, STREAM_LIE_ACK_FALLS},
    {"less written", {.type = STREAM_ACK, .session = 5, .leader_epoch = 4, .written = 2, .durable = 2}, STREAM_LIE_ACK_FALLS},
    {"late", {.type = STREAM_ACK, .session = 4, .leader_epoch = 4, .written = 9, .durable = 9}, STREAM_LIE_NONE},
    {"no such session", {.type = STREAM_ACK, .session = 6, .leader_epoch = 4, .written = 3, .durable = 3}, STREAM_LIE_SESSION},
    {"no such slot", {.type = STREAM_ACK, .slot = 1, .session = 5, .leader_epoch = 4, .written = 3, .durable = 3}, STREAM_LIE_SLOT},
    {"another epoch", {.type = STREAM_ACK, .session = 5, .leader_epoch = 5, .written = 3, .durable = 3}, STREAM_LIE_EPOCH},
    {"data", {.type = STREAM_MARK, .session = 5, .leader_epoch = 4}, STREAM_LIE_DIRECTION},
    {"absurd credits", {.type = STREAM_CREDIT, .credit = INT64_MAX}, STREAM_LIE_CREDIT},
    {"an old session again", {.type = STREAM_ATTACH, .session = 5, .leader_epoch = 4, .last_epoch = -1}, STREAM_LIE_SESSION},
    {"a slot out of order", {.type = STREAM_ATTACH, .slot = 2, .session = 6, .leader_epoch = 4, .last_epoch = -1}, STREAM_LIE_SLOT},
    {"leaving", {.type = STREAM_DETACH, .session = 5, .leader_epoch = 4, .reason = STREAM_REASON_LEFT}, STREAM_LIE_NONE},
};

START_TEST(a_follower_that_lies_is_named)
{
    const int records[] = {3};
    struct stream_message attach = {.type = STREAM_ATTACH, .session = 5, .leader_epoch = 4, .broker_epoch = 102, .generation = 202,
                                    .log_end = 3, .written = 3, .durable = 2, .last_epoch = 0};
    uint64_t held;
    int err;

    rig_init(&rig, PARTITION_MODE_ISR, 3, 1);
    rig_fill(&rig, 0, records, 1, 0);
    rig_assign(&rig, 1, 4, 1, 3);
    rig_sync(&rig);
    memset(&attach.topic_id, 9, sizeof(attach.topic_id));
    ck_assert_int_eq(rig_say(&rig, 2, &(struct stream_message){.type = STREAM_CREDIT, .credit = 100000}), 0);
    ck_assert_int_eq(rig_say(&rig, 2, &attach), 0);
    rig_hear(&rig, 2);
    held = replica_of_rig()->partition.high_watermark;
    ck_assert_uint_eq(held, 2);
    err = rig_say(&rig, 2, &follower_lies[_i].message);
    ck_assert_msg(err == (follower_lies[_i].want == STREAM_LIE_NONE ? 0 : MESH_EPROTO), "%s", follower_lies[_i].what);
    ck_assert_msg(rig.sources[2].lie == follower_lies[_i].want, "%s: %s", follower_lies[_i].what, stream_lie_text(rig.sources[2].lie));
    if (err != 0) ck_assert_uint_eq(replica_of_rig()->partition.high_watermark, held);
    rig_deinit(&rig);
}
END_TEST

START_TEST(garbage_is_a_lie)
{
    rig_init(&rig, PARTITION_MODE_ISR, 3, 1);
    ck_assert_int_eq(source_receive(&rig.sources[2], slice_of("\2\2\3", 3)), MESH_EPROTO);
    ck_assert_int_eq(rig.sources[2].lie, STREAM_LIE_MALFORMED);
    ck_assert_int_eq(source_receive(&rig.sources[2], slice_of("\1", 1)), MESH_EPROTO);
    ck_assert_int_eq(rig.sources[2].lie, STREAM_LIE_VERSION);
    for (int i = 0; i <= STREAM_LIE_COUNT; i++)
        ck_assert_uint_gt(strlen(stream_lie_text((enum stream_lie)i)), 5);
    rig_deinit(&rig);
}
END_TEST

#define COUNT(cases) (int)(sizeof(cases) / sizeof((cases)[0]))

static Suite *suite_new(void)
{
    Suite *suite = suite_create("replica: follower and stream");
    TCase *tcase = tcase_create("rules");

    suite_add_tcase(suite, tcase);
    tcase_add_test(tcase, the_follower_says_where_it_stands);
    tcase_add_test(tcase, who_is_rejected_asks_again_less_and_less_often);
    tcase_add_test(tcase, a_new_epoch_leaves_and_asks_at_once);
    tcase_add_loop_test(tcase, a_diverged_log_is_cut_where_both_agree, 0, COUNT(cut_cases));
    tcase_add_test(tcase, a_reset_takes_the_watermark_along);
    tcase_add_test(tcase, an_empty_log_that_parted_before_its_start_begins_anew);
    tcase_add_test(tcase, a_cut_of_what_was_committed_is_told);
    tcase_add_test(tcase, a_follower_whose_log_is_damaged_states_less_and_more_when_it_is_mended);
    tcase_add_test(tcase, what_is_given_up_is_cut_and_asked_for_again);
    tcase_add_test(tcase, data_are_appended_and_acknowledged);
    tcase_add_test(tcase, a_damaged_batch_leaves_nothing_behind);
    tcase_add_test(tcase, a_batch_may_come_in_pieces);
    tcase_add_test(tcase, what_is_late_is_dropped_and_its_credits_come_back);
    tcase_add_test(tcase, an_event_is_void_when_the_replica_has_moved_on);
    tcase_add_test(tcase, a_log_that_takes_nothing_leaves);
    tcase_add_loop_test(tcase, a_leader_that_lies_is_named, 0, COUNT(leader_lies));
    tcase_add_test(tcase, data_beyond_the_credits_are_a_lie);
    tcase_add_loop_test(tcase, a_follower_that_lies_is_named, 0, COUNT(follower_lies));
    tcase_add_test(tcase, garbage_is_a_lie);
    return suite;
}

int main(void)
{
    return run_suite(suite_new());
}
