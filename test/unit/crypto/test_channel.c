/* The handshake between honest ends: what both learn, and what is said when they do not fit. */
#include "base/error.h"
#include "channel_rig.h"
#include "hex.h"
#include "support/run_suite.h"

static struct rig rig;
static struct channel_failure_detail detail;

static void set_up(void)
{
    rig_init(&rig);
}

static void tear_down(void)
{
    rig_deinit(&rig);
}

/* Runs to the end of the handshake, in which the refusing end's answer reaches the other. */
static void run_and_expect(enum rig_end refusing, enum channel_failure want, enum channel_failure want_other)
{
    const struct channel_step *refusal;
    struct channel_step step;

    rig_start(&rig);
    ck_assert_int_eq(rig_run(&rig, refusing == RESPONDER ? 1 : 2), CHANNEL_FAILED);
    channel_get_failure(rig.channels[refusing], &detail);
    ck_assert_str_eq(channel_failure_text(detail.failure), channel_failure_text(want));
    refusal = &rig.steps[refusing == RESPONDER ? 1 : 2];
    ck_assert_uint_gt(refusal->out_size, 0);
    ck_assert_int_eq(rig_feed(&rig, refusing == RESPONDER ? INITIATOR : RESPONDER, refusal->out, refusal->out_size, &step),
                     CHANNEL_FAILED);
    ck_assert_uint_eq(step.out_size, 0); /* a refusal is not answered */
    channel_get_failure(rig.channels[1 - refusing], &detail);
    ck_assert_str_eq(channel_failure_text(detail.failure), channel_failure_text(want_other));
    ck_assert(detail.is_hearsay);
}

static void check_peer(enum rig_end end)
{
    enum rig_end other = end == INITIATOR ? RESPONDER : INITIATOR;
    const struct channel_peer *peer = channel_peer(rig.channels[end]);

    ck_assert_ptr_nonnull(peer);
    ck_assert(uuid_equal(&peer->id, &rig.identities[other].id));
    ck_assert_int_eq(memcmp(peer->public_key, rig.identities[other].public_key, IDENTITY_PUBLIC_KEY_SIZE), 0);
    ck_assert(uuid_equal(&peer->cluster_id, &rig.options[other].cluster_id));
    ck_assert_uint_eq(peer->boot, rig.options[other].boot);
    ck_assert_uint_eq(peer->wall_ms, rig.options[other].wall_ms);
    ck_assert_uint_eq(peer->key_id, rig.keys[0].id);
    ck_assert_uint_eq(peer->version, CHANNEL_VERSION);
}

START_TEST(both_ends_learn_who_the_other_is)
{
    rig_start(&rig);
    ck_assert_ptr_null(channel_peer(rig.channels[INITIATOR]));
    ck_assert_int_eq(rig_run(&rig, 3), CHANNEL_OPEN);
    ck_assert_int_eq(channel_state(rig.channels[INITIATOR]), CHANNEL_OPEN);
    check_peer(INITIATOR);
    check_peer(RESPONDER);
    ck_assert_uint_eq(channel_peer(rig.channels[INITIATOR])->in_use_key_id, rig.keys[0].id);
    ck_assert_int_eq(rig_failure(&rig, INITIATOR), CHANNEL_FAILURE_NONE);
}
END_TEST

START_TEST(golden_bytes_stay)
{
    rig_start(&rig);
    ck_assert_int_eq(rig_run(&rig, 3), CHANNEL_OPEN);
    assert_golden(rig.steps[0].out, rig.steps[0].out_size, "message1");
    assert_golden(rig.steps[1].out, rig.steps[1].out_size, "message2");
    assert_golden(rig.steps[2].out, rig.steps[2].out_size, "message3");
}
END_TEST

START_TEST(bytes_may_come_one_by_one_and_frames_may_follow_at_once)
{
    struct channel_step step;
    enum channel_state state = CHANNEL_HANDSHAKING;
    uint8_t stream[512];

    rig_start(&rig);
    ck_assert_int_eq(rig_run(&rig, 0), CHANNEL_HANDSHAKING);
    for (size_t size = 0; size < rig.steps[0].out_size; size++) {
        ck_assert_int_eq(rig_feed(&rig, RESPONDER, rig.steps[0].out, size, &step), CHANNEL_HANDSHAKING);
        ck_assert(step.used == 0 && step.out_size == 0);
    }
    ck_assert_int_eq(rig_feed(&rig, RESPONDER, rig.steps[0].out, rig.steps[0].out_size, &rig.steps[1]), CHANNEL_HANDSHAKING);
    ck_assert_int_eq(rig_feed(&rig, INITIATOR, rig.steps[1].out, rig.steps[1].out_size, &rig.steps[2]), CHANNEL_OPEN);
    memcpy(stream, rig.steps[2].out, rig.steps[2].out_size);
    ck_assert_int_eq(channel_seal(rig.channels[INITIATOR], 3, slice_of_string("first"), stream + rig.steps[2].out_size), 0);
    state = rig_feed(&rig, RESPONDER, stream, rig.steps[2].out_size + 5 + CHANNEL_FRAME_OVERHEAD, &step);
    ck_assert_int_eq(state, CHANNEL_OPEN);
    ck_assert_uint_eq(step.used, rig.steps[2].out_size); /* the frame is left */
}
END_TEST

