/* The broker's side of a login: the exchange of RFC 7677, SHA-512 against Python's hashlib, PLAIN, and everything that is neither. */
#include "sasl/sasl_server.h"
#include "support/failing_alloc.h"
#include "support/run_suite.h"

#include "base/error.h"

#include <sodium.h>
#include <stdio.h>

#define CLIENT_NONCE "rOprNGfwEbeRWgbNEkqO"
#define RFC_NONCE    "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
#define OUR_NONCE    "AAECAwQFBgcICQoLDA0ODxAREhMUFRYX"
#define SALT         "W22ZaJ0SNY7soEsUEjb6gQ=="

static const uint8_t secret[32] = {5};

static struct scram_verifier pencil(enum scram_hash hash)
{
    struct scram_verifier verifier;
    uint8_t salt[16];
    size_t size;

    ck_assert_int_eq(sodium_base642bin(salt, sizeof(salt), SALT, strlen(SALT), NULL, &size, NULL, sodium_base64_VARIANT_ORIGINAL), 0);
    scram_verifier_make(hash, slice_of_string("pencil"), slice_of(salt, size), 4096, &verifier);
    return verifier;
}

static enum sasl_step step(struct sasl_server *server, const char *token, struct buffer *reply)
{
    buffer_clear(reply);
    return sasl_server_step(server, slice_of_string(token), reply);
}

static void assert_text(const struct buffer *text, const char *want)
{
    ck_assert_uint_eq(text->size, strlen(want));
    ck_assert_mem_eq(text->data, want, text->size);
}

/* ---- SCRAM ---- */

/* The first: RFC 7677 section 3. The others: Python's hashlib and hmac (pbkdf2_hmac), with our own nonce. */
static const struct {
    enum sasl_mechanism mechanism;
    const char *nonce, *proof, *signature;
} scram_cases[] = {
    {SASL_SCRAM_SHA_256, RFC_NONCE, "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=", "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="},
    {SASL_SCRAM_SHA_256, OUR_NONCE, "2/FoSobMSKjD2CCYPBw3b7GWWAXy8QQajpwNt3P3Dfw=", "Q4jlnoKQBJdFXqaIJQtC7HBctlJfG22DU39bvykkzcw="},
    {SASL_SCRAM_SHA_512, OUR_NONCE, "+uiR08dbqbYL9cDY7knHCyd+LLkYAfzXhZb2ImLJJwKyBsEuAYsq5LfKrRS2pegHduqQ6Q2I8ovRECsHkLWiMA==",
     "iTtNi1HmqRxfDsRyc9xzmLFSHC6Qh2CvdlH4iDRY3VOxqt8rUN4BWCb6RC8/1sWixm28BhmkUaaCyKnFiai6ug=="},
};

START_TEST(scram_agrees_with_rfc_7677_and_with_hashlib)
{
    struct scram_verifier verifier = pencil(sasl_mechanism_hash(scram_cases[_i].mechanism));
    struct buffer reply = BUFFER_INIT;
    struct sasl_server server;
    char text[512];

    sasl_server_init(&server, scram_cases[_i].mechanism);
    ck_assert_int_eq(step(&server, "n,,n=user,r=" CLIENT_NONCE, &reply), SASL_LOOK_UP);
    ck_assert_str_eq(server.name, "user");
    ck_assert_int_eq(sasl_server_challenge(&server, &verifier, scram_cases[_i].nonce, &reply), 0);
    snprintf(text, sizeof(text), "r=" CLIENT_NONCE "%s,s=" SALT ",i=4096", scram_cases[_i].nonce);
    assert_text(&reply, text);
    snprintf(text, sizeof(text), "c=biws,r=" CLIENT_NONCE "%s,p=%s", scram_cases[_i].nonce, scram_cases[_i].proof);
    ck_assert_int_eq(step(&server, text, &reply), SASL_DONE);
    snprintf(text, sizeof(text), "v=%s", scram_cases[_i].signature);
    assert_text(&reply, text);
    /* Over is over. */
    ck_assert_int_eq(step(&server, "n,,n=user,r=" CLIENT_NONCE, &reply), SASL_FAILED);
    sasl_server_deinit(&server);
    buffer_deinit(&reply);
}
END_TEST

