/* Messages of consensus: their bytes as they have always been, round trips, cuts, lies. */
#include "base/crc32c.h"
#include "base/error.h"
#include "replication/consensus/message.h"
#include "support/run_suite.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

static struct message sample(enum message_type type)
{
    struct message message;

    memset(&message, 0, sizeof(message));
    message.type = type;
    for (int i = 0; i < UUID_SIZE; i++) {
        message.to.broker.bytes[i] = 0x11;
        message.to.dir.bytes[i] = 0x12;
        message.from.broker.bytes[i] = 0x21;
        message.from.dir.bytes[i] = 0x22;
    }
    message.term = 300;
    message.position = (struct raft_position){7, 299, {0xcc}};
    message.sequence = 1000;
    message.committed = 6;
    message.match = 5;
    message.hint_index = 4;
    message.hint_term = 3;
    message.offset = 10;
    message.total = 14;
    switch (type) {
    case MESSAGE_VOTE_REQUEST: message.flags = MESSAGE_PRE_VOTE | MESSAGE_TRANSFER; break;
    case MESSAGE_VOTE_RESPONSE: message.flags = MESSAGE_GRANTED; break;
    case MESSAGE_APPEND:
        message.flags = MESSAGE_QUIET;
        message.entry_count = 2;
        message.chain[31] = 0xdd;
        break;
    case MESSAGE_APPEND_RESPONSE: message.flags = MESSAGE_REJECTED | MESSAGE_DAMAGED | MESSAGE_CORRUPT; break;
    case MESSAGE_SNAPSHOT:
        message.flags = MESSAGE_LAST;
        message.config.voter_count = message.config.learner_count = 1;
        message.config.voters[0] = message.from;
        message.config.learners[0] = message.to;
        message.bytes = slice_of("part", 4);
        message.crc = crc32c("part", 4);
        break;
    case MESSAGE_SNAPSHOT_RESPONSE: message.flags = MESSAGE_LAST; break;
    case MESSAGE_TIMEOUT_NOW: break;
    case MESSAGE_PRESENCE: message.flags = MESSAGE_CONNECTED | MESSAGE_HEARS_YOU; break;
    }
    return message;
}

static void encode(enum message_type type, struct buffer *to)
{
    struct message message = sample(type);
    struct raft_entry noop = {.term = 299, .type = RAFT_ENTRY_NOOP};
    struct raft_entry command = {.term = 300, .type = RAFT_ENTRY_COMMAND, .body = slice_of("xyz", 3)};

    ck_assert_int_eq(message_encode(&message, to), 0);
    if (type != MESSAGE_APPEND) return;
    ck_assert_int_eq(message_put_entry(&noop, to), 0);
    ck_assert_int_eq(message_put_entry(&command, to), 0);
}

/* Decodes from memory of exactly that size, so that a sanitizer sees a read beyond it. */
static int decode(struct slice bytes, struct message *ret_message)
{
    uint8_t *exact = malloc(bytes.size + 1);
    int err;

    ck_assert_ptr_nonnull(exact);
    if (bytes.size != 0) memcpy(exact + 1, bytes.data, bytes.size);
    err = message_decode(slice_of(exact + 1, bytes.size), ret_message);
    free(exact);
    return err;
}

/* After the head's 66 bytes (version, type, to, from). Never changed: a new version gets new rows. */
static const char *const golden[] = {
    [MESSAGE_VOTE_REQUEST] = "ac020307ab02",
    [MESSAGE_VOTE_RESPONSE] = "ac0204",
    [MESSAGE_APPEND] = "ac0208e80707ab02cc0000000000000000000000000000000000000000000000000000000000000006020000"
        "0000000000000000000000000000000000000000000000000000000000ddab020100ac02030378797a",
    [MESSAGE_APPEND_RESPONSE] = "ac0270e80705070403",
    [MESSAGE_SNAPSHOT] = "ac02800407ab02cc000000000000000000000000000000000000000000000000000000000000000101212121"
        "2121212121212121212121212122222222222222222222222222222222000111111111111111111111111111"
        "111111121212121212121212121212121212120a0e5e7ffe700470617274",
    [MESSAGE_SNAPSHOT_RESPONSE] = "ac028004070a",
    [MESSAGE_TIMEOUT_NOW] = "ac020007ab02",
    [MESSAGE_PRESENCE] = "ac028003",
};

START_TEST(bytes_are_as_they_have_always_been)
{
    struct buffer bytes = BUFFER_INIT;
    char text[1024];

    encode((enum message_type)_i, &bytes);
    ck_assert_uint_eq(bytes.data[0], 1);
    ck_assert_uint_eq(bytes.data[1], _i);
    for (size_t i = 66; i < bytes.size; i++)
        snprintf(text + 2 * (i - 66), 3, "%02x", bytes.data[i]);
    ck_assert_str_eq(text, golden[_i]);
    buffer_deinit(&bytes);
}
END_TEST

