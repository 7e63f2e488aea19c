/* libsodium, and who does AES-GCM, used as this folder uses them, against published vectors and each other. */
#include "crypto/crypto.h"
#include "crypto/gcm.h"
#include "hex.h"
#include "support/run_suite.h"

/* RFC 7748, section 6.1. */
START_TEST(x25519_agrees_with_rfc_7748)
{
    uint8_t alice[32], bob[32], alice_public[32], bob_public[32], shared[32];

    hex_bytes("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a", alice, 32);
    hex_bytes("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb", bob, 32);
    crypto_scalarmult_base(alice_public, alice);
    crypto_scalarmult_base(bob_public, bob);
    assert_hex(alice_public, 32, "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
    assert_hex(bob_public, 32, "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
    ck_assert_int_eq(crypto_scalarmult(shared, alice, bob_public), 0);
    assert_hex(shared, 32, "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
    memset(bob_public, 0, 32); /* of small order: the result would be zero whatever Alice's secret is */
    ck_assert_int_ne(crypto_scalarmult(shared, alice, bob_public), 0);
}
END_TEST

/* RFC 8032, section 7.1, tests 1 and 2. */
static const struct {
    const char *seed, *public_key, *message, *signature;
} ed25519_cases[] = {
    {"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
     "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
     "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe2465514143"
     "8e7a100b"},
    {"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
     "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
     "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d2916"
     "12bb0c00"},
};

START_TEST(ed25519_agrees_with_rfc_8032)
{
    uint8_t seed[32], public_key[32], secret_key[64], message[8], signature[64];
    size_t size = hex_bytes(ed25519_cases[_i].message, message, sizeof message);

    hex_bytes(ed25519_cases[_i].seed, seed, 32);
    crypto_sign_seed_keypair(public_key, secret_key, seed);
    assert_hex(public_key, 32, ed25519_cases[_i].public_key);
    crypto_sign_detached(signature, NULL, message, size, secret_key);
    assert_hex(signature, 64, ed25519_cases[_i].signature);
    ck_assert_int_eq(crypto_sign_verify_detached(signature, message, size, public_key), 0);
}
END_TEST

/* draft-irtf-cfrg-xchacha-03, appendix A.3.1; here in place, as we do it. */
START_TEST(xchacha20_poly1305_agrees_with_the_draft)
{
    static const char text[] = "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, "
                               "sunscreen would be it.";
    uint8_t key[32], nonce[24], additional[12], bytes[sizeof text - 1 + 16];

    hex_bytes("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f", key, 32);
    hex_bytes("404142434445464748494a4b4c4d4e4f5051525354555657", nonce, 24);
    hex_bytes("50515253c0c1c2c3c4c5c6c7", additional, 12);
    memcpy(bytes, text, sizeof text - 1);
    crypto_aead_xchacha20poly1305_ietf_encrypt(bytes, NULL, bytes, sizeof text - 1, additional, 12, NULL, nonce, key);
    assert_hex(bytes, sizeof bytes,
               "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb731c7f1b0b4aa6440bf3a82f4eda7e39ae64c6708c54c216"
               "cb96b72e1213b4522f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff921f9664c97637da9768812f615c68b13"
               "b52ec0875924c1c7987947deafd8780acf49");
    ck_assert_int_eq(crypto_aead_xchacha20poly1305_ietf_decrypt(bytes, NULL, NULL, bytes, sizeof bytes, additional, 12, nonce,
                                                                key),
                     0);
    ck_assert_int_eq(memcmp(bytes, text, sizeof text - 1), 0);
}
END_TEST

/* McGrew and Viega, "The Galois/Counter Mode of Operation", test cases 4 and 16. */
static const struct {
    const char *key;
    size_t key_size;
    const char *sealed;
} gcm_cases[] = {
    {"feffe9928665731c6d6a8f9467308308", 16,
     "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091"
     "5bc94fbc3221a5db94fae95ae7121a47"},
    {"feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308", 32,
     "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
     "76fc6ece0f4e1768cddf8853bb2d551b"},
};

/* Loop tests: who does the work, twice, and with keys of either size. */
static void gcm_pair(int which, struct gcm **ret_seal, struct gcm **ret_open)
{
    int (*make)(bool seals, struct gcm **ret_gcm) = which % 2 == 0 ? gcm_new : gcm_new_openssl;

    ck_assert_int_eq(make(true, ret_seal), 0);
    ck_assert_int_eq(make(false, ret_open), 0);
}

START_TEST(aes_gcm_agrees_with_its_authors)
{
    const char *key_text = gcm_cases[_i / 2].key, *sealed = gcm_cases[_i / 2].sealed;
    size_t key_size = gcm_cases[_i / 2].key_size;
    uint8_t key[32], nonce[12], additional[20], bytes[60 + 16];
    struct gcm *seal, *open;

    gcm_pair(_i, &seal, &open);
    hex_bytes(key_text, key, key_size);
    hex_bytes("cafebabefacedbaddecaf888", nonce, 12);
    hex_bytes("feedfacedeadbeeffeedfacedeadbeefabaddad2", additional, 20);
    hex_bytes("d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b"
              "39",
              bytes, 60);
    gcm_set_key(seal, slice_of(key, key_size));
    gcm_set_key(open, slice_of(key, key_size));
    gcm_seal(seal, nonce, slice_of(additional, 20), &(struct slice){bytes, 60}, 1, bytes);
    assert_hex(bytes, sizeof bytes, sealed);
    ck_assert(gcm_open(open, nonce, slice_of(additional, 20), bytes, 60));
    ck_assert_uint_eq(bytes[59], 0x39);
    gcm_seal(seal, nonce, slice_of(additional, 20), (struct slice[]){{bytes, 1}, {NULL, 0}, {bytes + 1, 40}, {bytes + 41, 19}}, 4, bytes);
    ck_assert(gcm_open(open, nonce, slice_of(additional, 20), bytes, 60)); /* where the pieces end does not matter */
    gcm_seal(seal, nonce, slice_of(additional, 20), &(struct slice){bytes, 60}, 1, bytes);
    bytes[75] ^= 1;
    ck_assert(!gcm_open(open, nonce, slice_of(additional, 20), bytes, 60));
    for (int i = 0; i < 60; i++)
        ck_assert_uint_eq(bytes[i], 0); /* what is not authentic is not left lying around */
    gcm_free(seal);
    gcm_free(open);
}
END_TEST

#define GCM_TEXT_MAX 2100 /* more than 128 blocks: whoever takes many at a time has a whole turn and all kinds of ends */

/* Two implementations make the same bytes of texts of every length, cut anywhere; and each opens what the other sealed. Where the machine has one, they are one. */
START_TEST(aes_gcm_is_the_same_whoever_does_it)
{
    static uint8_t text[GCM_TEXT_MAX], sealed[2][GCM_TEXT_MAX + 16];
    static const uint8_t key[32] = {7, 1, 2, 3, 9};
    struct gcm *seal[2], *open[2];
    uint8_t nonce[12] = {0xff, 0xff}, header[8] = {4};

    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (uint8_t)(i * 31 + i / 256);
    for (int who = 0; who < 2; who++) {
        gcm_pair(who, &seal[who], &open[who]);
        gcm_set_key(seal[who], slice_of(key, gcm_cases[_i].key_size));
        gcm_set_key(open[who], slice_of(key, gcm_cases[_i].key_size));
    }
    for (size_t size = 0; size <= sizeof text; size += size < 600 ? 1 : 37) {
        size_t cut = size * 5 / 7, second = cut / 3;
        const struct slice pieces[] = {{text, second}, {text + second, cut - second}, {text + cut, size - cut}};

        nonce[11] = header[7] = (uint8_t)size;
        gcm_seal(seal[0], nonce, slice_of(header, 8), pieces, 3, sealed[0]);
        gcm_seal(seal[1], nonce, slice_of(header, 8), &(struct slice){text, size}, 1, sealed[1]);
        ck_assert_msg(memcmp(sealed[0], sealed[1], size + 16) == 0, "%zu bytes", size);
        ck_assert(gcm_open(open[0], nonce, slice_of(header, 8), sealed[1], size));
        ck_assert_int_eq(memcmp(sealed[1], text, size), 0);
        sealed[0][size * 3 / 4] ^= 0x40; /* of the text, or of the tag alone */
        ck_assert(!gcm_open(open[0], nonce, slice_of(header, 8), sealed[0], size));
    }
    for (int who = 0; who < 2; who++) {
        gcm_free(seal[who]);
        gcm_free(open[who]);
    }
}
END_TEST

/* RFC 7693, appendix A. */
START_TEST(blake2b_agrees_with_rfc_7693)
{
    uint8_t hash[64];

    crypto_generichash_blake2b_salt_personal(hash, sizeof hash, (const uint8_t *)"abc", 3, NULL, 0, NULL, NULL);
    assert_hex(hash, sizeof hash,
               "ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d17d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab923"
               "86edd4009923");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("crypto vectors");
    TCase *tcase = tcase_create("vectors");

    crypto_init();
    crypto_init(); /* any number of times */
    tcase_add_test(tcase, x25519_agrees_with_rfc_7748);
    tcase_add_loop_test(tcase, ed25519_agrees_with_rfc_8032, 0, 2);
    tcase_add_test(tcase, xchacha20_poly1305_agrees_with_the_draft);
    tcase_add_loop_test(tcase, aes_gcm_agrees_with_its_authors, 0, 4);
    tcase_add_loop_test(tcase, aes_gcm_is_the_same_whoever_does_it, 0, 2);
    tcase_add_test(tcase, blake2b_agrees_with_rfc_7693);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