/* librdkafka's, as it is and as Kafka takes it; the proof by hashlib. */
START_TEST(a_client_may_write_its_half_of_the_nonce_twice)
{
    struct scram_verifier verifier = pencil(SCRAM_SHA_256);
    struct buffer reply = BUFFER_INIT;
    struct sasl_server server;

    sasl_server_init(&server, SASL_SCRAM_SHA_256);
    ck_assert_int_eq(step(&server, "n,,n=user,r=" CLIENT_NONCE, &reply), SASL_LOOK_UP);
    ck_assert_int_eq(sasl_server_challenge(&server, &verifier, OUR_NONCE, &reply), 0);
    ck_assert_int_eq(step(&server, "c=biws,r=" CLIENT_NONCE CLIENT_NONCE OUR_NONCE ",p=hK1FZ+xZGnri4AuTeD9meN3Hf/0n0id8bTNwmepXqMo=", &reply), SASL_DONE);
    assert_text(&reply, "v=iywfTOqbeDRRFfblZYpEAMPeVxfv7dSEHt0ZM7g/TA0=");
    sasl_server_deinit(&server);
    buffer_deinit(&reply);
}
END_TEST

/* After "n,,n=user,r=NONCE" and the challenge of the second case above. */
static const char *const bad_finals[] = {
    "",
    "c=biws",
    "c=biws,r=" CLIENT_NONCE OUR_NONCE,
    ("c=biws,r=" CLIENT_NONCE OUR_NONCE ",p="),
    ("c=biws,r=" CLIENT_NONCE OUR_NONCE ",p=!!!!"),
    ("c=biws,r=" CLIENT_NONCE OUR_NONCE ",p=2/FoSobMSKjD2CCYPBw3b7GWWAXy8QQajpwNt3P3Dfw"), /* base64 without its end */
    ("c=biws,r=" CLIENT_NONCE OUR_NONCE ",p=2/FoSobMSKjD2CCYPBw3b7GWWAXy8QQajpwNt3P3Dfw=,x=1"), /* something behind the proof */
    ("c=biws,r=" CLIENT_NONCE OUR_NONCE ",p=3/FoSobMSKjD2CCYPBw3b7GWWAXy8QQajpwNt3P3Dfw="), /* one bit */
    ("c=biws,r=" CLIENT_NONCE OUR_NONCE ",x=1,p=2/FoSobMSKjD2CCYPBw3b7GWWAXy8QQajpwNt3P3Dfw="), /* signed something else */
    ("c=eSws,r=" CLIENT_NONCE OUR_NONCE ",p=2/FoSobMSKjD2CCYPBw3b7GWWAXy8QQajpwNt3P3Dfw="), /* another header */
    ("c=biws,r=" CLIENT_NONCE ",p=2/FoSobMSKjD2CCYPBw3b7GWWAXy8QQajpwNt3P3Dfw="), /* without our nonce */
    ("c=biws,r=" OUR_NONCE ",p=2/FoSobMSKjD2CCYPBw3b7GWWAXy8QQajpwNt3P3Dfw="), /* without theirs */
    ("r=" CLIENT_NONCE OUR_NONCE ",c=biws,p=2/FoSobMSKjD2CCYPBw3b7GWWAXy8QQajpwNt3P3Dfw="), /* order */
    "p=2/FoSobMSKjD2CCYPBw3b7GWWAXy8QQajpwNt3P3Dfw=",
    ("n,,n=user,r=" CLIENT_NONCE),
};

