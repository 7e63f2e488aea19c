/* broker/broker_private.h - what the parts of one broker share. Everything is set before the threads start and constant
 * from then on, but for what is atomic. */
#ifndef BROKER_BROKER_PRIVATE_H
#define BROKER_BROKER_PRIVATE_H

#include "cmd/broker/broker.h"
#include "cmd/broker/metadata/identity.h"
#include "cmd/broker/notify.h"
#include "cmd/broker/operate/live_settings.h"
#include "cmd/broker/runtime/control.h"
#include "cmd/broker/runtime/lane.h"
#include "replication/founding/state.h"
#include "base/fs.h"
#include "base/machine.h"

#include <stdatomic.h>

struct shard;
struct control_loop;
struct gateway;
struct tls;

struct broker {
    struct settings settings; /* in use; the control loop changes some of them (operate/live_settings.h) */
    struct live_settings live;
    struct machine_share machine; /* as it was at the start */
    const char *data_dir;
    char *name, *zone; /* owned */
    char *host;        /* owned: as listened on */
    char *advertised;  /* owned: as others are told */
    char *advertised_host; /* owned: of --advertise, or NULL */
    uint16_t port;
    struct gateway *gateway;   /* owned; NULL: none */
    struct net_address listen;    /* as bound */
    struct net_address advertise; /* of gossip and links; none: `listen`, or as peers see it */
    struct identity identity;
    bool is_stop_untold; /* a former life stopped uncleanly, and the mesh has not been told yet (segment/recovery.h) */
    struct keyring *keyring; /* owned */
    char key_path[KEY_PATH_MAX];
    bool has_key; /* `keyring` holds what was found before the start */
    bool is_key_new;
    const struct seed *seeds; /* the options' */
    size_t seed_count;
    const char *name_servers;
    struct founding_value founding; /* the first voters of the mesh, if this is one of them */
    join_progress_fn *waiting;
    struct notify *notify; /* the process's; NULL in tests that have several brokers */
    bool has_waited; /* membership.c's, on the control loop */
    bool is_ending;  /* in broker_free(): no threads run any more */
    atomic_bool is_serving;     /* registered and not fenced: it may lead. Any thread */
    broker_ready_fn *ready;
    void *ready_user;
    struct fs *fs;
    /* Of each shard's store: the same directory, opened by itself, because syncfs() tells of bytes that were lost once per open file. Through one that
     * two stores share, the sync of one takes the news that was the other's. */
    struct fs **store_disks;
    struct control control;
    struct control_loop *control_loop; /* control_loop.c's */
    struct mail stop_mail;
    atomic_bool is_stop_posted;
    struct lane read_lane; /* brings cold ranges into the page cache, for all shards */
    struct tls *tls; /* owned; NULL: the port speaks no TLS */
    struct lane login_lane; /* compares passwords with what is kept of them, which takes milliseconds */
    _Atomic uint64_t login_iterations; /* of passwords that wait for it */
    atomic_bool judges_logins; /* it is ready, and does not stop: before that it may not know of a user, after it it does not wait for passwords */
    uint8_t login_secret[32]; /* salts for names that nobody has; the same on every broker that started with this cluster key */
    struct shard **shards;
    uint32_t shard_count;
    struct uuid cluster_id, broker_id, dir_id; /* as in `identity`, which changes with the boot */
    _Atomic uint64_t boot; /* identity.boot, for other threads than the control loop */
    _Atomic int32_t node_id; /* 0: not known yet. Set on the control loop before the first image that has it is published */
    atomic_uint_fast64_t connection_count; /* of all shards, against connections.max */
    atomic_uint_fast64_t moved_bytes; /* by all shards, but for followers that catch up (replicas/pace.h) */
};

#endif
