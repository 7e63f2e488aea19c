/* broker/front/tls.c - see tls.h. */
#include "cmd/broker/front/tls.h"

#include "base/error.h"
#include "base/log.h"

#include <errno.h>
#include <ev.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define LOOK_SECONDS 5. /* between two looks at the files: some stat(2) */
#define FILE_COUNT   3

/* What shows that a file is another one, or may be read now. Not when it was written: copies keep that, and new rights do not change it. */
struct file_mark {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec changed;
};

struct tls {
    const struct settings *settings; /* the broker's */
    struct ev_loop *loop;
    ev_timer timer;
    struct file_mark marks[FILE_COUNT]; /* of the last look, whatever came of it */
    char complaint[TLS_MESSAGE_SIZE];   /* the last about them */
    bool has_failed;                    /* they are not what is in use */
    pthread_mutex_t lock;               /* of `context` */
    SSL_CTX *context;
};

/* ---- files ---- */

static void mark_file(const char *path, struct file_mark *mark)
{
    struct stat stat_of;

    memset(mark, 0, sizeof(*mark));
    if (path[0] == '\0' || stat(path, &stat_of) != 0) return;
    mark->device = stat_of.st_dev;
    mark->inode = stat_of.st_ino;
    mark->size = stat_of.st_size;
    mark->changed = stat_of.st_ctim;
}

static void mark_files(const struct settings *settings, struct file_mark marks[FILE_COUNT])
{
    memset(marks, 0, FILE_COUNT * sizeof(*marks)); /* they are compared as bytes */
    mark_file(settings->tls_certificate, &marks[0]);
    mark_file(settings->tls_key, &marks[1]);
    mark_file(settings->tls_clients_ca, &marks[2]);
}

/* OpenSSL's reason, and nothing of what is in the file. */
static int fail(char message[TLS_MESSAGE_SIZE], const char *what, const char *path)
{
    unsigned long code = ERR_peek_error(); /* the first one: what follows says who else failed for it */
    const char *reason = ERR_SYSTEM_ERROR(code) ? strerror(ERR_GET_REASON(code)) : code != 0 ? ERR_reason_error_string(code) : NULL;

    snprintf(message, TLS_MESSAGE_SIZE, "%s %.300s: %.100s", what, path, reason != NULL ? reason : "it cannot be used");
    ERR_clear_error();
    return MESH_EINVAL;
}

/* A key with a passphrase would have somebody type it at each start; OpenSSL would ask on the terminal. */
static int no_passphrase(char *to, int size, int is_for_writing, void *user)
{
    (void)to;
    (void)size;
    (void)is_for_writing;
    (void)user;
    return 0;
}

static int load_files(SSL_CTX *context, const struct settings *settings, char message[TLS_MESSAGE_SIZE])
{
    ERR_clear_error();
    SSL_CTX_set_default_passwd_cb(context, no_passphrase);
    if (SSL_CTX_use_certificate_chain_file(context, settings->tls_certificate) != 1)
        return fail(message, "cannot use the certificate", settings->tls_certificate);
    if (SSL_CTX_use_PrivateKey_file(context, settings->tls_key, SSL_FILETYPE_PEM) != 1)
        return fail(message, "cannot use the key of the certificate", settings->tls_key);
    if (SSL_CTX_check_private_key(context) != 1) return fail(message, "the certificate does not belong to the key", settings->tls_key);
    if (settings->tls_clients_ca[0] == '\0') return 0;
    if (SSL_CTX_load_verify_file(context, settings->tls_clients_ca) != 1)
        return fail(message, "cannot use the certificates that sign those of clients", settings->tls_clients_ca);
    SSL_CTX_set_client_CA_list(context, SSL_load_client_CA_file(settings->tls_clients_ca));
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    return 0;
}

static int load(const struct settings *settings, SSL_CTX **ret_context, char message[TLS_MESSAGE_SIZE])
{
    static const unsigned char session_context[] = "mesh";
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    int err;

    if (context == NULL) {
        snprintf(message, TLS_MESSAGE_SIZE, "out of memory");
        ERR_clear_error();
        return MESH_ENOMEM;
    }
    /* What the kernel encrypts leaves by sendfile; without kTLS the option does nothing. Renegotiation would let a client make us work. */
    (void)SSL_CTX_set_options(context, SSL_OP_ENABLE_KTLS | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                                           SSL_OP_IGNORE_UNEXPECTED_EOF);
    (void)SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    (void)SSL_CTX_clear_mode(context, SSL_MODE_AUTO_RETRY); /* or a client that only changes keys would keep the shard in one read */
    (void)SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF); /* tickets do without memory of ours */
    (void)SSL_CTX_set_session_id_context(context, session_context, sizeof(session_context) - 1);
    (void)SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    err = load_files(context, settings, message);
    if (err != 0) {
        SSL_CTX_free(context);
        return err;
    }
    *ret_context = context;
    return 0;
}

/* Expired certificates are served: whoever has nothing better is better off with an error at the client, which names the cause. */
static void warn_of_dates(const SSL_CTX *context, const char *path)
{
    const X509 *certificate = SSL_CTX_get0_certificate(context);

    if (certificate == NULL) return;
    if (X509_cmp_current_time(X509_get0_notAfter(certificate)) < 0)
        log_warn("the certificate has expired: clients will refuse it path=\"%s\"", path);
    else if (X509_cmp_current_time(X509_get0_notBefore(certificate)) > 0)
        log_warn("the certificate is not valid yet: clients will refuse it path=\"%s\"", path);
}

