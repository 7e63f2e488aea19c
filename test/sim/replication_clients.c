#include "sim/replication_clients.h"

#include "base/assert.h"
#include "base/error.h"
#include "sim/sim_sometimes.h"

#include <string.h>

#define WAY_MIN_US    100
#define WAY_MEAN_US   1000
#define PATIENCE_US   (SIM_SECOND) /* with one attempt */
#define AGAIN_MEAN_US 100000
#define READ_BYTES    4096
#define NOBODY        UINT32_MAX

typedef unsigned long long ull;

void replication_clients_init(struct replication_clients *clients)
{
    memset(clients, 0, sizeof(*clients));
    record_batch_builder_init(&clients->builder);
}

void replication_clients_deinit(struct replication_clients *clients)
{
    record_batch_builder_deinit(&clients->builder);
    buffer_deinit(&clients->scratch);
    buffer_deinit(&clients->bytes);
}

void replication_clients_reset(struct replication_clients *clients, struct sim *sim, struct replication_watch *watch, uint32_t producer_count)
{
    MESH_ASSERT(producer_count <= REPLICATION_PRODUCERS_MAX);
    clients->sim = sim;
    clients->watch = watch;
    clients->producer_count = producer_count;
    memset(clients->producers, 0, sizeof(clients->producers));
    memset(clients->offsets, 0, sizeof(clients->offsets));
    memset(clients->acknowledged_of, 0, sizeof(clients->acknowledged_of));
    clients->next_id = 1;
    clients->numbers = 0;
    clients->lost_ppm = clients->acks_ppm[0] = clients->acks_ppm[1] = 0;
    clients->asked = clients->acknowledged = clients->refused = clients->unknown = clients->given_up = clients->read = 0;
    for (uint32_t i = 0; i < producer_count; i++) {
        for (uint32_t p = 0; p < REPLICATION_PARTITIONS_MAX; p++) {
            clients->producers[i].ids[p] = -1;
            clients->producers[i].routes[p] = (struct replication_route){NOBODY, -1};
        }
    }
    for (uint32_t p = 0; p < REPLICATION_PARTITIONS_MAX; p++)
        clients->routes[p] = (struct replication_route){NOBODY, -1};
}

static struct random *chance(const struct replication_clients *clients)
{
    return sim_random(clients->sim, SIM_RANDOM_WORKLOAD);
}

static uint64_t later_us(const struct replication_clients *clients, uint64_t mean_us)
{
    return sim_now_us(clients->sim) + WAY_MIN_US + sim_random_exponential(chance(clients), mean_us);
}

static struct replication_process *process_at(const struct replication_clients *clients, uint32_t host)
{
    struct sim_host *at = sim_host_at(clients->sim, host);

    return sim_host_is_awake(at) ? replication_process_of(sim_host_process(at)) : NULL;
}

/* Who leads, says some broker. */
static void ask_for_route(const struct replication_clients *clients, const struct watch_partition *partition, struct replication_route *route)
{
    const struct replication_process *process = process_at(clients, (uint32_t)random_below(chance(clients), sim_host_count(clients->sim)));
    const struct image *image = process == NULL ? NULL : replication_process_image(process);
    const struct image_topic *topic = image == NULL ? NULL : image_find_topic(image, &partition->topic_id);
    const struct image_broker *broker;
    struct image_partition facts;

    if (topic == NULL || !image_topic_partition(topic, partition->number, &facts) || facts.leader_epoch < route->epoch) return;
    broker = image_find_broker(image, facts.leader);
    *route = (struct replication_route){broker == NULL ? NOBODY : consensus_host_of(&broker->broker_id), facts.leader_epoch};
}
/* ---- producing ---- */