START_TEST(no_other_proof_is_taken)
{
    struct scram_verifier verifier = pencil(SCRAM_SHA_256);
    struct buffer reply = BUFFER_INIT;
    struct sasl_server server;

    sasl_server_init(&server, SASL_SCRAM_SHA_256);
    ck_assert_int_eq(step(&server, "n,,n=user,r=" CLIENT_NONCE, &reply), SASL_LOOK_UP);
    ck_assert_int_eq(sasl_server_challenge(&server, &verifier, OUR_NONCE, &reply), 0);
    ck_assert_int_eq(step(&server, bad_finals[_i], &reply), SASL_FAILED);
    ck_assert_uint_eq(reply.size, 0);
    sasl_server_deinit(&server);
    buffer_deinit(&reply);
}
END_TEST

static const struct {
    const char *token, *name; /* NULL: refused */
} first_cases[] = {
    {"n,,n=user,r=abc", "user"},
    {"y,,n=user,r=abc", "user"},
    {"n,a=user,n=user,r=abc", "user"},
    {"n,,n=a=2Cb=3Dc,r=abc", "a,b=c"},
    {"n,,n=user,r=abc,x=1", "user"},
    {"n,,n=user,r=abc,tokenauth=true", NULL},
    {"n,a=other,n=user,r=abc", NULL},
    {"p=tls-unique,,n=user,r=abc", NULL},
    {"n,,n=,r=abc", NULL},
    {"n,,n=us=er,r=abc", NULL},
    {"n,,n=user=2,r=abc", NULL},
    {"n,,n=user,r=", NULL},
    {"n,,n=user,r=a\tb", NULL},
    {"n,,n=user", NULL},
    {"n,,r=abc,n=user", NULL},
    {"n,,m=1,n=user,r=abc", NULL},
    {"n,n=user,r=abc", NULL},
    {"n,a,n=user,r=abc", NULL},
    {"n", NULL},
    {",", NULL},
    {",,,,,", NULL},
};

START_TEST(a_first_message_is_read_or_refused)
{
    struct buffer reply = BUFFER_INIT;
    struct sasl_server server;

    sasl_server_init(&server, SASL_SCRAM_SHA_512);
    ck_assert_int_eq(step(&server, first_cases[_i].token, &reply), first_cases[_i].name != NULL ? SASL_LOOK_UP : SASL_FAILED);
    if (first_cases[_i].name != NULL) ck_assert_str_eq(server.name, first_cases[_i].name);
    sasl_server_deinit(&server);
    buffer_deinit(&reply);
}
END_TEST

START_TEST(names_nonces_and_tokens_have_a_largest_size)
{
    char token[SASL_TOKEN_SIZE_MAX + 2], pad[SASL_TOKEN_SIZE_MAX];
    struct buffer reply = BUFFER_INIT;
    struct sasl_server server;

    memset(pad, 'a', sizeof(pad));
    for (int over = 0; over <= 1; over++) {
        sasl_server_init(&server, SASL_SCRAM_SHA_256);
        snprintf(token, sizeof(token), "n,,n=%.*s,r=abc", SASL_NAME_SIZE_MAX + over, pad);
        ck_assert_int_eq(step(&server, token, &reply), over ? SASL_FAILED : SASL_LOOK_UP);
        sasl_server_init(&server, SASL_SCRAM_SHA_256);
        snprintf(token, sizeof(token), "n,,n=user,r=%.*s", SASL_CLIENT_NONCE_MAX + over, pad);
        ck_assert_int_eq(step(&server, token, &reply), over ? SASL_FAILED : SASL_LOOK_UP);
        sasl_server_init(&server, SASL_SCRAM_SHA_256);
        snprintf(token, sizeof(token), "n,,n=user,r=abc,x=%.*s", SASL_TOKEN_SIZE_MAX - 18 + over, pad);
        ck_assert_uint_eq(strlen(token), (size_t)SASL_TOKEN_SIZE_MAX + (size_t)over);
        ck_assert_int_eq(step(&server, token, &reply), over ? SASL_FAILED : SASL_LOOK_UP);
        sasl_server_init(&server, SASL_PLAIN);
        ck_assert_int_eq(snprintf(token, sizeof(token), "_user_%.*s", SCRAM_PASSWORD_SIZE_MAX + over, pad), 6 + SCRAM_PASSWORD_SIZE_MAX + over);
        token[0] = token[5] = '\0';
        ck_assert_int_eq(sasl_server_step(&server, slice_of(token, 6 + SCRAM_PASSWORD_SIZE_MAX + (size_t)over), &reply), over ? SASL_FAILED : SASL_CHECK);
        sasl_server_deinit(&server);
    }
    buffer_deinit(&reply);
}
END_TEST

