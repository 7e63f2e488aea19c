/* Sealed packets: what arrives whole, what is refused and why, and what an attacker cannot change. */
#include "base/error.h"
#include "base/random.h"
#include "crypto/crypto.h"
#include "crypto/replay_window.h"
#include "crypto/sealed_packet.h"
#include "hex.h"
#include "support/failing_alloc.h"
#include "support/run_suite.h"

#include <stdlib.h>

#define SIZE_MAX_HERE 2048

/* libsodium's own memory may be refused as well. */
void *__real_sodium_malloc(size_t size);
void *__real_sodium_allocarray(size_t count, size_t size);
void *__wrap_sodium_malloc(size_t size);
void *__wrap_sodium_allocarray(size_t count, size_t size);

void *__wrap_sodium_malloc(size_t size)
{
    return failing_alloc_refuse() ? NULL : __real_sodium_malloc(size);
}

void *__wrap_sodium_allocarray(size_t count, size_t size)
{
    return failing_alloc_refuse() ? NULL : __real_sodium_allocarray(count, size);
}

static struct keyring *ring, *ring_two;
static struct cluster_key keys[3];
static struct packet_sealer *alice, *bob;
static uint8_t packet[SIZE_MAX_HERE];
static size_t packet_size;
static struct opened_packet opened;

static struct packet_sealer *sealer_of(const struct keyring *keyring, uint8_t id, uint32_t boot, size_t senders_max)
{
    struct packet_sealer_options options = {
        .keyring = keyring, .sender = {{id}}, .cluster_id = {{99}}, .boot = boot, .first_counter = 5000, .senders_max = senders_max};
    struct packet_sealer *sealer = NULL;

    ck_assert_int_eq(packet_sealer_new(&options, &sealer), 0);
    return sealer;
}

static void set_up(void)
{
    for (uint8_t i = 0; i < 3; i++) {
        uint8_t bytes[CLUSTER_KEY_SIZE] = {i};
        cluster_key_init(&keys[i], bytes);
    }
    ring = keyring_new();
    ring_two = keyring_new();
    ck_assert_int_eq(keyring_install(ring, &keys[0]), 0);
    ck_assert_int_eq(keyring_install(ring_two, &keys[0]), 0);
    alice = sealer_of(ring, 1, 7, 4);
    bob = sealer_of(ring_two, 2, 1, 4);
}

static void tear_down(void)
{
    packet_sealer_free(alice);
    packet_sealer_free(bob);
    packet_sealer_free(NULL);
    keyring_free(ring);
    keyring_free(ring_two);
}

static void seal_by(struct packet_sealer *sealer, const char *text)
{
    packet_size = strlen(text) + SEALED_PACKET_OVERHEAD;
    memcpy(packet + SEALED_PACKET_HEADER_SIZE, text, strlen(text));
    ck_assert_int_eq(packet_sealer_seal(sealer, packet, strlen(text)), 0);
}

/* Opens a copy, so that the packet can be sent again. */
static enum packet_result open_by(struct packet_sealer *sealer)
{
    static uint8_t copy[SIZE_MAX_HERE];
    uint8_t *exact = malloc(packet_size == 0 ? 1 : packet_size); /* for the sanitizers */
    enum packet_result result;

    memcpy(exact, packet, packet_size);
    result = packet_sealer_open(sealer, exact, packet_size, &opened);
    if (result == PACKET_OK) {
        memcpy(copy, exact, packet_size);
        opened.text.data = copy + (opened.text.data - exact);
    }
    free(exact);
    return result;
}

static void assert_text(const char *text)
{
    ck_assert(slice_equal(opened.text, slice_of_string(text)));
}

START_TEST(golden_bytes_stay)
{
    seal_by(alice, "ping");
    assert_golden(packet, packet_size, "packet");
}
END_TEST

START_TEST(packets_arrive_whole_and_name_their_sender)
{
    uint8_t large[1232];

    ck_assert_uint_le(SEALED_PACKET_OVERHEAD, 58);
    seal_by(alice, "ping");
    ck_assert_int_eq(open_by(bob), PACKET_OK);
    assert_text("ping");
    ck_assert_uint_eq(opened.sender.bytes[0], 1);
    ck_assert_uint_eq(opened.boot, 7);
    ck_assert_uint_eq(opened.key_id, keys[0].id);
    seal_by(bob, "");
    ck_assert_int_eq(open_by(alice), PACKET_OK);
    ck_assert_uint_eq(opened.text.size, 0);
    memset(large, 'x', sizeof large);
    ck_assert_int_eq(packet_sealer_seal(alice, large, sizeof large - SEALED_PACKET_OVERHEAD), 0);
    ck_assert_int_eq(packet_sealer_open(bob, large, sizeof large, &opened), PACKET_OK);
    ck_assert_uint_eq(opened.text.data[opened.text.size - 1], 'x');
    ck_assert_int_eq(packet_sealer_seal(alice, packet, SEALED_PACKET_SIZE_MAX), MESH_ETOOLARGE);
}
END_TEST