static void build(struct replication_clients *clients, struct replication_producer *producer)
{
    struct replication_request *request = &producer->request;
    struct record_batch_producer who = {-1, -1, -1};
    struct record_batch_header header;
    uint64_t count = 1 + random_below(chance(clients), 3);
    struct slice batch;

    if (request->producer_id >= 0) who = (struct record_batch_producer){request->producer_id, 0, request->sequence};
    record_batch_builder_clear(&clients->builder);
    for (uint64_t i = 0; i < count; i++) {
        uint8_t value[200];
        size_t size = 8 + random_below(chance(clients), 192);
        struct record record = {.timestamp_ms = 1000, .value = slice_of(value, size), .key_is_null = true};

        memset(value, (int)(clients->numbers & 0xff), sizeof(value));
        memcpy(value, &(uint64_t){++clients->numbers}, 8);
        MESH_ASSERT(record_batch_builder_add(&clients->builder, &record) == 0);
    }
    MESH_ASSERT(record_batch_builder_finish(&clients->builder, &who, 0, RECORD_COMPRESSION_NONE, &clients->scratch, &batch) == 0);
    MESH_ASSERT(batch.size <= REPLICATION_BATCH_MAX && record_batch_parse_header(batch, &header) == 0);
    memcpy(producer->batch, batch.data, batch.size);
    producer->size = batch.size;
    request->crc = header.crc;
    producer->sequences[request->place] += request->producer_id >= 0 ? (int32_t)count : 0;
}

/* A request's number tells the producer, and which of its attempts it was. */
static uint64_t number_of(const struct replication_clients *clients, const struct replication_producer *producer)
{
    return producer->attempt << 8 | (uint64_t)(producer - clients->producers);
}

static struct replication_producer *producer_of(struct replication_clients *clients, uint64_t number)
{
    struct replication_producer *producer = &clients->producers[number & 0xff];

    return producer->is_busy && producer->attempt == number >> 8 ? producer : NULL;
}

static void try_now(void *user, uint64_t number);
static void wait_is_over(void *user, uint64_t number);

static void attempt(struct replication_clients *clients, struct replication_producer *producer, uint64_t mean_us)
{
    producer->attempt++;
    sim_at(clients->sim, later_us(clients, mean_us), try_now, clients, number_of(clients, producer));
}

static void go_on_as_another(struct replication_producer *producer)
{
    producer->ids[producer->request.place] = -1;
}

static void give_up(struct replication_clients *clients, struct replication_producer *producer)
{
    SIM_SOMETIMES("a producer gave up");
    clients->given_up++;
    producer->is_busy = false;
    if (producer->is_idempotent) go_on_as_another(producer);
}

static void again(struct replication_clients *clients, struct replication_producer *producer)
{
    producer->is_lost = true;
    if (sim_now_us(clients->sim) >= producer->request.until_us) give_up(clients, producer);
    else attempt(clients, producer, AGAIN_MEAN_US);
}

static void try_now(void *user, uint64_t number)
{
    struct replication_clients *clients = user;
    struct replication_producer *producer = producer_of(clients, number);
    const struct watch_partition *partition;
    struct replication_process *process;
    struct replication_route *route;
    uint8_t batch[REPLICATION_BATCH_MAX];

    if (producer == NULL) return;
    partition = &clients->watch->partitions[producer->request.place];
    route = &producer->routes[producer->request.place];
    if (producer->is_lost || route->leader == NOBODY) ask_for_route(clients, partition, route);
    producer->is_lost = false;
    process = route->leader == NOBODY ? NULL : process_at(clients, route->leader);
    if (process == NULL) {
        again(clients, producer);
        return;
    }
    sim_at(clients->sim, sim_now_us(clients->sim) + PATIENCE_US, wait_is_over, clients, number);
    if (sim_random_chance(chance(clients), clients->lost_ppm)) return;
    memcpy(batch, producer->batch, producer->size);
    replication_produce(process, &partition->topic_id, partition->number, route->epoch, producer->request.acks, number, batch, producer->size);
    metadata_process_drain(replication_process_metadata(process));
}

