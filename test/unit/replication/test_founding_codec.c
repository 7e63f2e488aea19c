/* Bytes of states and messages of the founding: the same after a round trip, the same for ever, and nothing else is taken. */
#include "replication/founding/message.h"
#include "support/run_suite.h"

#include "base/error.h"

static struct raft_server server_of(uint8_t number)
{
    return (struct raft_server){{{number, 1}}, {{number, 2}}};
}

static struct founding_value value_of(void)
{
    return (struct founding_value){{{0xc1}}, 3, {server_of(1), server_of(2), server_of(3)}};
}

static struct founding_state state_of(enum founding_phase phase)
{
    struct founding_state state = {.phase = phase, .expect = 3, .known_count = 2, .known = {server_of(2), server_of(3)}};

    for (unsigned i = 0; i < 20; i++)
        founding_stamps_add(&state.stamps, 0x100 + i);
    state.heard[1] = (struct founding_stamp){300, 0x1234};
    if (phase == FOUNDING_BLANK) return state;
    state.promised = (struct founding_ballot){7, server_of(2)};
    state.value = value_of();
    if (phase == FOUNDING_PROMISED)
        state.accepted = (struct founding_ballot){6, server_of(3)};
    else
        state.known_count = 0;
    return state;
}

static struct founding_message message_of(enum founding_kind kind)
{
    struct founding_message message = {.kind = kind, .sender = server_of(1), .address = {{1, 2, 3}, 9092}, .phase = FOUNDING_PROMISED, .expect = 3};

    message.promised = message.accepted = (struct founding_ballot){300, server_of(1)};
    message.value = message.proposal = value_of();
    message.ballot = (struct founding_ballot){301, server_of(1)};
    message.refusal = FOUNDING_REFUSES_MARKED;
    message.marker = (struct uuid){{9}};
    message.mention_count = 2;
    message.mentions[0] = (struct founding_mention){server_of(2), {{4}, 1}, 3, 1234, {7, 0x77}};
    message.mentions[1] = (struct founding_mention){server_of(3), {{0}, 0}, 5, FOUNDING_AGE_NEVER, {0, 0}};
    founding_stamps_add(&message.stamps, 0x55);
    return message;
}

START_TEST(state_comes_back)
{
    struct founding_state state = state_of((enum founding_phase)_i), again;
    struct buffer bytes = BUFFER_INIT, twice = BUFFER_INIT;

    ck_assert_int_eq(founding_state_encode(&state, &bytes), 0);
    ck_assert_int_eq(founding_state_decode(buffer_slice(&bytes), &again), 0);
    ck_assert_uint_eq(again.phase, state.phase);
    ck_assert(founding_ballot_equal(&again.promised, &state.promised) && founding_ballot_equal(&again.accepted, &state.accepted));
    ck_assert(founding_value_equal(&again.value, &state.value));
    ck_assert_int_eq(founding_state_encode(&again, &twice), 0);
    ck_assert(slice_equal(buffer_slice(&bytes), buffer_slice(&twice)));
    for (size_t size = 0; size < bytes.size; size++)
        ck_assert_int_eq(founding_state_decode(slice_of(bytes.data, size), &again), MESH_ECORRUPT);
    ck_assert_uint_eq(again.stamps.number, 20);
    bytes.data[0] = 3;
    ck_assert_int_eq(founding_state_decode(buffer_slice(&bytes), &again), MESH_EVERSION);
    buffer_deinit(&bytes);
    buffer_deinit(&twice);
}
END_TEST

START_TEST(message_comes_back)
{
    static struct founding_message message, again;
    struct buffer bytes = BUFFER_INIT, twice = BUFFER_INIT;

    message = message_of((enum founding_kind)_i);
    ck_assert_int_eq(founding_message_encode(&message, &bytes), 0);
    ck_assert_int_eq(founding_message_decode(buffer_slice(&bytes), &again), 0);
    ck_assert_int_eq(founding_message_encode(&again, &twice), 0);
    ck_assert(slice_equal(buffer_slice(&bytes), buffer_slice(&twice)));
    ck_assert_uint_eq(again.mentions[0].age_ms, 1234);
    for (size_t size = 0; size < bytes.size; size++)
        ck_assert_int_eq(founding_message_decode(slice_of(bytes.data, size), &again), MESH_EPROTO);
    bytes.data[0] = 3;
    ck_assert_int_eq(founding_message_decode(buffer_slice(&bytes), &again), MESH_EVERSION);
    buffer_deinit(&bytes);
    buffer_deinit(&twice);
}
END_TEST

/* As full as can be, a message has room. */
START_TEST(largest_message_fits)
{
    static struct founding_message message;
    struct buffer bytes = BUFFER_INIT;

    message = message_of(FOUNDING_ACCEPT);
    message.mention_count = FOUNDING_SERVERS_MAX;
    for (size_t i = 0; i < FOUNDING_SERVERS_MAX; i++)
        message.mentions[i] = (struct founding_mention){server_of((uint8_t)(i + 1)), {{1}, 1}, FOUNDING_EXPECT_MAX, FOUNDING_AGE_NEVER, {FOUNDING_STAMP_NUMBER_MAX, UINT64_MAX}};
    message.stamps.number = FOUNDING_STAMP_NUMBER_MAX;
    message.ballot.round = message.promised.round = message.accepted.round = FOUNDING_ROUND_MAX;
    message.value.founder_count = message.proposal.founder_count = FOUNDING_FOUNDERS_MAX;
    ck_assert_int_eq(founding_message_encode(&message, &bytes), 0);
    ck_assert_uint_le(bytes.size, FOUNDING_MESSAGE_MAX);
    buffer_deinit(&bytes);
}
END_TEST

