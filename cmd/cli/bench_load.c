#include "cmd/cli/bench_load.h"

#include "base/clock.h"
#include "cmd/cli/interrupt.h"

#include <poll.h>
#include <stdlib.h>
#include <time.h>

#define BURST_BYTES    (256u << 10) /* sent between two polls, at most */
#define BURST_RECORDS  1024u
#define SLOTS_PER_SLAB 1024
#define SAMPLES_PER_SECOND_MAX                                                                               \
    100000 /* of a scheduled load: enough for p99.99, cheap enough to not matter                             \
            */

/* ---- times of records on their way ---- */

struct bench_slot {
    struct bench_load *load;
    uint64_t since_ns; /* sent, or due */
    struct bench_slot *next_free;
};

struct bench_slab {
    struct bench_slab *next;
    struct bench_slot slots[SLOTS_PER_SLAB];
};

struct bench_slots {
    struct bench_slot unmeasured; /* what all records share that are not measured */
    struct bench_slot *free_slots;
    struct bench_slab *slabs; /* owned; grow to the most that were ever on their way at once */
};

static void slots_free(struct bench_slots *slots)
{
    if (slots == NULL) return;
    while (slots->slabs != NULL) {
        struct bench_slab *next = slots->slabs->next;
        free(slots->slabs);
        slots->slabs = next;
    }
    free(slots);
}

/* A slot for a measured record, or NULL when there is no memory: the record is then not measured. */
static struct bench_slot *take_slot(struct bench_load *load)
{
    struct bench_slots *slots = load->slots;
    struct bench_slot *slot;

    if (slots->free_slots == NULL) {
        struct bench_slab *slab = calloc(1, sizeof(*slab));
        if (slab == NULL) return NULL;
        slab->next = slots->slabs;
        slots->slabs = slab;
        for (size_t i = 0; i < SLOTS_PER_SLAB; i++) {
            slab->slots[i].load = load;
            slab->slots[i].next_free = slots->free_slots;
            slots->free_slots = &slab->slots[i];
        }
    }
    slot = slots->free_slots;
    slots->free_slots = slot->next_free;
    return slot;
}

static void give_slot(struct bench_load *load, struct bench_slot *slot)
{
    slot->next_free = load->slots->free_slots;
    load->slots->free_slots = slot;
}

/* ---- answers ---- */

static void take_answer(void *user, const struct mesh_receipt *receipt)
{
    struct bench_slot *slot = user;
    struct bench_load *load = slot->load;

    if (receipt->status == MESH_DELIVERED) {
        load->delivered++;
        if (receipt->replicas_synced < load->replicas_synced)
            load->replicas_synced = receipt->replicas_synced;
    } else {
        if (load->first_error == 0) load->first_error = receipt->error;
        if (receipt->status == MESH_DELIVERY_UNKNOWN)
            load->unknown++;
        else
            load->failed++;
    }
    if (slot == &load->slots->unmeasured) return;
    if (receipt->status == MESH_DELIVERED)
        histogram_record(&load->latency, clock_monotonic_ns() - slot->since_ns);
    give_slot(load, slot);
}

/* ---- sending ---- */

/* Sends record number load->sent; since_ns 0: not measured. Waits while the memory limit is reached. */
static int send_one(struct bench_load *load, uint64_t since_ns)
{
    struct bench_slot *slot = since_ns != 0 ? take_slot(load) : NULL;
    int err;

    if (slot == NULL)
        slot = &load->slots->unmeasured;
    else
        slot->since_ns = since_ns;
    load->record.value = bench_value(load->bench, load->sent);
    while ((err = mesh_producer_send(load->producer, &load->record, take_answer, slot)) == MESH_EQUEUEFULL) {
        err = mesh_client_poll(load->bench->session.client, INTERRUPT_LOOK_MS);
        if (err != 0) break;
    }
    if (err == 0) {
        load->sent++;
    } else {
        if (load->first_error == 0) load->first_error = err;
        load->failed++;
        if (slot != &load->slots->unmeasured) give_slot(load, slot);
    }
    return err;
}

static bool must_stop(const struct bench_load *load, uint64_t now_ns)
{
    if (interrupt_signal() != 0 || load->first_error != 0) return true;
    return load->sent >= load->options.records || now_ns - load->start_ns >= load->options.duration_ns;
}