/* No answer came in time. */
static void wait_is_over(void *user, uint64_t number)
{
    struct replication_clients *clients = user;
    struct replication_producer *producer = producer_of(clients, number);

    if (producer == NULL) return;
    SIM_SOMETIMES("a producer got no answer");
    if (producer->is_idempotent) {
        again(clients, producer);
        return;
    }
    clients->unknown++;
    producer->is_busy = false;
}

void replication_clients_produce(struct replication_clients *clients, uint32_t number, uint32_t place, uint64_t patience_us)
{
    struct replication_producer *producer = &clients->producers[number];
    uint64_t draw = random_below(chance(clients), 1000000);

    if (producer->is_busy) return;
    producer->is_busy = true;
    producer->is_idempotent = number % 2 == 0;
    producer->request = (struct replication_request){.place = place, .acks = -1, .producer_id = -1, .until_us = sim_now_us(clients->sim) + patience_us};
    if (draw < clients->acks_ppm[0]) producer->request.acks = 0;
    else if (draw < clients->acks_ppm[0] + clients->acks_ppm[1]) producer->request.acks = 1;
    if (producer->request.acks == 0) producer->is_idempotent = false;
    if (producer->is_idempotent) {
        if (producer->ids[place] < 0) {
            producer->ids[place] = clients->next_id++;
            producer->sequences[place] = 0;
        }
        producer->request.producer_id = producer->ids[place];
        producer->request.sequence = producer->sequences[place];
    }
    build(clients, producer);
    clients->asked++;
    attempt(clients, producer, WAY_MEAN_US);
}

uint32_t replication_clients_busy(const struct replication_clients *clients)
{
    uint32_t busy = 0;

    for (uint32_t i = 0; i < clients->producer_count; i++)
        busy += clients->producers[i].is_busy;
    return busy;
}

/* ---- answers ---- */

/* Where the batch is that an answer tells of. Retention takes what is committed, and nothing else: a producer that repeats itself hears of it all the same. */
static const struct watch_batch *promised(const struct watch_partition *partition, uint32_t host, const struct replication_answer *answer)
{
    const struct watch_log *log = &partition->logs[host];
    uint64_t start = log->count > 0 ? log->batches[0].base : log->end;
    bool is_retired = answer->is_duplicate && answer->base_offset < start;

    return watch_log_find(answer->is_committed || is_retired ? &partition->truth : log, answer->base_offset);
}

/* What an acknowledgement promises holds at the moment in which it is given. */
static void check_promise(struct replication_clients *clients, struct replication_process *process, struct replication_producer *producer,
                          const struct replication_answer *answer)
{
    const struct replication_request *request = &producer->request;
    struct watch_partition *partition = &clients->watch->partitions[request->place];
    uint32_t host = sim_host_index(replication_process_host(process));
    const struct watch_batch *batch = promised(partition, host, answer);

    if (batch != NULL && batch->base == answer->base_offset && batch->crc == request->crc) return;
    if (partition->is_excused && answer->leader_epoch < partition->reset_leader_epoch) return; /* somebody leads already with a loss, and this is part of it */
    sim_fail(clients->sim, "S1 what is acknowledged is there", "p%u: h%u acknowledges (acks %d) %llu in epoch %d, %08x; there %s %08x of epoch %d", request->place, host,
             request->acks, (ull)answer->base_offset, answer->leader_epoch, request->crc, batch == NULL ? "nothing is committed:" : "is",
             batch == NULL ? 0 : batch->crc, batch == NULL ? -1 : batch->epoch);
}

/* An answer that got lost is true all the same. */
static bool is_of_a_retry(const struct replication_producer *producer, const struct replication_answer *answer)
{
    return producer->attempt != answer->request >> 8;
}

static void check_order(struct replication_clients *clients, struct replication_producer *producer, const struct replication_answer *answer)
{
    uint64_t *end = &producer->acked_end[producer->request.place];

    if (!answer->is_committed || clients->watch->partitions[producer->request.place].is_excused) return;
    if (answer->base_offset < *end && producer->is_idempotent && !answer->is_duplicate)
        sim_fail(clients->sim, "a producer's records keep their order", "p%u: %llu after %llu", producer->request.place, (ull)answer->base_offset, (ull)*end);
    if (answer->base_offset + 1 > *end) *end = answer->base_offset + 1;
}