static bool is_same_claim(const struct raft_claim *a, const struct raft_claim *b)
{
    return a->life.boot == b->life.boot && a->life.nonce == b->life.nonce && a->term == b->term && a->durable == b->durable && a->has_voted == b->has_voted;
}

/* Version 2: with lives, between head and body. */
START_TEST(bytes_with_lives_are_as_they_have_always_been)
{
    struct message message = sample(MESSAGE_PRESENCE), read;
    struct buffer bytes = BUFFER_INIT;
    char text[1024];

    message.claim = (struct raft_claim){{3, 0x0102030405060708}, 300, true, 5};
    message.vouched = (struct raft_claim){{2, 2}, 7, false, 6};
    message.known = (struct raft_claim){{1, 1}, 9, true, 8};
    ck_assert_int_eq(message_encode(&message, &bytes), 0);
    ck_assert_uint_eq(bytes.data[0], 2);
    for (size_t i = 66; i < bytes.size; i++)
        snprintf(text + 2 * (i - 66), 3, "%02x", bytes.data[i]);
    ck_assert_str_eq(text, "ac02801b030807060504030201ac02050202000000000000000706010100000000000000" "0908");
    ck_assert_int_eq(decode(buffer_slice(&bytes), &read), 0);
    ck_assert(is_same_claim(&read.claim, &message.claim) && is_same_claim(&read.known, &message.known));
    ck_assert(is_same_claim(&read.vouched, &message.vouched) && read.flags == message.flags);
    for (size_t size = 0; size < bytes.size; size++)
        ck_assert_int_ne(decode(slice_of(bytes.data, size), &read), 0);
    bytes.data[70] = 0; /* a life 0 */
    ck_assert_int_ne(decode(buffer_slice(&bytes), &read), 0);
    buffer_deinit(&bytes);
}
END_TEST

START_TEST(what_is_told_of_others_is_as_it_has_always_been)
{
    struct message message = sample(MESSAGE_APPEND), read;
    struct raft_other told[2] = {{message.to, {{3, 0x0102030405060708}, 300, true, 5}}, {message.from, {{2, 2}, 7, false, 6}}}, other;
    struct buffer bytes = BUFFER_INIT;
    char text[1024];

    message.entry_count = 0;
    message.claim = (struct raft_claim){{1, 1}, 9, false, 8};
    message.told = told;
    message.told_count = 2;
    ck_assert_int_eq(message_encode(&message, &bytes), 0);
    for (size_t i = 82; i < 82 + 46; i++)
        snprintf(text + 2 * (i - 82), 3, "%02x", bytes.data[i]);
    ck_assert_str_eq(text, "021111111111111111111111111111111112121212121212121212121212121212030807060504030201ac020501");
    ck_assert_int_eq(decode(buffer_slice(&bytes), &read), 0);
    ck_assert_int_eq(message_decode(buffer_slice(&bytes), &read), 0);
    for (unsigned i = 0; i < 2; i++) {
        ck_assert(message_next_told(&read.told_bytes, &other) && raft_server_equal(&other.server, &told[i].server));
        ck_assert(is_same_claim(&other.claim, &told[i].claim));
    }
    ck_assert(!message_next_told(&read.told_bytes, &other));
    for (size_t size = 0; size < bytes.size; size++)
        ck_assert_int_ne(decode(slice_of(bytes.data, size), &read), 0);
    bytes.data[82] = MESSAGE_TOLD_MAX + 1;
    ck_assert_int_ne(decode(buffer_slice(&bytes), &read), 0);
    buffer_deinit(&bytes);
}
END_TEST

START_TEST(what_is_written_is_read)
{
    struct message message, want = sample((enum message_type)_i);
    struct buffer bytes = BUFFER_INIT;
    struct raft_entry entry;

    encode((enum message_type)_i, &bytes);
    ck_assert_int_eq(message_decode(buffer_slice(&bytes), &message), 0);
    ck_assert_int_eq(message.type, want.type);
    ck_assert(raft_server_equal(&message.to, &want.to) && raft_server_equal(&message.from, &want.from));
    ck_assert_uint_eq(message.term, want.term);
    ck_assert_uint_eq(message.flags, want.flags);
    if (want.type == MESSAGE_SNAPSHOT) {
        ck_assert_mem_eq(&message.config, &want.config, sizeof(want.config));
        ck_assert_mem_eq(&message.position, &want.position, sizeof(want.position));
        ck_assert_uint_eq(message.crc, want.crc);
        ck_assert(slice_equal(message.bytes, want.bytes));
    }
    if (want.type == MESSAGE_APPEND) {
        struct slice left = message.entries;
        ck_assert(message_next_entry(&left, &entry));
        ck_assert_uint_eq(entry.term, 299);
        ck_assert(message_next_entry(&left, &entry));
        ck_assert(slice_equal(entry.body, slice_of("xyz", 3)));
        ck_assert(!message_next_entry(&left, &entry));
    }
    buffer_deinit(&bytes);
}
END_TEST

