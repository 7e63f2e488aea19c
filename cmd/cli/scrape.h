/* cli/scrape.h - /metrics of several brokers at once, by HTTP on their one port.
 *
 * One slow or dead broker costs the others nothing, nor does a name server that is silent: all are looked up and asked side by side, within one time. Blocks
 * the calling thread for so long. */
#ifndef CLI_SCRAPE_H
#define CLI_SCRAPE_H

#include "base/buffer.h"

#include <stdbool.h>

#define SCRAPE_BYTES_MAX (32u << 20) /* of one answer: a thousand topics are below 1 MiB */

struct scrape {
    const char *host; /* borrowed */
    uint16_t port;
    bool is_doubted;      /* it was silent the last time: once all others are done it is waited for less */
    int error;            /* out: 0, or why there is no body: MESH_ERESOLVE, _EUNREACHABLE, _ETIMEDOUT, _EPROTO (no HTTP, or not 200), _ETOOLARGE, _ENOMEM */
    struct buffer answer; /* out: owned by the caller, zero-initialised by it */
    struct slice body;    /* out: in `answer` */
};

struct scrape_limits {
    int timeout_ms, doubted_ms; /* from the beginning */
    bool (*is_unwanted)(void);  /* asked every INTERRUPT_LOOK_MS, whether nobody waits any more: then it ends. NULL: never */
    const char *name_servers;   /* NULL: the system's; or "host:port[,host:port]", as tests have it */
};

void scrape_all(struct scrape *scrapes, size_t count, const struct scrape_limits *limits);

/* What is behind the headers of an answer. Errors: MESH_EPROTO. */
int scrape_body(struct slice answer, struct slice *ret_body);

#endif
