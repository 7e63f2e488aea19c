/* cli/scrape.h - /metrics of several brokers at once, by HTTP on their one port.
 *
 * One slow or dead broker costs the others nothing: all are asked side by side, within one time. Blocks the calling thread. */
#ifndef CLI_SCRAPE_H
#define CLI_SCRAPE_H

#include "base/buffer.h"

#define SCRAPE_BYTES_MAX (32u << 20) /* of one answer: a thousand topics are below 1 MiB */

struct scrape {
    const char *host; /* borrowed */
    uint16_t port;
    int error;            /* out: 0, or why there is no body: MESH_ERESOLVE, _EUNREACHABLE, _ETIMEDOUT, _EPROTO (no HTTP, or not 200), _ETOOLARGE, _ENOMEM */
    struct buffer answer; /* out: owned by the caller, zero-initialised by it */
    struct slice body;    /* out: in `answer` */
    int fd;               /* private, as the next one */
    size_t sent;
};

void scrape_all(struct scrape *scrapes, size_t count, int timeout_ms);

/* What is behind the headers of an answer. Errors: MESH_EPROTO. */
int scrape_body(struct slice answer, struct slice *ret_body);

#endif
