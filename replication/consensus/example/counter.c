/* example/counter.c - see counter.h. */
#include "replication/consensus/example/counter.h"

#include "base/bytes.h"
#include "base/clock.h"
#include "base/crc32c.h"
#include "base/error.h"

#include <stdio.h>
#include <stdlib.h>

#define SNAPSHOT_EVERY 50 /* entries */
#define READS_MAX      COUNTER_SERVERS

struct counter {
    struct counter_events events;
    struct raft *raft;
    struct raft_store *store;
    struct raft_position applied;
    uint64_t value;
    uint64_t snapshot_index;
    struct raft_output reads[READS_MAX]; /* parts of the snapshot that others want */
    size_t read_count;
    unsigned leader;
};

/* Good against accidents. Where servers may be malicious, a cryptographic hash belongs here. */
static void chain(const uint8_t previous[RAFT_CHAIN_SIZE], const struct raft_entry *entry, uint8_t ret_chain[RAFT_CHAIN_SIZE])
{
    uint8_t place[24];

    le_store64(place, entry->index);
    le_store64(place + 8, entry->term);
    le_store64(place + 16, (uint64_t)entry->type);
    for (uint32_t i = 0; i < RAFT_CHAIN_SIZE; i += 4) {
        uint32_t crc = crc32c_extend(i + 1, previous, RAFT_CHAIN_SIZE);
        crc = crc32c_extend(crc, place, sizeof(place));
        le_store32(ret_chain + i, entry->body.size == 0 ? crc : crc32c_extend(crc, entry->body.data, entry->body.size));
    }
}

static struct raft_server server(unsigned id)
{
    return (struct raft_server){{{(uint8_t)id}}, {{(uint8_t)id}}};
}

uint64_t counter_now_us(void)
{
    return clock_monotonic_ns() / 1000;
}

/* ---- the state: one number ---- */

static void apply(struct counter *counter, const struct raft_entry *entry)
{
    if (entry->type == RAFT_ENTRY_COMMAND && entry->body.size == 8) counter->value += le_load64(entry->body.data);
    counter->applied.index = entry->index;
    counter->applied.term = entry->term;
    memcpy(counter->applied.chain, entry->chain, RAFT_CHAIN_SIZE);
    counter->events.applied(counter->events.user, entry->index, entry->term, counter->value);
}

static int restore(struct counter *counter)
{
    struct raft_config config;
    uint8_t bytes[8];
    uint64_t total;
    size_t size;
    int err = raft_store_snapshot_info(counter->store, &counter->applied, &config, &total);

    if (err == 0) err = raft_store_snapshot_read(counter->store, 0, 0, bytes, sizeof(bytes), &size);
    if (err == 0 && size != sizeof(bytes)) err = MESH_ECORRUPT;
    if (err != 0) return err;
    counter->value = le_load64(bytes);
    counter->snapshot_index = counter->applied.index;
    return 0;
}

/* All that is committed has been applied, so the committed configuration is the one at this place. */
static int snapshot(struct counter *counter)
{
    uint8_t bytes[8];
    int err;

    if (counter->applied.index < counter->snapshot_index + SNAPSHOT_EVERY) return 0;
    le_store64(bytes, counter->value);
    err = raft_store_snapshot_begin(counter->store, &counter->applied, raft_get_committed_config(counter->raft));
    if (err == 0) err = raft_store_snapshot_write(counter->store, slice_of(bytes, sizeof(bytes)));
    if (err == 0) err = raft_store_snapshot_end(counter->store);
    if (err != 0) return err == MESH_EFULL ? 0 : err; /* the log is there */
    counter->snapshot_index = counter->applied.index;
    raft_compact(counter->raft, counter_now_us(), counter->snapshot_index);
    return 0;
}

/* ---- outputs ---- */

/* *ret_stored: the highest store that is durable and was not told to the core yet. */
static int store_chunk(struct counter *counter, const struct raft_output *output, uint64_t *ret_stored, uint64_t *ret_refused)
{
    int err = raft_store_snapshot_chunk(counter->store, &output->position, output->config, output->offset, output->message,
                                        output->total, output->is_last);

    if (err == MESH_ECORRUPT || err == MESH_EAGAIN || err == MESH_EFULL) {
        *ret_refused = output->store;
        return 0;
    }
    if (err == 0) *ret_stored = output->store;
    return err;
}

static int carry_out(struct counter *counter, const struct raft_output *output, uint64_t *stored, uint64_t *refused)
{
    int err = 0;

    switch (output->type) {
    case RAFT_OUTPUT_SEND:
        counter->events.send(counter->events.user, output->to.broker.bytes[0], output->message);
        return 0;
    case RAFT_OUTPUT_STORE_STATE:
        err = raft_store_set_state(counter->store, output->term, &output->voted_for, output->damaged_until);
        if (err == 0) *stored = output->store;
        return err;
    case RAFT_OUTPUT_STORE_ENTRIES:
        err = raft_store_append(counter->store, output->entries, output->entry_count);
        if (err == 0) *stored = output->store;
        return err;
    case RAFT_OUTPUT_STORE_CHUNK:
        return store_chunk(counter, output, stored, refused);
    case RAFT_OUTPUT_COMMIT:
        for (size_t i = 0; i < output->entry_count; i++)
            apply(counter, &output->entries[i]);
        raft_store_note_committed(counter->store, counter->applied.index);
        return 0;
    case RAFT_OUTPUT_RESTORE:
        return restore(counter);
    case RAFT_OUTPUT_ROLE:
        counter->leader = output->leader.broker.bytes[0];
        return 0;
    case RAFT_OUTPUT_READ:
        counter->events.read(counter->events.user, output->context, output->index);
        return 0;
    case RAFT_OUTPUT_SNAPSHOT_READ:
        if (counter->read_count < READS_MAX) counter->reads[counter->read_count++] = *output;
        return 0;
    }
    return 0;
}