static void taken(struct replication_clients *clients, struct replication_producer *producer, const struct replication_answer *answer)
{
    check_order(clients, producer, answer);
    clients->acknowledged++;
    clients->acknowledged_of[producer->request.place]++;
    SIM_SOMETIMES_IF(answer->is_duplicate, "a producer learnt late that its batch had arrived");
    producer->is_busy = false;
}

/* Refused: of an idempotent batch it is asked again; any other one is nowhere, and stays so. */
static void refused(struct replication_clients *clients, struct replication_producer *producer, int error)
{
    SIM_SOMETIMES_IF(error == MESH_ENOT_ENOUGH_REPLICAS, "too few replicas were in sync for a batch");
    SIM_SOMETIMES_IF(error == MESH_EUNCOMMITTED, "a broker did not know what became of a batch");
    if (error == MESH_EOUT_OF_ORDER_SEQUENCE || error == MESH_EPRODUCER_FENCED) {
        SIM_SOMETIMES("a producer had to begin anew");
        give_up(clients, producer);
        return;
    }
    if ((error == MESH_EUNCOMMITTED || error == MESH_ESTORAGE) && !producer->is_idempotent) {
        clients->unknown++;
        producer->is_busy = false;
        return;
    }
    clients->refused++;
    again(clients, producer);
}

/* The answer arrives. */
static void arrives(struct replication_clients *clients, struct replication_producer *producer, const struct replication_answer *answer)
{
    if (answer->error == 0) taken(clients, producer, answer);
    else refused(clients, producer, answer->error);
}

void replication_clients_answered(struct replication_clients *clients, struct replication_process *process, const struct replication_answer *answer)
{
    struct replication_producer *producer = &clients->producers[answer->request & 0xff];

    if (sim_host_is_dying(replication_process_host(process)) || !producer->is_busy) return;
    if (is_of_a_retry(producer, answer)) return;
    if (answer->error == 0 && producer->request.acks != 0) check_promise(clients, process, producer, answer);
    if (sim_random_chance(chance(clients), clients->lost_ppm)) return;
    arrives(clients, producer, answer);
}

/* ---- consuming ---- */

void replication_clients_consume(struct replication_clients *clients, uint32_t place)
{
    struct watch_partition *partition = &clients->watch->partitions[place];
    struct replication_route *route = &clients->routes[place];
    struct replication_process *process;
    uint64_t *offset = &clients->offsets[place], high_watermark = 0, next;
    int err;

    ask_for_route(clients, partition, route);
    process = route->leader == NOBODY ? NULL : process_at(clients, route->leader);
    if (process == NULL) return;
    buffer_clear(&clients->bytes);
    err = replication_fetch(process, &partition->topic_id, partition->number, route->epoch, *offset, READ_BYTES, &clients->bytes, &high_watermark);
    metadata_process_drain(replication_process_metadata(process));
    if (err == MESH_EOFFSET_OUT_OF_RANGE) {
        struct replication_replica *replica = replication_process_find(process, &partition->topic_id, partition->number);

        /* What retention or somebody who deletes took may be gone; never what lies ahead of it: that was there once. */
        if (*offset >= replica->replica.partition.first && !partition->is_excused)
            sim_fail(clients->sim, "S3 readers see what is committed", "p%u: %llu is out of range at h%u, which has up to %llu", place, (ull)*offset, route->leader,
                     (ull)replica->replica.partition.high_watermark);
        *offset = replica->replica.partition.first;
        return;
    }
    if (err != 0) return;
    replication_watch_deletions(clients->watch, replication_process_find(process, &partition->topic_id, partition->number), *offset);
    next = replication_watch_read(clients->watch, partition, route->leader, *offset, buffer_slice(&clients->bytes));
    clients->read += next - *offset;
    *offset = next;
}
