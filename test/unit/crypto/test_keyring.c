/* The ring, its rotation and its text. */
#include "base/error.h"
#include "crypto/crypto.h"
#include "crypto/keyring.h"
#include "hex.h"
#include "support/run_suite.h"

#include <stdio.h>

static struct keyring *ring;
static struct cluster_key keys[6];
static char message[256];

static void set_up(void)
{
    ring = keyring_new();
    for (uint8_t i = 0; i < 6; i++) {
        uint8_t bytes[CLUSTER_KEY_SIZE] = {i};
        cluster_key_init(&keys[i], bytes);
    }
}

static void tear_down(void)
{
    keyring_free(ring);
    keyring_free(NULL);
}

static enum key_state state_of(uint32_t id)
{
    enum key_state state;

    for (size_t i = 0; i < keyring_count(ring); i++)
        if (keyring_at(ring, i, &state)->id == id) return state;
    ck_abort_msg("no such key");
    return KEY_INSTALLED;
}

static int parse(const char *text)
{
    return keyring_parse(ring, slice_of_string(text), message, sizeof message);
}

START_TEST(install_use_remove_is_a_rotation)
{
    uint32_t generation = keyring_generation(ring);

    ck_assert_ptr_null(keyring_in_use(ring));
    ck_assert_int_eq(keyring_use(ring, keys[0].id), MESH_ENOTFOUND);
    ck_assert_int_eq(keyring_install(ring, &keys[0]), 0);
    ck_assert_uint_ne(keyring_generation(ring), generation);
    ck_assert_uint_eq(keyring_in_use(ring)->id, keys[0].id);
    ck_assert_int_eq(keyring_install(ring, &keys[0]), MESH_EEXISTS);
    ck_assert_int_eq(keyring_install(ring, &keys[1]), 0);
    ck_assert_int_eq(state_of(keys[1].id), KEY_INSTALLED);
    ck_assert_int_eq(keyring_remove(ring, keys[0].id), MESH_EBUSY);
    generation = keyring_generation(ring);
    ck_assert_int_eq(keyring_use(ring, keys[0].id), 0);
    ck_assert_uint_eq(keyring_generation(ring), generation);
    ck_assert_int_eq(keyring_use(ring, keys[1].id), 0);
    ck_assert_int_eq(state_of(keys[0].id), KEY_RETIRING);
    ck_assert_uint_eq(keyring_in_use(ring)->id, keys[1].id);
    ck_assert_int_eq(keyring_remove(ring, keys[0].id), 0);
    ck_assert_int_eq(keyring_remove(ring, keys[0].id), MESH_ENOTFOUND);
    ck_assert_ptr_null(keyring_find(ring, keys[0].id));
    ck_assert_uint_eq(keyring_count(ring), 1);
}
END_TEST

START_TEST(a_ring_has_room_for_four)
{
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(keyring_install(ring, &keys[i]), 0);
    ck_assert_int_eq(keyring_install(ring, &keys[4]), MESH_EFULL);
    ck_assert_int_eq(keyring_remove(ring, keys[2].id), 0);
    ck_assert_int_eq(keyring_install(ring, &keys[4]), 0);
    for (int i = 0; i < 5; i++)
        ck_assert_int_eq(keyring_find(ring, keys[i].id) != NULL, i != 2);
}
END_TEST

