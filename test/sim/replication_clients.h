/* sim/replication_clients.h - who produces to simulated brokers and consumes from them, and holds them to their answers.
 *
 * A producer has one batch under way, asks whichever broker it likes who leads, and there; questions and answers get lost. An idempotent one sends
 * the batch again until it knows what became of it, or gives it up and goes on as another producer; any other is left with *unknown*.
 * What is acknowledged is where the answer says (of acks all: below a high watermark); what was refused for good is nowhere; a producer's
 * acknowledged batches stand in the order in which they were sent. A consumer reads each partition from its beginning, from whoever leads. */
#ifndef SIM_REPLICATION_CLIENTS_H
#define SIM_REPLICATION_CLIENTS_H

#include "sim/replication_watch.h"
#include "wire/record_batch.h"

#define REPLICATION_PRODUCERS_MAX 16
#define REPLICATION_BATCH_MAX     1024

struct replication_request {
    uint32_t place; /* of the partition, in the observer's table */
    int32_t acks;
    int64_t producer_id; /* -1: not idempotent */
    int32_t sequence;
    uint32_t crc;
    uint64_t until_us; /* then it is given up */
};

/* What a client knows of who leads: never older than what it knew before (lib/client/topic.c). */
struct replication_route {
    uint32_t leader; /* host */
    int32_t epoch;
};

struct replication_producer {
    bool is_busy, is_idempotent;
    uint64_t attempt; /* number of the one under way: older answers are late */
    struct replication_request request;
    struct replication_route routes[REPLICATION_PARTITIONS_MAX];
    bool is_lost; /* the route is to be asked for */
    uint8_t batch[REPLICATION_BATCH_MAX];
    size_t size;
    int64_t ids[REPLICATION_PARTITIONS_MAX];
    int32_t sequences[REPLICATION_PARTITIONS_MAX];
    uint64_t acked_end[REPLICATION_PARTITIONS_MAX];
};

struct replication_clients {
    struct sim *sim;
    struct replication_watch *watch;
    uint32_t producer_count;
    struct replication_producer producers[REPLICATION_PRODUCERS_MAX];
    uint64_t offsets[REPLICATION_PARTITIONS_MAX]; /* of the consumer */
    struct replication_route routes[REPLICATION_PARTITIONS_MAX];
    int64_t next_id;
    uint64_t numbers;
    uint32_t lost_ppm; /* questions, and answers */
    uint32_t acks_ppm[2]; /* acks 0, acks 1; the rest asks for all */
    uint64_t acknowledged_of[REPLICATION_PARTITIONS_MAX];
    uint64_t asked, acknowledged, refused, unknown, given_up, read;
    struct record_batch_builder builder;
    struct buffer scratch, bytes;
};

void replication_clients_init(struct replication_clients *clients);
void replication_clients_deinit(struct replication_clients *clients);
void replication_clients_reset(struct replication_clients *clients, struct sim *sim, struct replication_watch *watch, uint32_t producer_count);

/* A batch of that producer for that partition; nothing when it is busy. It is given up after `patience_us`. */
void replication_clients_produce(struct replication_clients *clients, uint32_t producer, uint32_t place, uint64_t patience_us);
void replication_clients_consume(struct replication_clients *clients, uint32_t place);
uint32_t replication_clients_busy(const struct replication_clients *clients);

/* The hook. */
void replication_clients_answered(struct replication_clients *clients, struct replication_process *process, const struct replication_answer *answer);

#endif
