/* Identities: ids that follow from keys, signatures that are good for one use. */
#include "crypto/crypto.h"
#include "crypto/identity_key.h"
#include "hex.h"
#include "support/run_suite.h"

/* The seed of RFC 8032's test 1. */
#define SEED "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"

static struct identity_key key;

static void set_up(void)
{
    uint8_t seed[IDENTITY_SEED_SIZE];

    hex_bytes(SEED, seed, sizeof seed);
    identity_key_init(&key, seed);
}

START_TEST(golden_id_and_signature_stay)
{
    uint8_t signature[IDENTITY_SIGNATURE_SIZE];
    char id[UUID_STRING_SIZE];

    assert_hex(key.public_key, 32, "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
    ck_assert_int_eq(memcmp(key.secret_key + 32, key.public_key, 32), 0);
    ck_assert_str_eq(uuid_format(&key.id, id), "ee72a578-0456-80e8-8d09-78e75c7f8888");
    ck_assert_int_eq(id[14], '8');                       /* the version */
    ck_assert_ptr_nonnull(strchr("89ab", id[19]));       /* the variant */
    identity_sign(&key, IDENTITY_GOSSIP, slice_of_string("alive"), signature); /* Ed25519 is deterministic */
    assert_golden(signature, sizeof signature, "signature");
}
END_TEST

START_TEST(a_signature_is_good_for_its_message_use_key_and_id_only)
{
    struct slice message = slice_of_string("alive");
    uint8_t signature[IDENTITY_SIGNATURE_SIZE], other_seed[32] = {1};
    struct identity_key other;

    identity_key_init(&other, other_seed);
    identity_sign(&key, IDENTITY_GOSSIP, message, signature);
    ck_assert(identity_verify(&key.id, key.public_key, IDENTITY_GOSSIP, message, signature));
    ck_assert(identity_gossip_verify(NULL, &key.id, key.public_key, message, signature));
    ck_assert(!identity_verify(&key.id, key.public_key, IDENTITY_LINK_INITIATOR, message, signature));
    ck_assert(!identity_verify(&key.id, key.public_key, IDENTITY_LINK_RESPONDER, message, signature));
    ck_assert(!identity_verify(&key.id, key.public_key, IDENTITY_GOSSIP, slice_of_string("Alive"), signature));
    ck_assert(!identity_verify(&other.id, other.public_key, IDENTITY_GOSSIP, message, signature));
    ck_assert(!identity_verify(&other.id, key.public_key, IDENTITY_GOSSIP, message, signature));
    ck_assert(!identity_verify(&key.id, other.public_key, IDENTITY_GOSSIP, message, signature));
    for (size_t bit = 0; bit < 8 * sizeof signature; bit++) {
        signature[bit / 8] ^= (uint8_t)(1 << bit % 8);
        ck_assert(!identity_verify(&key.id, key.public_key, IDENTITY_GOSSIP, message, signature));
        signature[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    identity_gossip_sign(&other, message, signature);
    ck_assert(identity_verify(&other.id, other.public_key, IDENTITY_GOSSIP, message, signature));
    identity_key_wipe(&other);
    ck_assert(sodium_is_zero((uint8_t *)&other, sizeof other));
}
END_TEST

/* With a key of small order, one signature would fit many messages. */
START_TEST(a_public_key_of_small_order_verifies_nothing)
{
    uint8_t public_key[32] = {1}, signature[64] = {1};
    struct uuid id = identity_uuid(public_key);

    for (int i = 0; i < 32; i++) {
        uint8_t byte = (uint8_t)i;
        ck_assert(!identity_verify(&id, public_key, IDENTITY_GOSSIP, slice_of(&byte, 1), signature));
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("identity key");
    TCase *tcase = tcase_create("identity");

    crypto_init();
    tcase_add_checked_fixture(tcase, set_up, NULL);
    tcase_add_test(tcase, golden_id_and_signature_stay);
    tcase_add_test(tcase, a_signature_is_good_for_its_message_use_key_and_id_only);
    tcase_add_test(tcase, a_public_key_of_small_order_verifies_nothing);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
