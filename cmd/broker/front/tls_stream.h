/* broker/front/tls_stream.h - TLS on one connection's socket: what recv, sendmsg and sendfile are without it.
 *
 * Never waits: like those it says EAGAIN. The handshake is part of receiving. Belongs to the connection, and moves with it. */
#ifndef BROKER_FRONT_TLS_STREAM_H
#define BROKER_FRONT_TLS_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

struct tls;
struct tls_stream;


/* Whether this is how a TLS connection begins; no door's bytes begin so. */
static inline bool tls_is_first_byte(uint8_t byte)
{
    return byte == 0x16;
}

/* NULL: no memory. The descriptor stays the connection's. */
struct tls_stream *tls_stream_new(struct tls *tls, int fd);
void tls_stream_free(struct tls_stream *stream); /* accepts NULL */

/* What it holds now, about: for the shard's pool. Most while it shakes hands; at rest OpenSSL gives its buffers back. */
size_t tls_stream_bytes(const struct tls_stream *stream);

/* As recv(2): 0 is the end; -1 with EAGAIN, ECONNRESET, EIO (the peer does not speak TLS as it should: tls_stream_reason()). */
ssize_t tls_stream_receive(struct tls_stream *stream, void *to, size_t size);
/* Bytes were decrypted and not yet asked for: the socket may never become readable for them. */
bool tls_stream_has_more(const struct tls_stream *stream);

/* As sendmsg(2) of these pieces: at most a record of the first of them. After EAGAIN the same bytes come again, or more of them. */
ssize_t tls_stream_send(struct tls_stream *stream, const struct iovec *pieces, size_t count);
/* As sendfile(2): by the kernel where it encrypts, else a record at a time. */
ssize_t tls_stream_send_file(struct tls_stream *stream, int file_fd, off_t position, size_t size);

/* Says that no more is sent, as far as that can be said without waiting. */
void tls_stream_end(struct tls_stream *stream);

/* For the log, after EIO. */
const char *tls_stream_reason(const struct tls_stream *stream);

#endif