static int run_flat_out(struct bench_load *load)
{
    uint64_t burst = load->bench->record_size > 0 ? BURST_BYTES / load->bench->record_size : BURST_RECORDS;
    int err = 0;

    if (burst > BURST_RECORDS) burst = BURST_RECORDS;
    if (burst == 0) burst = 1;
    while (err == 0) {
        uint64_t now_ns = clock_monotonic_ns(), end;
        if (must_stop(load, now_ns)) break;
        end = load->options.records - load->sent < burst ? load->options.records : load->sent + burst;
        while (err == 0 && load->sent < end) {
            bool is_measured = (load->sent & (BENCH_SAMPLE_EVERY - 1)) == 0;
            err = send_one(load, is_measured ? clock_monotonic_ns() : 0);
        }
        if (err == 0) err = mesh_client_poll(load->bench->session.client, 0);
    }
    return load->first_error != 0 ? 0 : err;
}

/* Waits for answers until due_ns, with the precision of the clock and not of a millisecond. */
static void wait_until(const struct bench_load *load, uint64_t due_ns)
{
    struct pollfd fd = {.fd = mesh_client_fd(load->bench->session.client), .events = POLLIN};
    int client_ms = mesh_client_timeout_ms(load->bench->session.client);
    uint64_t now_ns = clock_monotonic_ns(), wait_ns;
    struct timespec wait;

    if (due_ns <= now_ns) return;
    wait_ns = due_ns - now_ns;
    if (client_ms >= 0 && (uint64_t)client_ms * 1000000 < wait_ns) wait_ns = (uint64_t)client_ms * 1000000;
    wait =
        (struct timespec){.tv_sec = (time_t)(wait_ns / 1000000000), .tv_nsec = (long)(wait_ns % 1000000000)};
    (void)ppoll(&fd, 1, &wait, NULL); /* woken early by whatever: the caller looks at the clock */
}

/* When record number `index` is due. */
static uint64_t due_at(const struct bench_load *load, uint64_t index)
{
    uint64_t rate = load->options.rate;

    return load->start_ns + index / rate * 1000000000 + index % rate * 1000000000 / rate;
}

static int run_scheduled(struct bench_load *load)
{
    uint64_t every = load->options.rate / SAMPLES_PER_SECOND_MAX + 1;
    int err = 0;

    while (err == 0) {
        uint64_t now_ns = clock_monotonic_ns();
        if (must_stop(load, now_ns)) break;
        for (unsigned i = 0; err == 0 && i < BURST_RECORDS && load->sent < load->options.records; i++) {
            uint64_t due_ns = due_at(load, load->sent);
            if (due_ns > now_ns) break;
            err = send_one(load, load->sent % every == 0 ? due_ns : 0);
        }
        if (err == 0) err = mesh_client_poll(load->bench->session.client, 0);
        if (err == 0) wait_until(load, due_at(load, load->sent));
        if (err == 0) err = mesh_client_poll(load->bench->session.client, 0);
    }
    return load->first_error != 0 ? 0 : err;
}

int bench_load_run(struct bench_load *load, const struct bench *bench, struct mesh_producer *producer,
                   const struct bench_load_options *options)
{
    int err;

    load->bench = bench;
    load->producer = producer;
    load->options = *options;
    load->record = (struct mesh_record){.value_size = bench->record_size, .partition = MESH_PARTITION_ANY};
    load->sent = load->delivered = load->failed = load->unknown = 0;
    load->first_error = 0;
    load->replicas_synced = UINT32_MAX;
    histogram_init(&load->latency);
    if (load->slots == NULL) load->slots = calloc(1, sizeof(*load->slots));
    if (load->slots == NULL) return MESH_ENOMEM;
    load->slots->unmeasured.load = load;
    load->start_ns = clock_monotonic_ns();
    err = options->rate > 0 ? run_scheduled(load) : run_flat_out(load);
    /* Every record has a delivery timeout: this ends. */
    while (err == 0 && mesh_producer_queued_records(producer) > 0)
        err = mesh_client_poll(bench->session.client, INTERRUPT_LOOK_MS);
    load->end_ns = clock_monotonic_ns();
    return err;
}

void bench_load_deinit(struct bench_load *load)
{
    slots_free(load->slots);
    load->slots = NULL;
}
