/* broker/front/tls_stream.c - see tls_stream.h.
 *
 * OpenSSL reads and writes the socket itself, so that the kernel can take records over (kTLS) where it knows how. A stream that has failed
 * is not touched again: OpenSSL forbids it. */
#include "cmd/broker/front/tls_stream.h"

#include "cmd/broker/front/tls.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RECORD_SIZE 16384 /* the largest of TLS */

/* Measured with OpenSSL 3.0, a thousand connections each: 48 in the middle of a hello, 13 to 14 at rest. */
#define HANDSHAKE_BYTES (48u << 10)
#define REST_BYTES      (14u << 10)

struct tls_stream {
    SSL *ssl;
    bool has_failed;
    char reason[80];
};

struct tls_stream *tls_stream_new(struct tls *tls, int fd)
{
    struct tls_stream *stream = calloc(1, sizeof(*stream));
    SSL_CTX *context;

    if (stream == NULL) return NULL;
    context = tls_context(tls);
    stream->ssl = SSL_new(context);
    SSL_CTX_free(context); /* the stream has its own reference */
    if (stream->ssl == NULL || SSL_set_fd(stream->ssl, fd) != 1) {
        tls_stream_free(stream);
        ERR_clear_error();
        return NULL;
    }
    SSL_set_accept_state(stream->ssl);
    return stream;
}

void tls_stream_free(struct tls_stream *stream)
{
    if (stream == NULL) return;
    SSL_free(stream->ssl);
    free(stream);
}

const char *tls_stream_reason(const struct tls_stream *stream)
{
    return stream->reason;
}

/* What came of a call that returned `result`, as errno. Whichever way the socket is to become ready, the caller asks again; a client that makes us
 * write (other keys) and does not read is no better than one that sends nothing. */
static ssize_t fail(struct tls_stream *stream, int result)
{
    int kind = SSL_get_error(stream->ssl, result);
    unsigned long code = ERR_peek_error();
    const char *reason = code != 0 ? ERR_reason_error_string(code) : NULL;

    ERR_clear_error();
    if (kind == SSL_ERROR_WANT_READ || kind == SSL_ERROR_WANT_WRITE) {
        errno = EAGAIN;
        return -1;
    }
    if (kind == SSL_ERROR_ZERO_RETURN) return 0;
    stream->has_failed = true;
    if (kind == SSL_ERROR_SYSCALL) { /* the socket's own end: as without TLS */
        errno = ECONNRESET;
        return -1;
    }
    snprintf(stream->reason, sizeof(stream->reason), "%s", reason != NULL ? reason : "the connection broke");
    errno = EIO;
    return -1;
}

static bool is_usable(const struct tls_stream *stream)
{
    if (!stream->has_failed) return true;
    errno = EIO;
    return false;
}

size_t tls_stream_bytes(const struct tls_stream *stream)
{
    if (!SSL_is_init_finished(stream->ssl)) return HANDSHAKE_BYTES;
    return REST_BYTES + (SSL_has_pending(stream->ssl) ? RECORD_SIZE : 0);
}

ssize_t tls_stream_receive(struct tls_stream *stream, void *to, size_t size)
{
    size_t received;
    int result;

    if (!is_usable(stream)) return -1;
    ERR_clear_error();
    result = SSL_read_ex(stream->ssl, to, size, &received);
    return result == 1 ? (ssize_t)received : fail(stream, result);
}

bool tls_stream_has_more(const struct tls_stream *stream)
{
    return !stream->has_failed && SSL_pending(stream->ssl) > 0;
}

static ssize_t send_bytes(struct tls_stream *stream, const void *bytes, size_t size)
{
    size_t sent;
    ssize_t failed;
    int result;

    if (!is_usable(stream)) return -1;
    ERR_clear_error();
    result = SSL_write_ex(stream->ssl, bytes, size < RECORD_SIZE ? size : RECORD_SIZE, &sent);
    if (result == 1) return (ssize_t)sent;
    failed = fail(stream, result);
    if (failed == 0) errno = EPIPE;
    return -1;
}

ssize_t tls_stream_send(struct tls_stream *stream, const struct iovec *pieces, size_t count)
{
    return count == 0 ? 0 : send_bytes(stream, pieces[0].iov_base, pieces[0].iov_len);
}

ssize_t tls_stream_send_file(struct tls_stream *stream, int file_fd, off_t position, size_t size)
{
    uint8_t bytes[RECORD_SIZE];
    ssize_t got;

    if (!is_usable(stream)) return -1;
    if (BIO_get_ktls_send(SSL_get_wbio(stream->ssl))) {
        ossl_ssize_t sent;

        ERR_clear_error();
        sent = SSL_sendfile(stream->ssl, file_fd, position, size, 0);
        return sent >= 0 ? sent : fail(stream, (int)sent);
    }
    got = pread(file_fd, bytes, size < RECORD_SIZE ? size : RECORD_SIZE, position);
    return got <= 0 ? got : send_bytes(stream, bytes, (size_t)got);
}

void tls_stream_end(struct tls_stream *stream)
{
    if (stream->has_failed || !SSL_is_init_finished(stream->ssl)) return;
    ERR_clear_error();
    (void)SSL_shutdown(stream->ssl);
    ERR_clear_error();
}