START_TEST(a_packet_is_taken_once)
{
    seal_by(alice, "a");
    ck_assert_int_eq(open_by(bob), PACKET_OK);
    ck_assert_int_eq(open_by(bob), PACKET_REPLAYED);
    seal_by(alice, "b");
    ck_assert_int_eq(open_by(bob), PACKET_OK);
    ck_assert_int_eq(open_by(bob), PACKET_REPLAYED);
}
END_TEST

/* Each bit changed, before and after the sender is known: nothing is taken, and the sender stays unharmed. */
START_TEST(a_changed_bit_is_refused)
{
    bool is_known = _i == 1;

    if (is_known) {
        seal_by(alice, "first");
        ck_assert_int_eq(open_by(bob), PACKET_OK);
    }
    seal_by(alice, "ping of some length");
    for (size_t bit = 0; bit < 8 * packet_size; bit++) {
        enum packet_result result, want = PACKET_FORGED;

        packet[bit / 8] ^= (uint8_t)(1 << bit % 8);
        result = open_by(bob);
        packet[bit / 8] ^= (uint8_t)(1 << bit % 8);
        if (bit / 8 < 2)
            want = PACKET_NOT_OURS;
        else if (bit / 8 == 2)
            want = PACKET_VERSION;
        else if (bit / 8 >= 4 && bit / 8 < 8)
            want = PACKET_OTHER_CLUSTER;
        else if (bit / 8 >= 8 && bit / 8 < 12)
            want = PACKET_UNKNOWN_KEY;
        else if (is_known && bit / 8 >= 28 && bit / 8 < 32 && bit < 28 * 8 + 3)
            want = PACKET_OLD_BOOT; /* boot 7 with a low bit cleared */
        else if (is_known && result == PACKET_REPLAYED && bit / 8 >= 32 && bit / 8 < 40)
            want = PACKET_REPLAYED; /* a lower counter */
        ck_assert_msg(result == want, "bit %zu: %d, not %d", bit, result, want);
        ck_assert_uint_eq(packet_sealer_sender_count(bob), is_known);
    }
    ck_assert_int_eq(open_by(bob), PACKET_OK);
    assert_text("ping of some length");
}
END_TEST

START_TEST(a_truncated_packet_is_refused)
{
    size_t whole;

    seal_by(alice, "ping");
    for (whole = packet_size, packet_size = 0; packet_size < whole; packet_size++)
        ck_assert_int_eq(open_by(bob), packet_size < SEALED_PACKET_OVERHEAD ? PACKET_NOT_OURS : PACKET_FORGED);
    packet[packet_size++] = 0;
    ck_assert_int_eq(open_by(bob), PACKET_FORGED);
    packet_size--;
    ck_assert_int_eq(open_by(bob), PACKET_OK);
}
END_TEST

START_TEST(another_mesh_and_a_wrong_cluster_under_its_tag_are_told_apart)
{
    struct uuid other = {{98}};
    uint8_t tag[4];

    seal_by(alice, "ours");
    memcpy(tag, packet + 4, sizeof tag);
    packet_sealer_set_cluster(alice, &other);
    seal_by(alice, "theirs");
    ck_assert_int_eq(open_by(bob), PACKET_OTHER_CLUSTER);
    memcpy(packet + 4, tag, sizeof tag);
    ck_assert_int_eq(open_by(bob), PACKET_FORGED);
    packet_sealer_set_cluster(bob, &other); /* both are in the other mesh now */
    seal_by(alice, "both");
    ck_assert_int_eq(open_by(bob), PACKET_OK);
}
END_TEST

START_TEST(our_own_packets_are_known_as_reflected)
{
    seal_by(alice, "echo");
    ck_assert_int_eq(open_by(alice), PACKET_REFLECTED);
}
END_TEST

START_TEST(a_restart_is_followed_and_the_past_refused)
{
    struct packet_sealer *again = sealer_of(ring, 1, 8, 4);
    uint8_t old[64];

    seal_by(alice, "old");
    ck_assert_int_eq(open_by(bob), PACKET_OK);
    seal_by(alice, "late");
    memcpy(old, packet, packet_size);
    seal_by(again, "new"); /* same counters, another boot */
    ck_assert_int_eq(open_by(bob), PACKET_OK);
    ck_assert_uint_eq(opened.boot, 8);
    ck_assert_int_eq(open_by(bob), PACKET_REPLAYED);
    packet_size = 4 + SEALED_PACKET_OVERHEAD;
    memcpy(packet, old, packet_size);
    ck_assert_int_eq(open_by(bob), PACKET_OLD_BOOT);
    packet_sealer_free(again);
}
END_TEST