#define AES_ALL (CHANNEL_AES256_GCM | CHANNEL_AES128_GCM)

static const struct {
    uint8_t ciphers[2];
    enum channel_cipher want;
} cipher_cases[] = {
    {{0, 0}, CHANNEL_XCHACHA20_POLY1305},
    {{AES_ALL, 0}, CHANNEL_XCHACHA20_POLY1305},
    {{0, AES_ALL}, CHANNEL_XCHACHA20_POLY1305},
    {{AES_ALL, AES_ALL}, CHANNEL_AES128_GCM},
    {{CHANNEL_AES256_GCM, AES_ALL}, CHANNEL_AES256_GCM}, /* one end is older than AES-128-GCM */
    {{AES_ALL, CHANNEL_AES256_GCM}, CHANNEL_AES256_GCM},
    {{CHANNEL_AES128_GCM, CHANNEL_AES256_GCM}, CHANNEL_XCHACHA20_POLY1305},
};

START_TEST(the_fastest_that_both_have_is_taken)
{
    if (cipher_cases[_i].want != CHANNEL_XCHACHA20_POLY1305 && !crypto_has_aes()) return;
    rig.options[INITIATOR].ciphers = cipher_cases[_i].ciphers[INITIATOR];
    rig.options[RESPONDER].ciphers = cipher_cases[_i].ciphers[RESPONDER];
    rig_start(&rig);
    ck_assert_int_eq(rig_run(&rig, 3), CHANNEL_OPEN);
    ck_assert_int_eq(channel_peer(rig.channels[INITIATOR])->cipher, cipher_cases[_i].want);
    ck_assert_int_eq(channel_peer(rig.channels[RESPONDER])->cipher, cipher_cases[_i].want);
}
END_TEST

START_TEST(a_broker_without_a_mesh_fits_every_mesh)
{
    static const struct uuid none;

    rig.options[_i].cluster_id = none;
    rig_start(&rig);
    ck_assert_int_eq(rig_run(&rig, 3), CHANNEL_OPEN);
    check_peer(INITIATOR);
    check_peer(RESPONDER);
}
END_TEST

/* The initiator uses a key that the responder only holds: a rotation under way. */
START_TEST(any_key_that_the_responder_holds_will_do)
{
    keyring_install(rig.rings[RESPONDER], &rig.keys[1]);
    keyring_use(rig.rings[RESPONDER], rig.keys[1].id);
    rig_start(&rig);
    ck_assert_int_eq(rig_run(&rig, 3), CHANNEL_OPEN);
    check_peer(INITIATOR);
    ck_assert_uint_eq(channel_peer(rig.channels[INITIATOR])->in_use_key_id, rig.keys[1].id);
}
END_TEST

START_TEST(a_wrong_key_is_named_to_both)
{
    struct cluster_key other;
    uint8_t bytes[CLUSTER_KEY_SIZE] = {9};

    cluster_key_init(&other, bytes);
    keyring_install(rig.rings[INITIATOR], &other);
    keyring_use(rig.rings[INITIATOR], other.id);
    run_and_expect(RESPONDER, CHANNEL_FAILURE_WRONG_KEY, CHANNEL_FAILURE_WRONG_KEY);
    ck_assert_uint_eq(detail.own_key_id, other.id); /* as the initiator tells it */
    ck_assert_uint_eq(detail.peer_key_id, rig.keys[0].id);
    channel_get_failure(rig.channels[RESPONDER], &detail);
    ck_assert_uint_eq(detail.own_key_id, rig.keys[0].id);
    ck_assert_uint_eq(detail.peer_key_id, other.id);
    ck_assert_ptr_null(channel_peer(rig.channels[RESPONDER]));
}
END_TEST