/* ---- strangers ---- */

START_TEST(a_stranger_is_answered_like_a_user)
{
    struct scram_verifier verifier, again, other;
    uint8_t another[32] = {6};

    scram_verifier_fake(SCRAM_SHA_256, secret, slice_of_string("nobody"), &verifier);
    scram_verifier_fake(SCRAM_SHA_256, secret, slice_of_string("nobody"), &again);
    ck_assert_mem_eq(&verifier, &again, sizeof(verifier)); /* asked twice: the same salt */
    scram_verifier_fake(SCRAM_SHA_256, secret, slice_of_string("somebody"), &other);
    ck_assert_mem_ne(verifier.salt, other.salt, SCRAM_SALT_SIZE);
    scram_verifier_fake(SCRAM_SHA_512, secret, slice_of_string("nobody"), &other);
    ck_assert_mem_ne(verifier.salt, other.salt, SCRAM_SALT_SIZE);
    scram_verifier_fake(SCRAM_SHA_256, another, slice_of_string("nobody"), &other);
    ck_assert_mem_ne(verifier.salt, other.salt, SCRAM_SALT_SIZE);
    ck_assert_uint_eq(verifier.salt_size, SCRAM_SALT_SIZE);
    ck_assert_uint_eq(verifier.iterations, SCRAM_ITERATIONS);
    ck_assert(!scram_verifier_accepts(&verifier, slice_of_string("")));
    ck_assert(!scram_verifier_accepts(&verifier, slice_of_string("nobody")));
}
END_TEST

/* ---- PLAIN ---- */

#define PLAIN(text, name, password) {text, sizeof(text) - 1, name, password}
static const struct {
    const char *token;
    size_t size;
    const char *name, *password; /* NULL: refused */
} plain_cases[] = {
    PLAIN("\0user\0pencil", "user", "pencil"),
    PLAIN("user\0user\0pencil", "user", "pencil"),
    PLAIN("\0user\0p", "user", "p"),
    PLAIN("other\0user\0pencil", NULL, NULL),
    PLAIN("\0user\0", NULL, NULL),
    PLAIN("\0\0pencil", NULL, NULL),
    PLAIN("\0user", NULL, NULL),
    PLAIN("user", NULL, NULL),
    PLAIN("\0user\0pen\0cil", NULL, NULL),
    PLAIN("\0\0\0", NULL, NULL),
    PLAIN("", NULL, NULL),
};

START_TEST(plain_is_read_or_refused)
{
    struct buffer reply = BUFFER_INIT;
    struct sasl_server server;
    struct slice token = slice_of(plain_cases[_i].token, plain_cases[_i].size);

    sasl_server_init(&server, SASL_PLAIN);
    if (plain_cases[_i].name == NULL) {
        ck_assert_int_eq(sasl_server_step(&server, token, &reply), SASL_FAILED);
    } else {
        ck_assert_int_eq(sasl_server_step(&server, token, &reply), SASL_CHECK);
        ck_assert_str_eq(server.name, plain_cases[_i].name);
        ck_assert_str_eq(server.password, plain_cases[_i].password);
        ck_assert_uint_eq(server.password_size, strlen(plain_cases[_i].password));
    }
    ck_assert_uint_eq(reply.size, 0);
    sasl_server_deinit(&server);
    ck_assert_int_eq(server.password[0], 0);
    buffer_deinit(&reply);
}
END_TEST