static void answer_reads(struct counter *counter)
{
    for (size_t i = 0; i < counter->read_count; i++) {
        const struct raft_output *read = &counter->reads[i];
        uint8_t bytes[8];
        size_t size = 0;
        int err = raft_store_snapshot_read(counter->store, 0, read->offset, bytes, sizeof(bytes), &size);
        raft_snapshot_bytes(counter->raft, counter_now_us(), &read->to, counter->snapshot_index, read->offset, slice_of(bytes, size),
                            sizeof(bytes), err);
    }
    counter->read_count = 0;
}

int counter_run(struct counter *counter)
{
    bool is_busy = true;

    raft_tick(counter->raft, counter_now_us());
    while (is_busy) {
        uint64_t stored = 0, refused = 0;
        struct raft_output output;
        int err = 0;
        while (err == 0 && raft_next_output(counter->raft, counter_now_us(), &output))
            err = carry_out(counter, &output, &stored, &refused);
        if (err == 0) err = snapshot(counter);
        if (err != 0) return err;
        is_busy = stored != 0 || refused != 0 || counter->read_count != 0;
        if (refused != 0) raft_chunk_refused(counter->raft, counter_now_us(), refused);
        if (stored > refused) raft_stored(counter->raft, counter_now_us(), stored);
        answer_reads(counter);
    }
    return 0;
}

/* ---- life ---- */

static int found(struct counter *counter)
{
    struct raft_config config = {.voter_count = COUNTER_SERVERS};

    for (unsigned id = 1; id <= COUNTER_SERVERS; id++)
        config.voters[id - 1] = server(id);
    return raft_bootstrap(counter->raft, counter_now_us(), &config, (struct slice){NULL, 0});
}

/* The core takes what the store recovered before any other call of the store takes it back. */
static int begin(struct counter *counter, unsigned id, const struct raft_recovered *recovered)
{
    bool has_snapshot = recovered->snapshot.index != 0, is_empty = !has_snapshot && recovered->entry_count == 0 && recovered->damaged_until == 0;
    struct raft_options options;
    int err;

    raft_options_init(&options);
    options.self = server(id);
    options.seed = counter_now_us() + id;
    options.heartbeat_us = 50000;
    options.election_min_us = 400000;
    options.election_max_us = 800000;
    options.retained_bytes_max = 1000; /* so that the one who was away meets a snapshot */
    options.chain = chain;
    err = raft_new(&options, recovered, counter_now_us(), &counter->raft);
    if (err == 0 && has_snapshot) err = restore(counter);
    return err == 0 && is_empty ? found(counter) : err;
}

int counter_open(struct fs *fs, unsigned id, const struct counter_events *events, struct counter **ret_counter, char *message,
                 size_t message_size)
{
    struct counter *counter = calloc(1, sizeof(*counter));
    const struct raft_recovered *recovered;
    struct raft_store_report report;
    struct raft_server self = server(id);
    int err;

    if (counter == NULL) return MESH_ENOMEM;
    counter->events = *events;
    err = raft_store_open(fs, "consensus", &self, chain, &counter->store, &recovered, &report, message, message_size);
    if (err == 0) {
        err = begin(counter, id, recovered);
        if (err != 0) snprintf(message, message_size, "what the store holds cannot be used: %s", mesh_strerror(err));
    }
    if (err != 0) {
        counter_close(counter);
        return err;
    }
    *ret_counter = counter;
    return 0;
}

void counter_close(struct counter *counter)
{
    if (counter == NULL) return;
    raft_free(counter->raft);
    raft_store_close(counter->store);
    free(counter);
}

void counter_receive(struct counter *counter, unsigned from, struct slice message)
{
    struct raft_server sender = server(from);

    raft_receive(counter->raft, counter_now_us(), &sender, message);
}

int counter_add(struct counter *counter, uint64_t amount, uint64_t *ret_index, uint64_t *ret_term)
{
    uint8_t body[8];

    le_store64(body, amount);
    return raft_propose(counter->raft, counter_now_us(), slice_of(body, sizeof(body)), ret_index, ret_term);
}

int counter_read(struct counter *counter, uint64_t context)
{
    return raft_read(counter->raft, counter_now_us(), context);
}

uint64_t counter_due_us(const struct counter *counter)
{
    return raft_due_us(counter->raft);
}

unsigned counter_leader(const struct counter *counter)
{
    return counter->leader;
}

uint64_t counter_value(const struct counter *counter)
{
    return counter->value;
}

uint64_t counter_applied(const struct counter *counter)
{
    return counter->applied.index;
}