/* Who holds no key cannot push a living sender's boot forward. */
START_TEST(a_forged_restart_changes_nothing)
{
    seal_by(alice, "one");
    ck_assert_int_eq(open_by(bob), PACKET_OK);
    seal_by(alice, "two");
    packet[28 + 3] ^= 0x80; /* a much higher boot */
    ck_assert_int_eq(open_by(bob), PACKET_FORGED);
    packet[28 + 3] ^= 0x80;
    ck_assert_int_eq(open_by(bob), PACKET_OK);
}
END_TEST

START_TEST(garbage_displaces_no_sender)
{
    struct random random;

    random_init(&random, 1);
    seal_by(alice, "one");
    ck_assert_int_eq(open_by(bob), PACKET_OK);
    for (int i = 0; i < 1000; i++) {
        seal_by(alice, "fake");
        for (int at = 12; at < 28; at++)
            packet[at] = (uint8_t)random_next(&random);
        ck_assert_int_eq(open_by(bob), PACKET_FORGED);
    }
    ck_assert_uint_eq(packet_sealer_sender_count(bob), 1);
    seal_by(alice, "two");
    ck_assert_int_eq(open_by(bob), PACKET_OK);
}
END_TEST

START_TEST(the_least_recently_heard_gives_way)
{
    struct packet_sealer *senders[60], *listener = sealer_of(ring, 200, 1, 40);

    for (uint8_t i = 0; i < 60; i++)
        senders[i] = sealer_of(ring, (uint8_t)(i + 10), 1, 1);
    for (int round = 0; round < 3; round++) { /* forty fit; the first is heard all the time */
        for (int i = 0; i < 60; i++) {
            seal_by(senders[0], "first");
            ck_assert_int_eq(open_by(listener), PACKET_OK);
            ck_assert_int_eq(open_by(listener), PACKET_REPLAYED); /* so it is known still */
            seal_by(senders[i], "other");
            ck_assert_int_eq(open_by(listener), PACKET_OK);
            ck_assert_uint_le(packet_sealer_sender_count(listener), 40);
        }
        ck_assert_uint_eq(packet_sealer_sender_count(listener), 40);
    }
    for (int i = 0; i < 60; i++)
        packet_sealer_free(senders[i]);
    packet_sealer_free(listener);
}
END_TEST

/* The whole story of a rotation: not one packet is refused on the way. */
START_TEST(a_rotation_loses_no_packet)
{
    struct packet_sealer *sealers[2] = {alice, bob};
    struct keyring *rings[2] = {ring, ring_two};
    int step = 0;

    for (int phase = 0; phase < 3; phase++) {
        for (int who = 0; who < 2; who++, step++) {
            if (phase == 0) ck_assert_int_eq(keyring_install(rings[who], &keys[1]), 0);
            if (phase == 1) ck_assert_int_eq(keyring_use(rings[who], keys[1].id), 0);
            if (phase == 2) ck_assert_int_eq(keyring_remove(rings[who], keys[0].id), 0);
            for (int from = 0; from < 2; from++) {
                seal_by(sealers[from], "through");
                ck_assert_msg(open_by(sealers[1 - from]) == PACKET_OK, "step %d", step);
            }
        }
    }
    ck_assert_uint_eq(opened.key_id, keys[1].id);
}
END_TEST

START_TEST(a_removed_key_opens_nothing_any_more)
{
    seal_by(alice, "one");
    ck_assert_int_eq(open_by(bob), PACKET_OK);
    keyring_install(ring_two, &keys[1]);
    keyring_use(ring_two, keys[1].id);
    keyring_remove(ring_two, keys[0].id);
    seal_by(alice, "two");
    ck_assert_int_eq(open_by(bob), PACKET_UNKNOWN_KEY);
}
END_TEST

START_TEST(without_a_key_nothing_is_sealed)
{
    struct keyring *empty = keyring_new();
    struct packet_sealer *sealer = sealer_of(empty, 5, 1, 1);

    ck_assert_int_eq(packet_sealer_seal(sealer, packet, 4), MESH_ENOTFOUND);
    ck_assert_int_eq(keyring_install(empty, &keys[0]), 0);
    ck_assert_int_eq(packet_sealer_seal(sealer, packet, 4), 0);
    packet_sealer_free(sealer);
    keyring_free(empty);
}
END_TEST

START_TEST(counters_of_two_starts_do_not_meet)
{
    uint64_t first = packet_first_counter(1700000000000, UINT32_MAX), second = packet_first_counter(1700000000001, 0);

    ck_assert_uint_lt(first, second);
    ck_assert_uint_gt(packet_first_counter(17000000000000, 0), second); /* no overflow for centuries */
}
END_TEST

