/* Cluster keys and their text. */
#include "base/error.h"
#include "base/random.h"
#include "crypto/cluster_key.h"
#include "crypto/crypto.h"
#include "hex.h"
#include "support/run_suite.h"

/* test/golden/crypto/cluster_key.txt has it too, and test_protocol.py derives it. */
static const char golden[] = "mesh1:000g40r40m30e209185gr38e1w8124gk2gahc5rr34d1p70x3rfv1tam";

static struct cluster_key key_of_counting_bytes(void)
{
    struct cluster_key key;
    uint8_t bytes[CLUSTER_KEY_SIZE];

    for (uint8_t i = 0; i < sizeof bytes; i++)
        bytes[i] = i;
    cluster_key_init(&key, bytes);
    return key;
}

static int parse(const char *text, struct cluster_key *ret_key)
{
    static char message[256];
    int err = cluster_key_parse(slice_of_string(text), ret_key, message, sizeof message);

    if (err != 0 && strlen(text) > 12) ck_assert_ptr_null(strstr(message, text + 6)); /* says nothing of the key */
    return err;
}

START_TEST(golden_text_and_id_stay)
{
    struct cluster_key key = key_of_counting_bytes(), parsed;
    char text[CLUSTER_KEY_TEXT_SIZE], id[CLUSTER_KEY_ID_STRING_SIZE];

    ck_assert_str_eq(cluster_key_format(&key, text), golden);
    ck_assert_str_eq(cluster_key_id_format(key.id, id), "368e4aad");
    ck_assert_int_eq(parse(golden, &parsed), 0);
    ck_assert_uint_eq(parsed.id, key.id);
    ck_assert_int_eq(memcmp(parsed.bytes, key.bytes, CLUSTER_KEY_SIZE), 0);
}
END_TEST

START_TEST(random_keys_survive_their_text)
{
    struct random random;
    char text[CLUSTER_KEY_TEXT_SIZE];

    random_init(&random, 7);
    for (int i = 0; i < 2000; i++) {
        struct cluster_key key, parsed;
        uint8_t bytes[CLUSTER_KEY_SIZE];

        for (size_t at = 0; at < sizeof bytes; at++)
            bytes[at] = (uint8_t)random_next(&random);
        cluster_key_init(&key, bytes);
        cluster_key_format(&key, text);
        ck_assert_uint_eq(strlen(text), CLUSTER_KEY_TEXT_SIZE - 1);
        ck_assert_int_eq(parse(text, &parsed), 0);
        ck_assert_int_eq(memcmp(&parsed, &key, sizeof key), 0);
        cluster_key_wipe(&parsed);
        ck_assert(sodium_is_zero((uint8_t *)&parsed, sizeof parsed));
    }
}
END_TEST

START_TEST(a_key_is_understood_as_people_type_it)
{
    struct cluster_key parsed;
    char text[200] = "  \t", upper[CLUSTER_KEY_TEXT_SIZE];

    memcpy(text + 3, golden, sizeof golden - 1);
    memcpy(text + 3 + sizeof golden - 1, " \r\n", 4);
    ck_assert_int_eq(parse(text, &parsed), 0);
    for (size_t i = 0; i < sizeof golden; i++) {
        char c = golden[i];
        upper[i] = (char)(c >= 'a' && c <= 'z' ? c - 32 : c);
        if (i >= 6 && c == '0') upper[i] = i % 2 == 0 ? 'O' : 'o';
        if (i >= 6 && c == '1') upper[i] = i % 2 == 0 ? 'I' : 'l';
    }
    ck_assert_int_eq(parse(upper, &parsed), 0);
    ck_assert_uint_eq(parsed.id, key_of_counting_bytes().id);
}
END_TEST

/* Every character replaced by every other one, and every two neighbours swapped. */
START_TEST(a_mistyped_key_is_told_from_a_wrong_one)
{
    struct cluster_key parsed, untouched;
    char text[sizeof golden];

    memset(&parsed, 0x55, sizeof parsed);
    untouched = parsed;
    for (size_t at = 6; at < sizeof golden - 1; at++) {
        for (int c = '!'; c < 127; c++) {
            int err;
            memcpy(text, golden, sizeof golden);
            if (c == text[at] || c == text[at] - 32) continue;
            if ((text[at] == '0' && (c == 'o' || c == 'O')) || (text[at] == '1' && strchr("iIlL", c) != NULL)) continue;
            text[at] = (char)c;
            err = parse(text, &parsed);
            ck_assert_int_eq(err, strchr("0123456789abcdefghijklmnopqrstvwxyzABCDEFGHIJKLMNOPQRSTVWXYZ", c) != NULL ? MESH_ECORRUPT
                                                                                                             : MESH_EINVAL);
        }
        memcpy(text, golden, sizeof golden);
        if (at + 2 == sizeof golden || text[at] == text[at + 1]) continue;
        text[at] = golden[at + 1];
        text[at + 1] = golden[at];
        ck_assert_int_eq(parse(text, &parsed), MESH_ECORRUPT);
    }
    ck_assert_int_eq(memcmp(&parsed, &untouched, sizeof parsed), 0);
}
END_TEST

START_TEST(what_is_no_key_is_refused)
{
    struct cluster_key parsed;
    char longer[sizeof golden + 1];

    for (size_t size = 0; size < sizeof golden - 1; size++) {
        char message[256];
        ck_assert_int_eq(cluster_key_parse(slice_of(golden, size), &parsed, message, sizeof message), MESH_EINVAL);
    }
    snprintf(longer, sizeof longer, "%s0", golden);
    ck_assert_int_eq(parse(longer, &parsed), MESH_EINVAL);
    ck_assert_int_eq(parse("", &parsed), MESH_EINVAL);
    ck_assert_int_eq(parse("   ", &parsed), MESH_EINVAL);
    ck_assert_int_eq(parse("http://example.org", &parsed), MESH_EINVAL);
    ck_assert_int_eq(parse("mesh2:000000", &parsed), MESH_EVERSION);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cluster key");
    TCase *tcase = tcase_create("text");

    crypto_init();
    tcase_add_test(tcase, golden_text_and_id_stay);
    tcase_add_test(tcase, random_keys_survive_their_text);
    tcase_add_test(tcase, a_key_is_understood_as_people_type_it);
    tcase_add_test(tcase, a_mistyped_key_is_told_from_a_wrong_one);
    tcase_add_test(tcase, what_is_no_key_is_refused);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
