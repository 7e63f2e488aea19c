/* TLS on a socket: what a stream holds, in the middle of its handshake, with a part of a record, at rest. */
#include "cmd/broker/front/tls.h"
#include "cmd/broker/front/tls_stream.h"
#include "support/run_suite.h"

#include <check.h>
#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define REST_MAX (16u << 10)

static char folder[] = "/tmp/mesh-test-tls-XXXXXX";
static struct settings settings;
static struct ev_loop *loop;
static struct tls *tls;
static SSL_CTX *context;
static SSL *client;
static struct tls_stream *stream;
static int fds[2]; /* the stream's, the client's */

static FILE *create(char *path, const char *name)
{
    FILE *file;

    snprintf(path, sizeof(settings.tls_certificate), "%s/%s", folder, name);
    file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    return file;
}

/* A certificate that signs itself, and its key. */
static void make_files(void)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = X509_new();
    X509_NAME *name = X509_get_subject_name(certificate);
    FILE *file;

    X509_gmtime_adj(X509_getm_notBefore(certificate), -60);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"localhost", -1, -1, 0);
    X509_set_issuer_name(certificate, name);
    X509_set_pubkey(certificate, key);
    ck_assert_int_gt(X509_sign(certificate, key, EVP_sha256()), 0);
    file = create(settings.tls_certificate, "crt");
    ck_assert_int_eq(PEM_write_X509(file, certificate), 1);
    fclose(file);
    file = create(settings.tls_key, "key");
    ck_assert_int_eq(PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL), 1);
    fclose(file);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

static void setup(void)
{
    char message[TLS_MESSAGE_SIZE];

    ck_assert_ptr_nonnull(mkdtemp(folder));
    make_files();
    loop = ev_loop_new(EVFLAG_AUTO);
    ck_assert_int_eq(tls_open(&settings, loop, &tls, message), 0);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    stream = tls_stream_new(tls, fds[0]);
    context = SSL_CTX_new(TLS_client_method());
    client = SSL_new(context);
    ck_assert(stream != NULL && client != NULL);
    SSL_set_fd(client, fds[1]);
    SSL_set_connect_state(client);
}

static void teardown(void)
{
    SSL_free(client);
    SSL_CTX_free(context);
    tls_stream_free(stream);
    tls_close(tls);
    ev_loop_destroy(loop);
    close(fds[0]);
    close(fds[1]);
    unlink(settings.tls_certificate);
    unlink(settings.tls_key);
    rmdir(folder);
}

static void expect_nothing(void)
{
    char byte;

    ck_assert_int_eq(tls_stream_receive(stream, &byte, 1), -1);
    ck_assert_int_eq(errno, EAGAIN);
}

START_TEST(most_is_held_during_the_handshake_and_little_at_rest)
{
    char bytes[1000] = {0};
    size_t in_handshake;

    (void)SSL_do_handshake(client); /* its hello */
    expect_nothing();
    in_handshake = tls_stream_bytes(stream);
    ck_assert_uint_gt(in_handshake, REST_MAX);
    for (int i = 0; i < 10 && SSL_do_handshake(client) != 1; i++)
        expect_nothing();
    ck_assert(SSL_is_init_finished(client));
    expect_nothing();
    ck_assert_uint_lt(tls_stream_bytes(stream), REST_MAX);
    ck_assert_int_eq(SSL_write(client, bytes, sizeof(bytes)), (int)sizeof(bytes));
    ck_assert_int_eq(tls_stream_receive(stream, bytes, 1), 1);
    ck_assert(tls_stream_has_more(stream));
    ck_assert_uint_gt(tls_stream_bytes(stream), REST_MAX); /* the rest of the record */
    ck_assert_int_eq(tls_stream_receive(stream, bytes, sizeof(bytes)), (int)sizeof(bytes) - 1);
    expect_nothing();
    ck_assert_uint_lt(tls_stream_bytes(stream), REST_MAX);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tls_stream");
    TCase *tcase = tcase_create("memory");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, most_is_held_during_the_handshake_and_little_at_rest);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