START_TEST(a_lack_of_memory_is_said)
{
    struct packet_sealer_options options = {.keyring = ring, .sender = {{9}}, .cluster_id = {{99}}, .senders_max = 1};
    struct packet_sealer *sealer = NULL;
    enum packet_result result;
    int err;

    failing_alloc_each(n) {
        failing_alloc_arm(n);
        err = packet_sealer_new(&options, &sealer);
        if (!failing_alloc_disarm()) break;
        ck_assert_int_eq(err, MESH_ENOMEM);
    }
    ck_assert_int_eq(err, 0);
    failing_alloc_each(n) {
        seal_by(alice, "one");
        failing_alloc_arm(n);
        result = packet_sealer_open(sealer, packet, packet_size, &opened);
        if (!failing_alloc_disarm()) break;
        ck_assert_int_eq(result, PACKET_NO_MEMORY);
        ck_assert_uint_eq(packet_sealer_sender_count(sealer), 0);
    }
    ck_assert_int_eq(result, PACKET_OK);
    packet_sealer_free(sealer);
}
END_TEST

START_TEST(results_have_texts)
{
    for (int i = 0; i < PACKET_RESULT_COUNT; i++)
        ck_assert_uint_gt(strlen(packet_result_text((enum packet_result)i)), 5);
}
END_TEST

/* ---- the window alone, against a memory of everything ---- */

#define COUNTERS 20000

START_TEST(the_window_remembers_like_an_unlimited_memory)
{
    static bool seen[COUNTERS];
    struct replay_window window = {0};
    struct random random;
    uint64_t highest = 0;

    random_init(&random, 5);
    for (int i = 0; i < 60000; i++) {
        uint64_t back = random_below(&random, random_below(&random, 8) == 0 ? 3000 : 70);
        uint64_t counter = random_below(&random, 3) == 0 ? highest + random_below(&random, _i == 0 ? 3 : 1500)
                                                         : highest - (back < highest ? back : highest);
        bool was_seen, want;

        if (counter >= COUNTERS) break;
        was_seen = replay_window_was_seen(&window, counter);
        want = highest >= REPLAY_WINDOW_SIZE && counter <= highest - REPLAY_WINDOW_SIZE ? true : seen[counter];
        ck_assert_int_eq(was_seen, want);
        if (was_seen) continue;
        replay_window_mark(&window, counter);
        seen[counter] = true;
        if (counter > highest) highest = counter;
    }
    ck_assert_uint_gt(highest, 5000);
}
END_TEST

START_TEST(the_window_bears_the_largest_counters)
{
    struct replay_window window = {0};

    replay_window_mark(&window, 3);
    replay_window_mark(&window, UINT64_MAX);
    ck_assert(replay_window_was_seen(&window, UINT64_MAX));
    ck_assert(!replay_window_was_seen(&window, UINT64_MAX - 1));
    ck_assert(!replay_window_was_seen(&window, UINT64_MAX - REPLAY_WINDOW_SIZE + 1));
    ck_assert(replay_window_was_seen(&window, UINT64_MAX - REPLAY_WINDOW_SIZE));
    ck_assert(replay_window_was_seen(&window, 4));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sealed packet");
    TCase *tcase = tcase_create("packet"), *window = tcase_create("window");

    crypto_init();
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, golden_bytes_stay);
    tcase_add_test(tcase, packets_arrive_whole_and_name_their_sender);
    tcase_add_test(tcase, a_packet_is_taken_once);
    tcase_add_loop_test(tcase, a_changed_bit_is_refused, 0, 2);
    tcase_add_test(tcase, a_truncated_packet_is_refused);
    tcase_add_test(tcase, another_mesh_and_a_wrong_cluster_under_its_tag_are_told_apart);
    tcase_add_test(tcase, our_own_packets_are_known_as_reflected);
    tcase_add_test(tcase, a_restart_is_followed_and_the_past_refused);
    tcase_add_test(tcase, a_forged_restart_changes_nothing);
    tcase_add_test(tcase, garbage_displaces_no_sender);
    tcase_add_test(tcase, the_least_recently_heard_gives_way);
    tcase_add_test(tcase, a_rotation_loses_no_packet);
    tcase_add_test(tcase, a_removed_key_opens_nothing_any_more);
    tcase_add_test(tcase, without_a_key_nothing_is_sealed);
    tcase_add_test(tcase, counters_of_two_starts_do_not_meet);
    tcase_add_test(tcase, a_lack_of_memory_is_said);
    tcase_add_test(tcase, results_have_texts);
    suite_add_tcase(suite, tcase);
    tcase_add_loop_test(window, the_window_remembers_like_an_unlimited_memory, 0, 2);
    tcase_add_test(window, the_window_bears_the_largest_counters);
    suite_add_tcase(suite, window);
    return run_suite(suite);
}
