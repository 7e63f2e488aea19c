/* The handshake under attack: every bit, every length, replays, reflections, a key holder without the identity. */
#include "base/bytes.h"
#include "base/error.h"
#include "base/random.h"
#include "channel_rig.h"
#include "support/run_suite.h"

static struct rig rig;

static void set_up(void)
{
    rig_init(&rig);
    rig.options[INITIATOR].ciphers = rig.options[RESPONDER].ciphers = channel_ciphers_here();
}

static void tear_down(void)
{
    rig_deinit(&rig);
}

static enum rig_end taker_of(int message)
{
    return message % 2 == 1 ? RESPONDER : INITIATOR;
}

static void must_not_open(enum rig_end end, enum channel_state state)
{
    uint8_t frame[CHANNEL_FRAME_OVERHEAD];

    ck_assert_int_ne(state, CHANNEL_OPEN);
    ck_assert_int_eq(channel_seal(rig.channels[end], 1, slice_of(NULL, 0), frame), MESH_ECLOSED);
}

START_TEST(no_changed_bit_is_taken)
{
    int number = _i + 1;
    size_t size;

    rig_start(&rig);
    rig_run(&rig, number - 1);
    size = rig.steps[number - 1].out_size;
    ck_assert_uint_gt(size, 0);
    for (size_t bit = 0; bit < 8 * size; bit++) {
        uint8_t bytes[CHANNEL_HANDSHAKE_MAX];
        struct channel_step step;
        enum channel_state state;

        rig_start(&rig);
        rig_run(&rig, number - 1);
        memcpy(bytes, rig.steps[number - 1].out, size);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        state = rig_feed(&rig, taker_of(number), bytes, size, &step);
        must_not_open(taker_of(number), state);
        if (state == CHANNEL_HANDSHAKING) { /* it claims to be longer than it is */
            ck_assert_msg(bit / 8 == 6 && step.used == 0, "bit %zu", bit);
            channel_cut(rig.channels[taker_of(number)], slice_of(bytes, size));
        }
        ck_assert_int_eq(channel_state(rig.channels[taker_of(number)]), CHANNEL_FAILED);
        ck_assert_ptr_null(channel_peer(rig.channels[taker_of(number)]));
    }
}
END_TEST

/* Shorter and longer ones, whose header says that they are meant so. */
START_TEST(no_length_but_the_right_one_is_taken)
{
    int number = _i + 1;

    for (size_t size = 0; size <= CHANNEL_HANDSHAKE_MAX; size++) {
        uint8_t bytes[CHANNEL_HANDSHAKE_MAX] = {0};
        struct channel_step step;
        enum channel_state state;
        size_t right;

        rig_start(&rig);
        rig_run(&rig, number - 1);
        right = rig.steps[number - 1].out_size;
        memcpy(bytes, rig.steps[number - 1].out, right);
        if (size == right) continue;
        if (size >= 8) le_store16(bytes + 6, (uint16_t)(size - 8)); /* as if it were meant so */
        state = rig_feed(&rig, taker_of(number), bytes, size, &step);
        ck_assert_int_eq(state, size < 8 ? CHANNEL_HANDSHAKING : CHANNEL_FAILED);
        must_not_open(taker_of(number), state);
    }
}
END_TEST

START_TEST(an_oversized_message_is_refused_before_it_comes)
{
    uint8_t bytes[8] = {'M', 'L', 'N', 'K', 1, 1, 0xff, 0xff};
    struct channel_step step;

    rig_start(&rig);
    ck_assert_int_eq(rig_feed(&rig, RESPONDER, bytes, sizeof bytes, &step), CHANNEL_FAILED);
    ck_assert_int_eq(rig_failure(&rig, RESPONDER), CHANNEL_FAILURE_MALFORMED);
}
END_TEST

/* Every message in the place of every other. */
START_TEST(messages_out_of_place_are_refused)
{
    struct rig other;
    struct channel_step step;

    rig_start(&rig);
    ck_assert_int_eq(rig_run(&rig, 3), CHANNEL_OPEN);
    rig_init(&other);
    for (int place = 1; place <= 3; place++) {
        for (int number = 1; number <= 3; number++) {
            if (place == number) continue;
            rig_start(&other);
            rig_run(&other, place - 1);
            ck_assert_int_eq(rig_feed(&other, taker_of(place), rig.steps[number - 1].out, rig.steps[number - 1].out_size, &step),
                             CHANNEL_FAILED);
            ck_assert_int_eq(rig_failure(&other, taker_of(place)), CHANNEL_FAILURE_MALFORMED);
        }
    }
    rig_deinit(&other);
}
END_TEST