/* The same id over another key: made by hand here, as it does not happen. */
START_TEST(a_key_with_the_same_id_proves_nothing)
{
    struct cluster_key impostor = rig.keys[0];

    impostor.bytes[0] ^= 1;
    keyring_free(rig.rings[INITIATOR]);
    rig.rings[INITIATOR] = keyring_new();
    rig.options[INITIATOR].keyring = rig.rings[INITIATOR];
    keyring_install(rig.rings[INITIATOR], &impostor);
    run_and_expect(RESPONDER, CHANNEL_FAILURE_FORGED, CHANNEL_FAILURE_REFUSED);
    ck_assert_int_eq(detail.refusal, CHANNEL_FAILURE_FORGED);
}
END_TEST

START_TEST(another_mesh_is_told)
{
    rig.options[INITIATOR].cluster_id.bytes[3] ^= 1;
    run_and_expect(INITIATOR, CHANNEL_FAILURE_OTHER_CLUSTER, CHANNEL_FAILURE_OTHER_CLUSTER);
    check_peer(INITIATOR); /* so that the message can name it */
}
END_TEST

START_TEST(an_unexpected_peer_is_told)
{
    rig.options[INITIATOR].expected_peer = rig.identities[RESPONDER].id;
    rig_start(&rig);
    ck_assert_int_eq(rig_run(&rig, 3), CHANNEL_OPEN);
    rig.options[INITIATOR].expected_peer.bytes[0] ^= 1;
    run_and_expect(INITIATOR, CHANNEL_FAILURE_WRONG_PEER, CHANNEL_FAILURE_REFUSED);
    ck_assert_int_eq(detail.refusal, CHANNEL_FAILURE_WRONG_PEER);
    check_peer(INITIATOR);
}
END_TEST

START_TEST(reaching_oneself_is_told)
{
    rig.options[RESPONDER].identity = &rig.identities[INITIATOR];
    run_and_expect(INITIATOR, CHANNEL_FAILURE_SELF, CHANNEL_FAILURE_REFUSED);
}
END_TEST

START_TEST(the_responder_may_expect_a_peer_too)
{
    rig.options[RESPONDER].expected_peer = rig.identities[RESPONDER].id;
    rig_start(&rig);
    ck_assert_int_eq(rig_run(&rig, 3), CHANNEL_FAILED);
    ck_assert_int_eq(rig_failure(&rig, RESPONDER), CHANNEL_FAILURE_WRONG_PEER);
}
END_TEST

static const struct {
    uint8_t min, max;
    enum channel_failure want;
} version_cases[] = {
    {2, 9, CHANNEL_FAILURE_VERSION}, {9, 2, CHANNEL_FAILURE_MALFORMED}, {0, 0, CHANNEL_FAILURE_MALFORMED},
    {0, 1, CHANNEL_FAILURE_MALFORMED},
};

START_TEST(versions_that_do_not_meet_are_told)
{
    struct channel_step step;

    rig_start(&rig);
    rig_run(&rig, 0);
    rig.steps[0].out[5] = version_cases[_i].max;
    rig.steps[0].out[8] = version_cases[_i].min;
    ck_assert_int_eq(rig_feed(&rig, RESPONDER, rig.steps[0].out, rig.steps[0].out_size, &step), CHANNEL_FAILED);
    channel_get_failure(rig.channels[RESPONDER], &detail);
    ck_assert_int_eq(detail.failure, version_cases[_i].want);
    if (detail.failure != CHANNEL_FAILURE_VERSION) return;
    ck_assert(detail.peer_version_min == 2 && detail.peer_version_max == 9);
    ck_assert_int_eq(rig_feed(&rig, INITIATOR, step.out, step.out_size, &rig.steps[2]), CHANNEL_FAILED);
    channel_get_failure(rig.channels[INITIATOR], &detail);
    ck_assert_int_eq(detail.failure, CHANNEL_FAILURE_VERSION);
    ck_assert(detail.peer_version_min == 1 && detail.peer_version_max == CHANNEL_VERSION);
}
END_TEST

