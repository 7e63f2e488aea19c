/* support/replica_mesh.h - replicas of a few partitions on brokers in memory: real cores and streams, links with delays that break, disks that
 * are done later and lose what was not durable, a small coordinator. Everything is drawn from one seed.
 *
 * One run hurts the mesh for a while, heals it, and demands that all logs are the same and everybody is in sync. An observer watches all
 * the time. */
#ifndef SUPPORT_REPLICA_MESH_H
#define SUPPORT_REPLICA_MESH_H

#include "replication/partition/switches.h"

#include <stdio.h>

/* Kinds of trouble; each run has a random part of those allowed. */
enum {
    MESH_FAULT_KILL = 1,      /* a process dies and comes back */
    MESH_FAULT_POWER = 2,     /* a machine does, and loses what was not durable */
    MESH_FAULT_POWER_ALL = 4, /* all do at once */
    MESH_FAULT_WIPE = 8,      /* one comes back without its disk: once in a run */
    MESH_FAULT_CUT = 16,      /* two brokers do not reach each other */
    MESH_FAULT_ISOLATE = 32,  /* one reaches nobody, perhaps not even the coordinator */
    MESH_FAULT_DEAF = 64,     /* one does not hear the coordinator, nor is heard by it */
    MESH_FAULT_RESET = 128,   /* connections break and come again */
    MESH_FAULT_FENCE = 256,   /* the coordinator fences one that is well */
    MESH_FAULT_REPLACE = 512, /* a replica is removed and added again */
    MESH_FAULT_TRIM = 1024,   /* the leader's log loses its beginning */
    MESH_FAULT_STALL = 2048,  /* a disk, or a link, is slow for a while */
    MESH_FAULT_SPLIT = 4096, /* two groups do not reach each other, and one of them not the coordinator */
    MESH_FAULT_ALL = 8191,
};

struct replica_mesh_options {
    uint64_t seed;
    int brokers;    /* 2..5; 0: drawn */
    int partitions; /* 1..3; 0: drawn */
    int min_insync; /* 0: a majority */
    enum partition_mode mode;
    bool is_async;   /* what is written counts: machines do not die then */
    uint32_t faults; /* allowed ones; 0: none */
    uint32_t hurt_ms;
    uint32_t produce_us; /* between two records, on average */
    bool is_idle_at_end; /* nothing is produced after healing: repair has to come by itself */
    enum replica_defect defect;
    FILE *trace; /* NULL, or where every event goes */
};
void replica_mesh_options_init(struct replica_mesh_options *options, uint64_t seed);

struct replica_mesh_result {
    char violation[256]; /* "": all went well */
    uint64_t hash;       /* of the run's course */
    uint64_t events, packets, appended, acknowledged;
    /* How often what is rare has happened. */
    uint64_t elections, elr_elections, cuts, second_cuts, resets, alters, unknown_alters, refusals, seals, rejects, crashes, pauses;
};

struct replica_mesh;
struct replica_mesh *replica_mesh_new(void); /* memory for any number of runs; NULL: none */
void replica_mesh_free(struct replica_mesh *mesh);
void replica_mesh_run(struct replica_mesh *mesh, const struct replica_mesh_options *options, struct replica_mesh_result *ret_result);

#endif
