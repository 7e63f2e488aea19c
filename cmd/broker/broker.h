/* broker/broker.h - a whole broker: opens its data directory, serves its port, stops in good order.
 *
 * broker_run() is what `mesh serve` calls. Tests use the four functions below it, so that several brokers can live in
 * one process; nothing in a broker is global but the log and what the kernel keeps per process. */
#ifndef BROKER_BROKER_H
#define BROKER_BROKER_H

#include "base/uuid.h"
#include "cmd/broker/peers/join.h"
#include "cmd/broker/peers/probe.h"    /* for the command, as the next one: who answers where a broker is to join, */
#include "cmd/broker/peers/resolver.h" /* and names without waiting for name servers */
#include "cmd/broker/settings.h"
#include "crypto/key_file.h"

#include <limits.h>
#include <stdint.h>

/* What a ready broker says of itself; the same facts stand in DIR/ready.json. Borrowed for the callback. */
struct broker_ready {
    const char *address; /* "host:port" as clients on this machine reach it */
    const char *host;
    uint16_t port;
    struct uuid cluster_id, broker_id;
    const char *name;
    const char *new_key_path; /* the key file that this start has made, or NULL */
    const struct keyring *keyring;
    const char *gateway; /* "host:port" as its clients are told, or NULL */
};

typedef void broker_ready_fn(void *user, const struct broker_ready *ready);

struct notify;

/* Zero-initialise with broker_options_init(). Strings are borrowed until broker_free(). */
struct broker_options {
    const char *data_dir;  /* created when absent; required */
    const char *listen;    /* "HOST:PORT", port 0: a free one. NULL: 127.0.0.1:9092 */
    const char *gateway_listen;    /* "HOST:PORT" of the port where all of the mesh is one Kafka broker. NULL: none */
    const char *gateway_advertise; /* "HOST" or "HOST:PORT": what its clients are told. NULL: where it listens */
    const char *name;      /* NULL: the one of the last start, at first the host's name */
    const char *zone;      /* NULL: none */
    const char *advertise; /* "HOST" or "HOST:PORT": where others reach it. NULL: as listened on, or as peers see it */
    struct key_places key_places; /* where the cluster key is; when nowhere, a new one is made there, unless it joins */
    const struct seed *seeds;     /* of the mesh to join, for a directory that belongs to none; and where to look for peers */
    size_t seed_count;
    const char *name_servers;     /* for the seeds' names; NULL: the system's */
    uint32_t expect;              /* founds a mesh with the others when there is none: how many brokers its first boot has. 0: never */
    bool is_witness;              /* votes, and keeps no records */
    const char *founded_marker;   /* a file outside of data_dir that remembers a founding; NULL: none */
    join_progress_fn *waiting;    /* what a broker that joins waits for; may be NULL */
    struct notify *notify;        /* of broker_run(): the service manager. NULL: nobody is told */
    uint32_t shard_count;  /* 0: one per core that this process may use */
    struct settings settings;
    broker_ready_fn *opened; /* broker_run(): just before its ready line, for what is to stand above it; may be NULL */
    broker_ready_fn *ready; /* on the control loop's thread, once; may be NULL */
    void *ready_user; /* of `opened` and `waiting` too */
};

void broker_options_init(struct broker_options *options);

/* Serves until SIGTERM or SIGINT, then finishes what is in flight, syncs and marks the stop as clean; a second signal
 * exits the process at once with status 1. Prints the line "mesh: ready on HOST:PORT cluster=... broker=... [gateway=HOST:PORT]" to stderr (a log line
 * "ready" with address=... in front of them where the log is logfmt or JSON) and writes DIR/ready.json {address, cluster, broker, name, pid, gateway where there is one}, removed at the stop.
 * A stop that takes longer than stop.ms.max, as on a disk that hangs, also exits the process with status 1.
 * Returns 0 after a clean stop. What failed has been logged. Errors: MESH_ELOCKED (another broker uses the data
 * directory), MESH_EIO, MESH_EFULL, MESH_ENOMEM, MESH_EINVAL (an option), MESH_ERESOLVE, MESH_EVERSION (written by a
 * newer mesh), MESH_EUNAUTHORIZED (no seed lets it join, or the key file is not private), MESH_ENOTFOUND (no cluster key to
 * join with). */
int broker_run(const struct broker_options *options);

struct broker;

/* Recovers the data directory and opens the listening sockets. Errors as broker_run(). */
int broker_open(const struct broker_options *options, struct broker **ret_broker);

/* Runs the control loop on the calling thread until broker_stop(), then stops in good order. Returns 0 when everything
 * acknowledged is synced and the clean marker is durable. MESH_ETIMEDOUT: not within stop.ms.max; threads may still wait for
 * the disk, and broker_free() will wait for them. */
int broker_serve(struct broker *broker);

/* Asks broker_serve() to stop in good order. Any thread; may be called again. */
void broker_stop(struct broker *broker);

/* Ends the broker; one that was not served or not stopped is left as after a crash. Accepts NULL. */
void broker_free(struct broker *broker);

#define BROKER_SHARDS_MAX 256

/* 2025-01-01: this program is not older, and a clock that stands before it was not set. */
#define BROKER_CLOCK_LEAST_MS INT64_C(1735689600000)

/* Whether a start could bind "HOST:PORT", as `mesh doctor` asks: takes it and lets it go. *ret_udp_errno: 0, or why UDP could not (a start would do without). Errors: as
 * accept_bind(), with a sentence in `message`. */
#define BROKER_PORT_MESSAGE_SIZE 400
int broker_try_port(const char *listen, int *ret_udp_errno, char message[BROKER_PORT_MESSAGE_SIZE]);

/* Whether a directory in which no broker has been holds something of others: `name` is one of them. Hidden files, lost+found and a key are none. */
bool broker_finds_foreign(const char *data_dir, char name[NAME_MAX + 1]);

/* The memory that a start with these settings may take on such a machine, as far as settings limit it. *shard_count: in, as it is set (0: it is not); out, how many there will be. */
struct machine_share;
uint64_t broker_memory_wanted(const struct settings *settings, const struct machine_share *machine, uint32_t *shard_count);

#endif