START_TEST(cut_or_longer_it_is_refused)
{
    struct buffer bytes = BUFFER_INIT;
    struct message message;

    encode((enum message_type)_i, &bytes);
    for (size_t size = 0; size < bytes.size; size++)
        ck_assert_int_ne(decode(slice_of(bytes.data, size), &message), 0);
    ck_assert_int_eq(buffer_append(&bytes, "x", 1), 0);
    ck_assert_int_ne(decode(buffer_slice(&bytes), &message), 0);
    bytes.data[0] = 3;
    ck_assert_int_eq(decode(buffer_slice(&bytes), &message), MESH_EVERSION);
    buffer_deinit(&bytes);
}
END_TEST

static int err_of(const struct message *message, const struct raft_entry *entry)
{
    struct buffer bytes = BUFFER_INIT;
    struct message decoded;
    int err;

    ck_assert_int_eq(message_encode(message, &bytes), 0);
    if (entry != NULL) ck_assert_int_eq(message_put_entry(entry, &bytes), 0);
    err = decode(buffer_slice(&bytes), &decoded);
    buffer_deinit(&bytes);
    return err;
}

START_TEST(lies_are_refused)
{
    struct raft_entry entry = {.term = 300, .type = RAFT_ENTRY_COMMAND, .body = slice_of("a", 1)};
    struct message message = sample(MESSAGE_APPEND);

    message.entry_count = 1;
    ck_assert_int_eq(err_of(&message, &entry), 0);
    entry.term = 301; /* newer than its leader */
    ck_assert_int_eq(err_of(&message, &entry), MESH_EPROTO);
    entry.term = 298; /* older than the one before */
    ck_assert_int_eq(err_of(&message, &entry), MESH_EPROTO);
    entry.term = 300;
    entry.type = (enum raft_entry_type)9;
    ck_assert_int_eq(err_of(&message, &entry), MESH_EPROTO);
    entry.type = RAFT_ENTRY_NOOP; /* with a body */
    ck_assert_int_eq(err_of(&message, &entry), MESH_EPROTO);
    entry.type = RAFT_ENTRY_CONFIG; /* of nothing */
    ck_assert_int_eq(err_of(&message, &entry), MESH_EPROTO);
    message.entry_count = 2; /* one is missing */
    entry.type = RAFT_ENTRY_COMMAND;
    ck_assert_int_eq(err_of(&message, &entry), MESH_EPROTO);
    message = sample(MESSAGE_SNAPSHOT);
    message.flags = 0; /* it is the last part */
    ck_assert_int_eq(err_of(&message, NULL), MESH_EPROTO);
    message = sample(MESSAGE_SNAPSHOT);
    message.offset = 11; /* beyond its own end */
    ck_assert_int_eq(err_of(&message, NULL), MESH_EPROTO);
    message = sample(MESSAGE_SNAPSHOT);
    message.config.learners[0] = message.from; /* a voter too */
    ck_assert_int_eq(err_of(&message, NULL), MESH_EPROTO);
    message = sample(MESSAGE_PRESENCE);
    message.flags = 1024;
    ck_assert_int_eq(err_of(&message, NULL), MESH_EPROTO);
    message = sample(MESSAGE_PRESENCE);
    message.term = UINT64_MAX;
    ck_assert_int_eq(err_of(&message, NULL), MESH_EPROTO);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("raft messages");
    TCase *tcase = tcase_create("messages");

    tcase_add_loop_test(tcase, bytes_are_as_they_have_always_been, MESSAGE_VOTE_REQUEST, MESSAGE_PRESENCE + 1);
    tcase_add_test(tcase, bytes_with_lives_are_as_they_have_always_been);
    tcase_add_test(tcase, what_is_told_of_others_is_as_it_has_always_been);
    tcase_add_loop_test(tcase, what_is_written_is_read, MESSAGE_VOTE_REQUEST, MESSAGE_PRESENCE + 1);
    tcase_add_loop_test(tcase, cut_or_longer_it_is_refused, MESSAGE_VOTE_REQUEST, MESSAGE_PRESENCE + 1);
    tcase_add_test(tcase, lies_are_refused);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