START_TEST(a_verifier_accepts_its_password_alone)
{
    struct scram_verifier verifier = pencil(_i == 0 ? SCRAM_SHA_256 : SCRAM_SHA_512);

    ck_assert(scram_verifier_accepts(&verifier, slice_of_string("pencil")));
    ck_assert(!scram_verifier_accepts(&verifier, slice_of_string("pencil ")));
    ck_assert(!scram_verifier_accepts(&verifier, slice_of_string("Pencil")));
    ck_assert(!scram_verifier_accepts(&verifier, slice_of_string("")));
    verifier.stored_key[scram_key_size(verifier.hash) - 1] ^= 1;
    ck_assert(!scram_verifier_accepts(&verifier, slice_of_string("pencil")));
}
END_TEST

START_TEST(mechanisms_have_the_names_that_clients_use)
{
    enum sasl_mechanism found;

    for (size_t i = 0; i < SASL_MECHANISM_COUNT; i++) {
        ck_assert(sasl_mechanism_find(slice_of_string(sasl_mechanism_name((enum sasl_mechanism)i)), &found));
        ck_assert_int_eq(found, (enum sasl_mechanism)i);
    }
    ck_assert(!sasl_mechanism_find(slice_of_string("plain"), &found));
    ck_assert(!sasl_mechanism_find(slice_of_string("SCRAM-SHA-1"), &found));
    ck_assert(!sasl_mechanism_find(slice_of_string("SCRAM-SHA-2566"), &found));
    ck_assert(!sasl_mechanism_find(slice_of(NULL, 0), &found));
}
END_TEST

START_TEST(without_memory_nobody_is_let_in)
{
    struct scram_verifier verifier = pencil(SCRAM_SHA_256);

    failing_alloc_each(n) {
        struct buffer reply = BUFFER_INIT, again = BUFFER_INIT;
        struct sasl_server server;
        enum sasl_step last = SASL_FAILED;
        bool has_failed;
        int err;

        sasl_server_init(&server, SASL_SCRAM_SHA_256);
        failing_alloc_arm(n);
        (void)sasl_server_step(&server, slice_of_string("n,,n=user,r=" CLIENT_NONCE), &reply);
        err = sasl_server_challenge(&server, &verifier, OUR_NONCE, &reply);
        if (err == 0)
            last = sasl_server_step(&server, slice_of_string("c=biws,r=" CLIENT_NONCE OUR_NONCE ",p=2/FoSobMSKjD2CCYPBw3b7GWWAXy8QQajpwNt3P3Dfw="), &again);
        has_failed = failing_alloc_disarm();
        sasl_server_deinit(&server);
        buffer_deinit(&reply);
        buffer_deinit(&again);
        ck_assert(err == 0 || err == MESH_ENOMEM);
        /* Nobody is told that the password was wrong. */
        if (err == 0) ck_assert_int_eq(last, has_failed ? SASL_PUT_OFF : SASL_DONE);
        if (!has_failed) break;
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sasl");
    TCase *tcase = tcase_create("server");

    tcase_add_loop_test(tcase, scram_agrees_with_rfc_7677_and_with_hashlib, 0, 3);
    tcase_add_test(tcase, a_client_may_write_its_half_of_the_nonce_twice);
    tcase_add_loop_test(tcase, no_other_proof_is_taken, 0, (int)(sizeof(bad_finals) / sizeof(bad_finals[0])));
    tcase_add_loop_test(tcase, a_first_message_is_read_or_refused, 0, (int)(sizeof(first_cases) / sizeof(first_cases[0])));
    tcase_add_test(tcase, names_nonces_and_tokens_have_a_largest_size);
    tcase_add_test(tcase, a_stranger_is_answered_like_a_user);
    tcase_add_loop_test(tcase, plain_is_read_or_refused, 0, (int)(sizeof(plain_cases) / sizeof(plain_cases[0])));
    tcase_add_loop_test(tcase, a_verifier_accepts_its_password_alone, 0, 2);
    tcase_add_test(tcase, mechanisms_have_the_names_that_clients_use);
    tcase_add_test(tcase, without_memory_nobody_is_let_in);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
