/* The bytes of recoveries: written, read, and refused when they are cut or spoilt. */
#include "replication/recover/message.h"
#include "support/run_suite.h"

#include "base/error.h"

#include <stdlib.h>

static struct recover_party party, read_party;
static struct recover_state state, read_state;

static struct uuid id(uint8_t n)
{
    return (struct uuid){{n, 7}};
}

static void setup(void)
{
    party.count = 0;
    ck_assert_int_eq(recover_party_add(&party, &(struct uuid){{3, 7}}, false), 0);
    ck_assert_int_eq(recover_party_add(&party, &(struct uuid){{1, 7}}, true), 0);
    ck_assert_int_eq(recover_party_add(&party, &(struct uuid){{2, 7}}, false), 0);
    ck_assert_int_eq(recover_party_add(&party, &(struct uuid){{2, 7}}, true), 0);
    ck_assert_int_eq(recover_party_add(&party, &(struct uuid){{1, 7}}, false), 0);
    state = (struct recover_state){
        .promised = {9, id(3)}, .accepted = {8, id(2)}, .value = {4, id(3)}, .party = party, .is_removed = true, .removed_history = 5};
}

START_TEST(a_party_is_in_order_and_whoever_is_lost_stays_lost)
{
    ck_assert_uint_eq(party.count, 3);
    for (uint8_t i = 0; i < 3; i++)
        ck_assert_uint_eq(party.brokers[i].id.bytes[0], i + 1u);
    ck_assert(party.brokers[0].is_lost && party.brokers[1].is_lost && !party.brokers[2].is_lost);
    ck_assert_ptr_null(recover_party_find(&party, &(struct uuid){{4, 7}}));
    for (unsigned i = 4; party.count < RECOVER_BROKERS_MAX; i++)
        ck_assert_int_eq(recover_party_add(&party, &(struct uuid){{(uint8_t)i, (uint8_t)(i >> 8), 1}}, false), 0);
    ck_assert_int_eq(recover_party_add(&party, &(struct uuid){{0}}, false), MESH_EFULL);
}
END_TEST

START_TEST(a_state_reads_as_it_was_written_and_no_part_of_it_does)
{
    struct buffer bytes = BUFFER_INIT;

    ck_assert_int_eq(recover_state_encode(&state, &bytes), 0);
    ck_assert_int_eq(recover_state_decode(buffer_slice(&bytes), &read_state), 0);
    ck_assert_int_eq(recover_ballot_compare(&read_state.promised, &state.promised), 0);
    ck_assert(recover_value_equal(&read_state.value, &state.value));
    ck_assert_uint_eq(read_state.party.count, 3);
    ck_assert(read_state.is_removed);
    for (size_t size = 0; size < bytes.size; size++)
        ck_assert_int_eq(recover_state_decode(slice_of(bytes.data, size), &read_state), MESH_ECORRUPT);
    bytes.data[0] = 2;
    ck_assert_int_eq(recover_state_decode(buffer_slice(&bytes), &read_state), MESH_EVERSION);
    buffer_clear(&bytes);
    state.accepted.round = 10; /* above what was promised */
    ck_assert_int_eq(recover_state_encode(&state, &bytes), 0);
    ck_assert_int_eq(recover_state_decode(buffer_slice(&bytes), &read_state), MESH_ECORRUPT);
    buffer_deinit(&bytes);
}
END_TEST

START_TEST(messages_read_as_they_were_written_and_no_part_of_them_does)
{
    struct recover_message message = {
        .type = (enum recover_message_type)_i,
        .ballot = {7, id(1)},
        .promised = {9, id(2)},
        .accepted = {5, id(3)},
        .value = {2, id(3)},
        .position = {11, 3, {4, 5}},
        .facts = {.history = 1, .begun = 1, .term = 6, .last = {12, 6, {1}}, .committed = {10, 5, {2}}, .is_voter = true},
        .holds = true,
        .is_ok = true,
        .text = slice_of_string("a reason"),
        .party = &party,
    };
    struct recover_message again = {.party = &read_party};
    struct buffer bytes = BUFFER_INIT, twice = BUFFER_INIT;

    ck_assert_int_eq(recover_message_encode(&bytes, &message), 0);
    for (size_t size = 0; size < bytes.size; size++)
        ck_assert_int_eq(recover_message_decode(slice_of(bytes.data, size), &again), MESH_EPROTO);
    ck_assert_int_eq(recover_message_decode(buffer_slice(&bytes), &again), 0);
    ck_assert_int_eq(recover_message_encode(&twice, &again), 0);
    ck_assert(slice_equal(buffer_slice(&bytes), buffer_slice(&twice)));
    bytes.data[0] = 99;
    ck_assert_int_eq(recover_message_decode(buffer_slice(&bytes), &again), MESH_EPROTO);
    buffer_deinit(&bytes);
    buffer_deinit(&twice);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("recover_codec");
    TCase *tcase = tcase_create("recover_codec");

    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_add_test(tcase, a_party_is_in_order_and_whoever_is_lost_stays_lost);
    tcase_add_test(tcase, a_state_reads_as_it_was_written_and_no_part_of_it_does);
    tcase_add_loop_test(tcase, messages_read_as_they_were_written_and_no_part_of_them_does, RECOVER_ASK, RECOVER_RELEASE + 1);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