START_TEST(a_key_is_used_once_all_hold_it_and_removed_once_none_uses_it)
{
    struct key_member members[3] = {{.broker_id = {{1}}}, {.broker_id = {{2}}}, {.broker_id = {{3}}}};
    struct key_verdict verdict;

    keyring_install(ring, &keys[0]);
    for (int i = 0; i < 3; i++) {
        keyring_get_holding(ring, &members[i].holding);
        members[i].is_known = true;
    }
    verdict = keyring_judge_use(keys[1].id, members, 3);
    ck_assert(!verdict.is_allowed && verdict.blocker_count == 3 && verdict.first_blocker.bytes[0] == 1);
    keyring_install(ring, &keys[1]);
    keyring_get_holding(ring, &members[0].holding);
    keyring_get_holding(ring, &members[1].holding);
    verdict = keyring_judge_use(keys[1].id, members, 3);
    ck_assert(!verdict.is_allowed && verdict.blocker_count == 1 && verdict.first_blocker.bytes[0] == 3);
    keyring_get_holding(ring, &members[2].holding);
    ck_assert(keyring_judge_use(keys[1].id, members, 3).is_allowed);
    members[1].is_known = false; /* silent: would be locked out */
    ck_assert(!keyring_judge_use(keys[1].id, members, 3).is_allowed);
    members[1].is_known = true;

    keyring_use(ring, keys[1].id);
    keyring_get_holding(ring, &members[0].holding);
    keyring_get_holding(ring, &members[1].holding);
    verdict = keyring_judge_remove(keys[0].id, members, 3);
    ck_assert(!verdict.is_allowed && verdict.first_blocker.bytes[0] == 3);
    keyring_get_holding(ring, &members[2].holding);
    verdict = keyring_judge_remove(keys[0].id, members, 3);
    ck_assert(verdict.is_allowed && uuid_is_zero(&verdict.first_blocker));
    members[2].is_known = false;
    ck_assert(!keyring_judge_remove(keys[0].id, members, 3).is_allowed);
    ck_assert(keyring_judge_use(keys[0].id, NULL, 0).is_allowed);
}
END_TEST

START_TEST(holdings_survive_their_bytes_and_nothing_else_is_taken)
{
    uint8_t bytes[KEY_HOLDING_SIZE_MAX + 1] = {0};
    struct key_holding holding, decoded;
    size_t size;

    for (int i = 0; i < 4; i++)
        keyring_install(ring, &keys[i]);
    keyring_get_holding(ring, &holding);
    size = key_holding_encode(&holding, bytes);
    ck_assert_uint_eq(size, KEY_HOLDING_SIZE_MAX);
    ck_assert_int_eq(key_holding_decode(slice_of(bytes, size), &decoded), 0);
    ck_assert_int_eq(memcmp(&decoded.ids, &holding.ids, sizeof holding.ids), 0);
    ck_assert_uint_eq(decoded.in_use, keys[0].id);
    for (size_t cut = 0; cut < size; cut++)
        ck_assert_int_eq(key_holding_decode(slice_of(bytes, cut), &decoded), MESH_EPROTO);
    ck_assert_int_eq(key_holding_decode(slice_of(bytes, size + 1), &decoded), MESH_EPROTO);
    bytes[1] ^= 1; /* one in use that is not held */
    ck_assert_int_eq(key_holding_decode(slice_of(bytes, size), &decoded), MESH_EPROTO);
    bytes[1] ^= 1;
    memcpy(bytes + 9, bytes + 5, 4); /* one twice */
    ck_assert_int_eq(key_holding_decode(slice_of(bytes, size), &decoded), MESH_EPROTO);
    memset(bytes + 9, 0, 4);
    ck_assert_int_eq(key_holding_decode(slice_of(bytes, size), &decoded), MESH_EPROTO);
}
END_TEST

START_TEST(a_ring_survives_its_text)
{
    char text[KEYRING_TEXT_MAX], again[KEYRING_TEXT_MAX];
    size_t size;

    for (int i = 0; i < 4; i++)
        keyring_install(ring, &keys[i]);
    keyring_use(ring, keys[2].id);
    size = keyring_format(ring, text);
    keyring_remove(ring, keys[1].id);
    ck_assert_int_eq(keyring_parse(ring, slice_of(text, size), message, sizeof message), 0);
    ck_assert_uint_eq(keyring_count(ring), 4);
    ck_assert_int_eq(state_of(keys[0].id), KEY_RETIRING);
    ck_assert_int_eq(state_of(keys[1].id), KEY_INSTALLED);
    ck_assert_int_eq(state_of(keys[2].id), KEY_IN_USE);
    ck_assert_uint_eq(keyring_format(ring, again), size);
    ck_assert_int_eq(memcmp(text, again, size), 0);
}
END_TEST