/* A PROMISED state as the first version writes it: never regenerated. */
START_TEST(old_states_stay_readable)
{
    static const uint8_t golden[] = {
        1, 1, 2,                                                                                         /* version, phase, expect */
        5, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,     /* promised */
        4, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,     /* accepted */
        0xc1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,                                               /* cluster */
        1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,     /* founders */
        1, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,     /* known */
    };
    struct founding_state state;
    struct raft_server one = server_of(1), two = server_of(2);

    ck_assert_int_eq(founding_state_decode(slice_of(golden, sizeof(golden)), &state), 0);
    ck_assert_uint_eq(state.phase, FOUNDING_PROMISED);
    ck_assert_uint_eq(state.expect, 2);
    ck_assert_uint_eq(state.promised.round, 5);
    ck_assert_uint_eq(state.accepted.round, 4);
    ck_assert(raft_server_equal(&state.promised.proposer, &one) && raft_server_equal(&state.accepted.proposer, &two));
    ck_assert(founding_value_has(&state.value, &one) && !founding_value_has(&state.value, &two));
    ck_assert_uint_eq(state.known_count, 1);
}
END_TEST

static const uint8_t golden_2[] = {
    2, 1, 3,                                                                                                /* version, phase, expect */
    5, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,      /* promised */
    0,                                                                                                      /* accepted: none */
    1, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,      /* known, */
    9, 8, 7, 6, 5, 4, 3, 2, 1,                                                                              /* its stamp */
    2, 2, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0,                                                      /* stamps, the newest first */
    1,                                                                                                      /* set back */
};

START_TEST(stamps_keep_their_place)
{
    struct founding_state state;
    struct buffer bytes = BUFFER_INIT;

    ck_assert_int_eq(founding_state_decode(slice_of(golden_2, sizeof(golden_2)), &state), 0);
    ck_assert(state.is_set_back);
    ck_assert_uint_eq(state.heard[0].number, 9);
    ck_assert_uint_eq(state.heard[0].nonce, 0x0102030405060708);
    ck_assert_uint_eq(founding_stamps_newest(&state.stamps).number, 2);
    ck_assert_uint_eq(founding_stamps_newest(&state.stamps).nonce, 2);
    ck_assert_int_eq(founding_state_encode(&state, &bytes), 0);
    ck_assert(slice_equal(buffer_slice(&bytes), slice_of(golden_2, sizeof(golden_2))));
    buffer_deinit(&bytes);
}
END_TEST

static const struct {
    struct founding_stamp heard;
    enum founding_bond bond;
} bond_cases[] = {
    /* of stamps 5 to 20, whose nonces are 0x100 and up */
    {{0, 0}, FOUNDING_BOND_HELD},          /* nothing was heard */
    {{20, 0x113}, FOUNDING_BOND_HELD},     /* the newest */
    {{5, 0x104}, FOUNDING_BOND_HELD},      /* the oldest that is kept */
    {{5, 0x999}, FOUNDING_BOND_BROKEN},
    {{20, 0x999}, FOUNDING_BOND_BROKEN},   /* a copy of it went on */
    {{4, 0x999}, FOUNDING_BOND_HELD},      /* too far back: believed */
    {{21, 0x114}, FOUNDING_BOND_AHEAD},    /* it has forgotten that, or was not asked since */
};

START_TEST(stamps_tell_a_disk_from_its_past)
{
    struct founding_stamps stamps = state_of(FOUNDING_BLANK).stamps;

    ck_assert_int_eq(founding_stamps_judge(&stamps, &bond_cases[_i].heard), bond_cases[_i].bond);
}
END_TEST

/* What no broker writes is not believed. */
START_TEST(unsound_states_are_refused)
{
    struct buffer bytes = BUFFER_INIT;
    struct founding_state state = state_of(FOUNDING_PROMISED), again;

    switch (_i) {
    case 0: state.accepted.round = 8; break;                /* beyond the promise */
    case 1: state.expect = 0; break;                        /* a promise without a number */
    case 2: state.phase = FOUNDING_BLANK; break;            /* blank, and promised */
    case 3: state.value.cluster = (struct uuid){{0}}; break; /* no mesh */
    case 4: state.value.founders[1] = server_of(1); break;  /* one twice */
    case 5: state.value.founder_count = 0; break;           /* nobody */
    default: state.known[0].dir = (struct uuid){{0}}; break; /* no disk */
    }
    ck_assert_int_eq(founding_state_encode(&state, &bytes), 0);
    ck_assert_int_eq(founding_state_decode(buffer_slice(&bytes), &again), MESH_ECORRUPT);
    buffer_deinit(&bytes);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("founding_codec");
    TCase *tcase = tcase_create("codec");

    tcase_add_loop_test(tcase, state_comes_back, FOUNDING_BLANK, FOUNDING_MEMBER + 1);
    tcase_add_loop_test(tcase, message_comes_back, FOUNDING_TELL, FOUNDING_ACCEPT + 1);
    tcase_add_test(tcase, largest_message_fits);
    tcase_add_test(tcase, old_states_stay_readable);
    tcase_add_test(tcase, stamps_keep_their_place);
    tcase_add_loop_test(tcase, stamps_tell_a_disk_from_its_past, 0, sizeof(bond_cases) / sizeof(bond_cases[0]));
    tcase_add_loop_test(tcase, unsound_states_are_refused, 0, 7);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
