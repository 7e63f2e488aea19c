/* A name server for tests: answers A, AAAA and SRV questions from a table, by UDP and TCP, on a loopback port, inside the
 * test's loop. */
#ifndef TEST_DNS_SERVER_H
#define TEST_DNS_SERVER_H

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DNS_A = 1, DNS_AAAA = 28, DNS_SRV = 33 };

struct dns_record {
    const char *name; /* without the last dot */
    uint16_t type;
    const char *data; /* an address, or the target of a service */
    uint16_t port;    /* SRV only */
};

struct dns_server {
    struct ev_loop *loop;
    const struct dns_record *records; /* borrowed; replaceable between questions */
    size_t count;
    bool is_silent;
    uint32_t udp_questions, tcp_questions;
    char address[32]; /* "127.0.0.1:PORT" */
    ev_io udp, tcp;
};

void dns_server_start(struct dns_server *server, struct ev_loop *loop); /* asserts */
void dns_server_stop(struct dns_server *server);

#endif