START_TEST(what_people_write_is_read)
{
    char key[CLUSTER_KEY_TEXT_SIZE], other[CLUSTER_KEY_TEXT_SIZE], text[600];

    cluster_key_format(&keys[0], key);
    cluster_key_format(&keys[1], other);
    ck_assert_int_eq(parse(key), 0);
    ck_assert_uint_eq(keyring_in_use(ring)->id, keys[0].id);
    snprintf(text, sizeof text, "# ours\r\n\n  %s\tin-use # since spring\r\n%s   installed", other, key);
    ck_assert_msg(parse(text) == 0, "%s", message);
    ck_assert_uint_eq(keyring_in_use(ring)->id, keys[1].id);
    ck_assert_uint_eq(keyring_count(ring), 2);
}
END_TEST

/* %a and %b: two keys. */
static const struct {
    const char *text, *says;
} refusals[] = {
    {"", "no key"},
    {"# nothing\n\n", "no key"},
    {"%a installed\n", "in use"},
    {"%a\n%b\n", "line 2: a second key"},
    {"%a in-use\n%b in-use\n", "line 2: a second key"},
    {"%a\n%b installed\n", "its state behind it"},
    {"%a in-use\n%a installed\n", "line 2: this key was there before"},
    {"%a used\n", "line 1: the state"},
    {"%a in-use now\n", "line 1: a key and its state stand alone"},
    {"\n\nhello\n", "line 3: this is no cluster key"},
};

START_TEST(what_is_no_ring_is_refused_with_its_line)
{
    char key[CLUSTER_KEY_TEXT_SIZE], other[CLUSTER_KEY_TEXT_SIZE], text[600] = "";
    uint32_t generation;

    cluster_key_format(&keys[0], key);
    cluster_key_format(&keys[1], other);
    keyring_install(ring, &keys[5]);
    generation = keyring_generation(ring);
    for (const char *at = refusals[_i].text; *at != '\0'; at++) {
        size_t length = strlen(text);
        if (*at == '%')
            snprintf(text + length, sizeof text - length, "%s", *++at == 'a' ? key : other);
        else
            snprintf(text + length, sizeof text - length, "%c", *at);
    }
    ck_assert_int_eq(parse(text), MESH_EINVAL);
    ck_assert_msg(strstr(message, refusals[_i].says) != NULL, "%s", message);
    ck_assert_uint_eq(keyring_generation(ring), generation);
    ck_assert_ptr_nonnull(keyring_find(ring, keys[5].id));
}
END_TEST

START_TEST(a_ring_too_large_is_refused)
{
    static char text[KEYRING_TEXT_MAX + 1];
    char line[100], many[600] = "";

    memset(text, '\n', sizeof text);
    ck_assert_int_eq(keyring_parse(ring, slice_of(text, sizeof text), message, sizeof message), MESH_ETOOLARGE);
    for (int i = 0; i < 5; i++) {
        size_t length = strlen(many);
        snprintf(many + length, sizeof many - length, "%s %s\n", cluster_key_format(&keys[i], line),
                 i == 0 ? "in-use" : "installed");
    }
    ck_assert_int_eq(parse(many), MESH_EINVAL);
    ck_assert_ptr_nonnull(strstr(message, "line 5: more than 4 keys"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("keyring");
    TCase *tcase = tcase_create("ring");

    crypto_init();
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, install_use_remove_is_a_rotation);
    tcase_add_test(tcase, a_ring_has_room_for_four);
    tcase_add_test(tcase, a_key_is_used_once_all_hold_it_and_removed_once_none_uses_it);
    tcase_add_test(tcase, holdings_survive_their_bytes_and_nothing_else_is_taken);
    tcase_add_test(tcase, a_ring_survives_its_text);
    tcase_add_test(tcase, what_people_write_is_read);
    tcase_add_loop_test(tcase, what_is_no_ring_is_refused_with_its_line, 0, sizeof refusals / sizeof refusals[0]);
    tcase_add_test(tcase, a_ring_too_large_is_refused);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