int64_t tls_expires_s(const struct tls *tls)
{
    const X509 *certificate = tls == NULL ? NULL : SSL_CTX_get0_certificate(tls->context); /* changed by this loop alone */
    struct tm end;

    if (certificate == NULL || ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &end) != 1) return 0;
    return timegm(&end);
}

/* ---- life ---- */

static void use(struct tls *tls, SSL_CTX *context)
{
    SSL_CTX *before;

    pthread_mutex_lock(&tls->lock);
    before = tls->context;
    tls->context = context;
    pthread_mutex_unlock(&tls->lock);
    SSL_CTX_free(before); /* connections have references of their own */
}

/* Reads the files; what is wrong is told once, however often they are looked at. */
static void read_again(struct tls *tls)
{
    char message[TLS_MESSAGE_SIZE];
    SSL_CTX *context;

    mark_files(tls->settings, tls->marks);
    if (load(tls->settings, &context, message) != 0) {
        if (strcmp(message, tls->complaint) != 0) log_error("the certificate was not read again, the old one holds: %s", message);
        snprintf(tls->complaint, sizeof(tls->complaint), "%s", message);
        tls->has_failed = true;
        return;
    }
    tls->has_failed = false;
    warn_of_dates(context, tls->settings->tls_certificate);
    use(tls, context);
    log_info("the certificate was read again path=\"%s\"", tls->settings->tls_certificate);
}

void tls_reload(struct tls *tls)
{
    if (tls == NULL) return;
    tls->complaint[0] = '\0'; /* whoever asks is told */
    read_again(tls);
}

/* What failed may have failed for another reason than the files: memory, descriptors, a folder's rights. */
static void on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct tls *tls = timer->data;
    struct file_mark marks[FILE_COUNT];
    bool has_changed;

    (void)loop;
    (void)events;
    mark_files(tls->settings, marks);
    has_changed = memcmp(marks, tls->marks, sizeof(marks)) != 0;
    if (has_changed) tls->complaint[0] = '\0';
    if (has_changed || tls->has_failed) read_again(tls);
}

static int judge(const struct settings *settings, char message[TLS_MESSAGE_SIZE])
{
    const char *sentence = NULL;

    if (settings->tls_certificate[0] == '\0' && settings->tls_key[0] != '\0')
        sentence = "tls.key is set, and tls.certificate is not: TLS takes both";
    else if (settings->tls_certificate[0] != '\0' && settings->tls_key[0] == '\0')
        sentence = "tls.certificate is set, and tls.key is not: TLS takes both";
    else if (settings->tls_certificate[0] == '\0' && settings->tls_clients_ca[0] != '\0')
        sentence = "tls.clients.ca is set, and tls.certificate is not: without TLS clients show no certificates";
    if (sentence == NULL) return 0;
    snprintf(message, TLS_MESSAGE_SIZE, "%s", sentence);
    return MESH_EINVAL;
}

static void start_openssl(void)
{
    (void)OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT, NULL); /* as in crypto/gcm.c */
}

int tls_check(const struct settings *settings, char message[TLS_MESSAGE_SIZE])
{
    int err = judge(settings, message);
    SSL_CTX *context = NULL;

    if (err != 0 || settings->tls_certificate[0] == '\0') return err;
    start_openssl();
    err = load(settings, &context, message);
    SSL_CTX_free(context);
    return err;
}

int tls_open(const struct settings *settings, struct ev_loop *loop, struct tls **ret_tls, char message[TLS_MESSAGE_SIZE])
{
    int err = judge(settings, message);
    SSL_CTX *context = NULL;
    struct tls *tls;

    *ret_tls = NULL;
    if (err != 0 || settings->tls_certificate[0] == '\0') return err;
    start_openssl();
    tls = calloc(1, sizeof(*tls));
    if (tls == NULL) return MESH_ENOMEM;
    mark_files(settings, tls->marks); /* before they are read: what changes meanwhile is seen by the next look */
    err = load(settings, &context, message);
    if (err != 0) {
        free(tls);
        return err;
    }
    warn_of_dates(context, settings->tls_certificate);
    tls->settings = settings;
    tls->loop = loop;
    tls->context = context;
    pthread_mutex_init(&tls->lock, NULL);
    ev_timer_init(&tls->timer, on_timer, LOOK_SECONDS, LOOK_SECONDS);
    tls->timer.data = tls;
    ev_timer_start(loop, &tls->timer);
    *ret_tls = tls;
    return 0;
}

void tls_close(struct tls *tls)
{
    if (tls == NULL) return;
    ev_timer_stop(tls->loop, &tls->timer);
    SSL_CTX_free(tls->context);
    pthread_mutex_destroy(&tls->lock);
    free(tls);
}

struct ssl_ctx_st *tls_context(struct tls *tls)
{
    SSL_CTX *context;

    pthread_mutex_lock(&tls->lock);
    context = tls->context;
    (void)SSL_CTX_up_ref(context);
    pthread_mutex_unlock(&tls->lock);
    return context;
}
