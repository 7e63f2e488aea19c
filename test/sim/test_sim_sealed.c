/* A mesh with lib/crypto below: its key is replaced while packets fly, and nothing is lost to that. */
#include "sim/gossip_keys.h"
#include "sim/gossip_mesh.h"
#include "sim/gossip_sodium.h"
#include "support/run_suite.h"

#include <sodium.h>

#define SIZE 6

static struct gossip_mesh mesh;
static struct gossip_keys *keys;

static void set_up(void)
{
    gossip_mesh_init(&mesh);
    keys = gossip_keys_new();
    gossip_mesh_reset(&mesh, 77, SIZE);
    gossip_keys_reset(keys, mesh.sim);
    mesh.config.keys = keys;
    ck_assert(gossip_mesh_join(&mesh));
}

static void tear_down(void)
{
    gossip_mesh_deinit(&mesh);
    gossip_keys_free(keys);
}

static uint64_t packets_taken(void)
{
    uint64_t count = 0;

    for (uint32_t i = 0; i < SIZE; i++) {
        struct gossip_stats stats;
        gossip_get_stats(gossip_mesh_core(&mesh, i), &stats);
        count += stats.packets_in;
    }
    return count;
}

/* Until so many are over. */
static void rotate(uint64_t rotations)
{
    gossip_keys_rotate(keys, sim_now_us(mesh.sim) + 3600 * SIM_SECOND);
    for (int i = 0; i < 3600 && keys->rotations < rotations && sim_failure(mesh.sim) == NULL; i++) {
        gossip_watch_set_soft(mesh.watch, gossip_mesh_host(&mesh, (uint32_t)i % SIZE), (unsigned)i % WATCH_KEYS);
        gossip_mesh_run(&mesh, SIM_SECOND);
    }
}

START_TEST(rotation_loses_no_packet)
{
    rotate(5);
    ck_assert_msg(sim_failure(mesh.sim) == NULL, "%s: %s", sim_failure(mesh.sim), sim_failure_text(mesh.sim));
    ck_assert_uint_eq(keys->rotations, 5);
    /* Whatever arrived could be opened, in every moment. */
    ck_assert_uint_eq(packets_taken(), sim_get_stats(mesh.sim)->datagrams_delivered);
    ck_assert_uint_eq(gossip_mesh_suspicions(&mesh), 0);
    gossip_mesh_run(&mesh, 5 * SIM_SECOND); /* a rotation may have begun again, and links are made anew */
    ck_assert(gossip_mesh_agrees(&mesh));
    ck_assert(gossip_mesh_soft_agrees(&mesh));
}
END_TEST

/* A broker that is away stops the rotation before anything is used that it cannot open; when it is back, all goes on. */
START_TEST(rotation_waits_for_who_is_away)
{
    sim_host_kill(gossip_mesh_host(&mesh, 4), SIM_STOP_POWER);
    gossip_keys_rotate(keys, sim_now_us(mesh.sim) + 3600 * SIM_SECOND);
    gossip_mesh_run(&mesh, 300 * SIM_SECOND);
    ck_assert_int_eq(keys->phase, GOSSIP_KEYS_INSTALLING);
    sim_host_start(gossip_mesh_host(&mesh, 4));
    gossip_mesh_run(&mesh, 120 * SIM_SECOND);
    ck_assert_uint_ge(keys->rotations, 1);
    ck_assert_msg(sim_failure(mesh.sim) == NULL, "%s: %s", sim_failure(mesh.sim), sim_failure_text(mesh.sim));
}
END_TEST

/* The check sees what it is for: a key that is used before all hold it. */
START_TEST(hasty_rotation_is_noticed)
{
    keys->is_hasty = true;
    rotate(5);
    ck_assert_ptr_nonnull(sim_failure(mesh.sim));
    ck_assert_str_eq(sim_failure(mesh.sim), "a rotation loses no packet");
}
END_TEST

