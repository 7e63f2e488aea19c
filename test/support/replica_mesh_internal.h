/* support/replica_mesh_internal.h - for replica_mesh*.c only. */
#ifndef SUPPORT_REPLICA_MESH_INTERNAL_H
#define SUPPORT_REPLICA_MESH_INTERNAL_H

#include "base/random.h"
#include "replication/partition/sink.h"
#include "replication/partition/source.h"
#include "support/replica_mesh.h"
#include "support/replica_watch.h"

#define MESH_BROKERS COURT_BROKERS_MAX
#define MESH_PARTITIONS COURT_PARTITIONS_MAX
#define MESH_PENDING_MAX 256
#define MESH_INBOX_MAX 512

enum event_type {
    EVENT_PACKET,      /* link, to_leader, connection, packet */
    EVENT_CLOSED,      /* link, connection: the leader's end hears of it */
    EVENT_CONNECT,     /* link */
    EVENT_RESUME,      /* link: the follower's store takes batches again */
    EVENT_SYNCED,      /* broker */
    EVENT_CUT_DONE,    /* broker, partition */
    EVENT_IMAGE,       /* broker */
    EVENT_TICK,        /* broker */
    EVENT_RESTART,     /* broker */
    EVENT_REGISTER,    /* broker */
    EVENT_UNFENCE,     /* broker */
    EVENT_FENCE_CHECK, /* broker */
    EVENT_ALTER,       /* alter: arrives at the coordinator */
    EVENT_ALTERED,     /* alter: the answer */
    EVENT_REPORT,      /* broker, partition, report */
    EVENT_PRODUCE,
    EVENT_FAULT,
    EVENT_HEAL, /* link or broker, what */
};

struct mesh_event {
    uint64_t at_us;
    uint32_t sequence;
    uint8_t type;
    uint8_t broker, partition;
    bool to_leader;
    uint16_t link;
    uint32_t number;  /* packet, or alter */
    uint32_t life;    /* of the broker's process, or the link's connection */
    uint64_t value;
};

struct mesh_link {
    int follower, leader;
    struct sink sink; /* of the follower's process */
    struct source sources[2];
    bool has_source[2];
    uint32_t source_connection[2];
    uint32_t connection;
    bool is_connected, is_connecting, is_paused;
    uint64_t last_us[2]; /* packets arrive in order */
    uint32_t inbox[MESH_INBOX_MAX];
    uint32_t inbox_first, inbox_count;
    bool is_reading;
};

struct mesh_pending {
    uint64_t end;
    int32_t epoch;
};

struct mesh_broker {
    bool is_up, is_deaf, is_wiped, is_lossy, is_syncing, is_ticking, is_registered;
    uint32_t life;     /* of the process */
    uint32_t applied;  /* version of the metadata; meaningful while is_registered */
    uint32_t needed;   /* the version with its registration */
    uint64_t tick_us;
    struct replica_board board;
    struct replica_log logs[MESH_PARTITIONS];
    struct replica replicas[MESH_PARTITIONS];
    bool has_replicas;
    uint32_t cuts[MESH_PARTITIONS]; /* so far: what was being synced then says nothing */
    uint64_t sync_end[MESH_PARTITIONS];
    uint32_t sync_cuts[MESH_PARTITIONS];
    uint64_t seen[MESH_PARTITIONS]; /* high watermark that the observer knows of */
    struct mesh_pending pending[MESH_PARTITIONS][MESH_PENDING_MAX];
    uint32_t pending_count[MESH_PARTITIONS];
    uint8_t rounds[MESH_PARTITIONS];
};

struct mesh_packet {
    struct buffer bytes;
    uint32_t next_free;
};

struct mesh_alter {
    struct replica_alter alter;
    int broker, partition;
    uint32_t life;
    enum replica_alter_outcome outcome;
    uint32_t partition_epoch;
    bool is_answered;
};

struct replica_mesh {
    struct replica_mesh_options options;
    struct replica_mesh_result result;
    struct random random, fault_random;
    uint64_t now_us, heal_us;
    uint32_t fault_mask;
    bool is_healed, was_wiped;
    int broker_count, partition_count, min_insync;
    uint64_t slow_until_us;
    int slow_broker;
    uint64_t cut[MESH_BROKERS]; /* masks */
    struct mesh_broker brokers[MESH_BROKERS];
    struct mesh_link links[MESH_BROKERS * MESH_BROKERS];
    struct court court;
    struct replica_watch watch;
    struct mesh_event *heap; /* owned */
    size_t heap_count, heap_capacity;
    uint32_t sequence;
    struct mesh_packet *packets; /* owned */
    uint32_t packet_count, packet_capacity, free_packet;
    struct mesh_alter *alters; /* owned */
    uint32_t alter_count, alter_capacity;
    struct record_batch_builder builder;
    struct buffer scratch;
    uint64_t record_number;
};

/* ---- replica_mesh.c: time, chance, links ---- */
uint64_t mesh_draw(struct replica_mesh *mesh, uint64_t limit);
bool mesh_chance(struct replica_mesh *mesh, uint32_t one_in);
void mesh_schedule(struct replica_mesh *mesh, uint64_t in_us, struct mesh_event event);
void mesh_trace(struct replica_mesh *mesh, const char *format, ...) __attribute__((format(printf, 2, 3)));
uint32_t mesh_packet_new(struct replica_mesh *mesh);
void mesh_packet_free(struct replica_mesh *mesh, uint32_t packet);
void mesh_send(struct replica_mesh *mesh, struct mesh_link *link, bool to_leader, uint32_t connection, uint32_t packet);
struct mesh_link *mesh_link_of(struct replica_mesh *mesh, int follower, int leader);
void mesh_disconnect(struct replica_mesh *mesh, struct mesh_link *link, bool leader_hears);
void mesh_want_connection(struct replica_mesh *mesh, struct mesh_link *link);
bool mesh_reaches(const struct replica_mesh *mesh, int a, int b);
void mesh_tell_images(struct replica_mesh *mesh);

/* ---- replica_mesh_broker.c: a broker's turn ---- */
void mesh_broker_boot(struct replica_mesh *mesh, int broker); /* from its disk */
void mesh_broker_stop(struct replica_mesh *mesh, int broker, bool is_power);
void mesh_broker_apply(struct replica_mesh *mesh, int broker, uint32_t version);
void mesh_broker_turn(struct replica_mesh *mesh, int broker); /* does what is to be done, and sends */
void mesh_broker_synced(struct replica_mesh *mesh, int broker);
void mesh_broker_cut_done(struct replica_mesh *mesh, int broker, int partition);
void mesh_broker_read(struct replica_mesh *mesh, struct mesh_link *link); /* what is in the inbox */
int mesh_broker_listen(struct replica_mesh *mesh, struct mesh_link *link, uint32_t connection); /* which of the leader's ends is new */
bool mesh_broker_produce(struct replica_mesh *mesh, int broker, int partition);
void mesh_broker_trim(struct replica_mesh *mesh, int broker, int partition);

/* ---- replica_mesh_faults.c ---- */
void mesh_fault(struct replica_mesh *mesh);
void mesh_heal_one(struct replica_mesh *mesh, const struct mesh_event *event);
void mesh_heal_all(struct replica_mesh *mesh);

#endif