/* What was recorded of one handshake is fed to another one that differs in one end's randomness only. */
START_TEST(recorded_messages_complete_no_handshake)
{
    struct channel_step recorded[3], step;

    rig_start(&rig);
    ck_assert_int_eq(rig_run(&rig, 3), CHANNEL_OPEN);
    memcpy(recorded, rig.steps, sizeof recorded);
    rig.options[INITIATOR].random[1] ^= 1; /* a fresh initiator hears the responder of old */
    rig_start(&rig);
    rig_run(&rig, 1);
    ck_assert_int_eq(rig_feed(&rig, INITIATOR, recorded[1].out, recorded[1].out_size, &step), CHANNEL_FAILED);
    ck_assert_int_eq(rig_failure(&rig, INITIATOR), CHANNEL_FAILURE_FORGED);
    rig.options[RESPONDER].random[1] ^= 1; /* a fresh responder hears the initiator of old */
    rig_start(&rig);
    ck_assert_int_eq(rig_feed(&rig, RESPONDER, recorded[0].out, recorded[0].out_size, &step), CHANNEL_HANDSHAKING);
    ck_assert_int_eq(rig_feed(&rig, RESPONDER, recorded[2].out, recorded[2].out_size, &step), CHANNEL_FAILED);
    ck_assert_int_eq(rig_failure(&rig, RESPONDER), CHANNEL_FAILURE_FORGED);
}
END_TEST

START_TEST(ones_own_first_message_is_no_answer)
{
    struct channel_step step;

    rig_start(&rig);
    rig_run(&rig, 0);
    ck_assert_int_eq(rig_feed(&rig, INITIATOR, rig.steps[0].out, rig.steps[0].out_size, &step), CHANNEL_FAILED);
    ck_assert_int_eq(rig_failure(&rig, INITIATOR), CHANNEL_FAILURE_MALFORMED);
}
END_TEST

/* A holder of the cluster key who claims another's identity lacks the secret to sign with. */
START_TEST(a_stolen_public_key_is_forged)
{
    struct identity_key liar = rig.identities[_i];
    struct channel_step step;
    enum rig_end hearing = _i == INITIATOR ? RESPONDER : INITIATOR;

    memcpy(liar.secret_key, rig.identities[1 - _i].secret_key, 32); /* signs with what it has */
    rig.options[_i].identity = &liar;
    rig_start(&rig);
    rig_run(&rig, _i == INITIATOR ? 2 : 1);
    ck_assert_int_eq(rig_feed(&rig, hearing, rig.steps[_i == INITIATOR ? 2 : 1].out, rig.steps[_i == INITIATOR ? 2 : 1].out_size,
                              &step),
                     CHANNEL_FAILED);
    ck_assert_int_eq(rig_failure(&rig, hearing), CHANNEL_FAILURE_FORGED);
    ck_assert_ptr_null(channel_peer(rig.channels[hearing]));
}
END_TEST

START_TEST(refusals_are_read_with_care)
{
    uint8_t refusal[17] = {'M', 'L', 'N', 'K', 4, 1, 8, 0, 3, 1, 1, 0, 0, 0, 0, 0, 0};
    struct channel_step step;

    for (int reason = 0; reason < 256; reason++) {
        rig_start(&rig);
        rig_run(&rig, 0);
        refusal[8] = (uint8_t)reason;
        ck_assert_int_eq(rig_feed(&rig, INITIATOR, refusal, 16, &step), CHANNEL_FAILED);
        ck_assert_uint_eq(step.out_size, 0);
        if (reason == 0 || reason > 7)
            ck_assert_int_eq(rig_failure(&rig, INITIATOR), CHANNEL_FAILURE_MALFORMED);
        else
            ck_assert_int_ne(rig_failure(&rig, INITIATOR), CHANNEL_FAILURE_NONE);
    }
}
END_TEST

START_TEST(noise_opens_nothing)
{
    struct random random;
    uint8_t bytes[CHANNEL_HANDSHAKE_MAX];

    random_init(&random, 3);
    for (int i = 0; i < 3000; i++) {
        struct channel_step step;
        int place = (int)random_below(&random, 3) + 1;
        size_t size = random_below(&random, sizeof bytes + 1);
        enum channel_state state;

        for (size_t at = 0; at < size; at++)
            bytes[at] = (uint8_t)random_next(&random);
        if (size >= 8 && i % 8 != 0) { /* mostly with a header that leads inside */
            memcpy(bytes, CHANNEL_MAGIC, 4);
            bytes[4] = (uint8_t)place;
            bytes[5] = 1;
            le_store16(bytes + 6, (uint16_t)(size - 8));
        }
        rig_start(&rig);
        rig_run(&rig, place - 1);
        state = rig_feed(&rig, taker_of(place), bytes, size, &step);
        must_not_open(taker_of(place), state);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("channel, hostile");
    TCase *tcase = tcase_create("handshake");

    crypto_init();
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_loop_test(tcase, no_changed_bit_is_taken, 0, 3);
    tcase_add_loop_test(tcase, no_length_but_the_right_one_is_taken, 0, 3);
    tcase_add_test(tcase, an_oversized_message_is_refused_before_it_comes);
    tcase_add_test(tcase, messages_out_of_place_are_refused);
    tcase_add_test(tcase, recorded_messages_complete_no_handshake);
    tcase_add_test(tcase, ones_own_first_message_is_no_answer);
    tcase_add_loop_test(tcase, a_stolen_public_key_is_forged, 0, 2);
    tcase_add_test(tcase, refusals_are_read_with_care);
    tcase_add_test(tcase, noise_opens_nothing);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