/* One that has lost its disk is another broker, with another key pair; signatures of the real kind say who is who. */
START_TEST(wiped_disk_is_another_broker)
{
    struct uuid before = gossip_mesh_id(&mesh, 2), after;

    sim_host_kill(gossip_mesh_host(&mesh, 2), SIM_STOP_POWER);
    sim_host_wipe_disk(gossip_mesh_host(&mesh, 2));
    sim_host_start(gossip_mesh_host(&mesh, 2));
    gossip_mesh_run(&mesh, 30 * SIM_SECOND);
    after = gossip_mesh_id(&mesh, 2);
    ck_assert(!uuid_equal(&before, &after));
    for (uint32_t i = 0; i < SIZE; i++) {
        ck_assert_int_eq(gossip_mesh_state(&mesh, i, &after), GOSSIP_ALIVE);
        if (i != 2) ck_assert_int_eq(gossip_mesh_state(&mesh, i, &before), GOSSIP_DEAD);
    }
    ck_assert_msg(sim_failure(mesh.sim) == NULL, "%s: %s", sim_failure(mesh.sim), sim_failure_text(mesh.sim));
}
END_TEST

/* ---- what is computed once (gossip_sodium.h) is what libsodium says ---- */

static void fill(uint8_t *to, size_t size, uint8_t with)
{
    for (size_t i = 0; i < size; i++)
        to[i] = (uint8_t)(with + 31 * i);
}

/* A signature that was made here is good, and no other one is: neither with a bit flipped, nor of another message or key. */
START_TEST(remembered_signature_vouches_for_nothing_else)
{
    uint8_t seed[32], public_key[32], secret_key[64], other_key[32], other_secret[64], message[64], signature[64];

    fill(seed, sizeof(seed), 1);
    crypto_sign_seed_keypair(public_key, secret_key, seed);
    fill(seed, sizeof(seed), 2);
    crypto_sign_seed_keypair(other_key, other_secret, seed);
    fill(message, sizeof(message), 3);
    crypto_sign_detached(signature, NULL, message, sizeof(message), secret_key);
    ck_assert_int_eq(crypto_sign_verify_detached(signature, message, sizeof(message), public_key), 0);
    ck_assert_int_ne(crypto_sign_verify_detached(signature, message, sizeof(message), other_key), 0);
    ck_assert_int_ne(crypto_sign_verify_detached(signature, message, sizeof(message) - 1, public_key), 0);
    for (size_t bit = 0; bit < 8 * sizeof(signature); bit += 37) {
        signature[bit / 8] ^= (uint8_t)(1u << bit % 8);
        ck_assert_int_ne(crypto_sign_verify_detached(signature, message, sizeof(message), public_key), 0);
        signature[bit / 8] ^= (uint8_t)(1u << bit % 8);
        message[bit / 8] ^= (uint8_t)(1u << bit % 8);
        ck_assert_int_ne(crypto_sign_verify_detached(signature, message, sizeof(message), public_key), 0);
        message[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    gossip_sodium_forget();
    ck_assert_int_eq(crypto_sign_verify_detached(signature, message, sizeof(message), public_key), 0); /* by libsodium, */
    ck_assert_int_eq(crypto_sign_verify_detached(signature, message, sizeof(message), public_key), 0); /* and by memory */
}
END_TEST

START_TEST(agreement_is_the_same_from_both_sides)
{
    uint8_t a[32], b[32], a_public[32], b_public[32], shared[32], remembered[32], computed[32];
    static const uint8_t small_order[32];

    fill(a, sizeof(a), 5);
    fill(b, sizeof(b), 77);
    crypto_scalarmult_base(a_public, a);
    crypto_scalarmult_base(b_public, b);
    ck_assert_int_eq(crypto_scalarmult(shared, a, b_public), 0);
    ck_assert_int_eq(crypto_scalarmult(remembered, b, a_public), 0);
    ck_assert_mem_eq(shared, remembered, sizeof(shared));
    gossip_sodium_forget();
    ck_assert_int_eq(crypto_scalarmult(computed, b, a_public), 0);
    ck_assert_mem_eq(computed, remembered, sizeof(computed));
    ck_assert_int_ne(crypto_scalarmult(computed, a, small_order), 0);
    ck_assert_int_ne(crypto_scalarmult(computed, a, small_order), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sim_sealed");
    TCase *tcase = tcase_create("rotation");

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_set_timeout(tcase, 100);
    tcase_add_test(tcase, rotation_loses_no_packet);
    tcase_add_test(tcase, rotation_waits_for_who_is_away);
    tcase_add_test(tcase, hasty_rotation_is_noticed);
    tcase_add_test(tcase, wiped_disk_is_another_broker);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("sodium");
    tcase_add_test(tcase, remembered_signature_vouches_for_nothing_else);
    tcase_add_test(tcase, agreement_is_the_same_from_both_sides);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