static const struct {
    const char *bytes;
    enum channel_failure want;
    enum channel_stranger stranger;
} stranger_cases[] = {
    {"HTTP/1.1 400 Bad Request\r\n", CHANNEL_FAILURE_NOT_MESH, CHANNEL_STRANGER_HTTP},
    {"\x15\x03\x01\x01\x02\x02\x16", CHANNEL_FAILURE_NOT_MESH, CHANNEL_STRANGER_TLS},
    {"\x16\x03\x03\x01\x40", CHANNEL_FAILURE_NOT_MESH, CHANNEL_STRANGER_TLS},
    {"SSH-2.0-OpenSSH_9.2\r\n", CHANNEL_FAILURE_NOT_MESH, CHANNEL_STRANGER_SSH},
    {"MESH\x01", CHANNEL_FAILURE_NOT_MESH, CHANNEL_STRANGER_NATIVE},
    {"220 smtp", CHANNEL_FAILURE_NOT_MESH, CHANNEL_STRANGER_UNKNOWN},
    {"M", CHANNEL_FAILURE_TRUNCATED, CHANNEL_STRANGER_UNKNOWN},
    {"\x15\x03", CHANNEL_FAILURE_NOT_MESH, CHANNEL_STRANGER_TLS},
    {"MLNK\x02", CHANNEL_FAILURE_TRUNCATED, CHANNEL_STRANGER_UNKNOWN},
    {"", CHANNEL_FAILURE_SILENT, CHANNEL_STRANGER_UNKNOWN},
};

START_TEST(what_is_no_mesh_is_told)
{
    struct slice bytes = slice_of_string(stranger_cases[_i].bytes);
    struct channel_step step;

    rig_start(&rig);
    rig_run(&rig, 0);
    if (rig_feed(&rig, INITIATOR, bytes.data, bytes.size, &step) == CHANNEL_HANDSHAKING)
        channel_cut(rig.channels[INITIATOR], bytes);
    ck_assert_uint_eq(step.out_size, 0);
    channel_get_failure(rig.channels[INITIATOR], &detail);
    ck_assert_int_eq(detail.failure, stranger_cases[_i].want);
    ck_assert_int_eq(detail.stranger, stranger_cases[_i].stranger);
    channel_cut(rig.channels[INITIATOR], bytes); /* once is enough */
    ck_assert_int_eq(rig_failure(&rig, INITIATOR), stranger_cases[_i].want);
}
END_TEST

START_TEST(an_end_between_messages_is_told)
{
    rig_start(&rig);
    ck_assert_int_eq(rig_run(&rig, 1), CHANNEL_HANDSHAKING);
    channel_cut(rig.channels[RESPONDER], slice_of(NULL, 0));
    ck_assert_int_eq(rig_failure(&rig, RESPONDER), CHANNEL_FAILURE_TRUNCATED);
    channel_cut(rig.channels[INITIATOR], slice_of(NULL, 0));
    ck_assert_int_eq(rig_failure(&rig, INITIATOR), CHANNEL_FAILURE_SILENT);
}
END_TEST

START_TEST(without_a_key_there_is_no_channel)
{
    struct channel *channel = NULL;

    keyring_free(rig.rings[INITIATOR]);
    rig.rings[INITIATOR] = keyring_new();
    rig.options[INITIATOR].keyring = rig.rings[INITIATOR];
    ck_assert_int_eq(channel_new(&rig.options[INITIATOR], &channel), MESH_ENOTFOUND);
    ck_assert_ptr_null(channel);
    for (int i = 0; i < CHANNEL_FAILURE_COUNT; i++)
        ck_assert_uint_gt(strlen(channel_failure_text((enum channel_failure)i)), 5);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("channel");
    TCase *tcase = tcase_create("handshake");

    crypto_init();
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, both_ends_learn_who_the_other_is);
    tcase_add_test(tcase, golden_bytes_stay);
    tcase_add_test(tcase, bytes_may_come_one_by_one_and_frames_may_follow_at_once);
    tcase_add_loop_test(tcase, the_fastest_that_both_have_is_taken, 0, sizeof cipher_cases / sizeof cipher_cases[0]);
    tcase_add_loop_test(tcase, a_broker_without_a_mesh_fits_every_mesh, 0, 2);
    tcase_add_test(tcase, any_key_that_the_responder_holds_will_do);
    tcase_add_test(tcase, a_wrong_key_is_named_to_both);
    tcase_add_test(tcase, a_key_with_the_same_id_proves_nothing);
    tcase_add_test(tcase, another_mesh_is_told);
    tcase_add_test(tcase, an_unexpected_peer_is_told);
    tcase_add_test(tcase, reaching_oneself_is_told);
    tcase_add_test(tcase, the_responder_may_expect_a_peer_too);
    tcase_add_loop_test(tcase, versions_that_do_not_meet_are_told, 0, sizeof version_cases / sizeof version_cases[0]);
    tcase_add_loop_test(tcase, what_is_no_mesh_is_told, 0, sizeof stranger_cases / sizeof stranger_cases[0]);
    tcase_add_test(tcase, an_end_between_messages_is_told);
    tcase_add_test(tcase, without_a_key_there_is_no_channel);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
