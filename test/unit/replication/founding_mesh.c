#include "founding_mesh.h"

#include <check.h>
#include <stdio.h>

static struct net_address address_of(unsigned broker)
{
    return (struct net_address){{[10] = 0xff, [11] = 0xff, [12] = 10, [15] = (uint8_t)(broker + 1)}, 9092};
}

static void set_identity(struct founding_options *options, unsigned broker, uint8_t life)
{
    options->self = (struct raft_server){{{(uint8_t)(broker + 1), life}}, {{(uint8_t)(0x80 + broker), life}}};
    options->fresh_cluster = (struct uuid){{0xc0, (uint8_t)broker, life}};
    options->seed = broker * 16u + life;
}

void founding_mesh_init(struct founding_mesh *mesh, unsigned size, uint32_t expect)
{
    memset(mesh, 0, sizeof(*mesh));
    mesh->now_us = 1000000;
    mesh->size = size;
    for (unsigned i = 0; i < size; i++) {
        struct founding_options *options = &mesh->brokers[i].options;
        founding_options_init(options);
        options->expect = expect;
        options->address.port = 9092;
        set_identity(options, i, 1);
    }
}

void founding_mesh_deinit(struct founding_mesh *mesh)
{
    for (unsigned i = 0; i < mesh->size; i++)
        founding_free(mesh->brokers[i].founding);
    buffer_deinit(&mesh->mail);
}

/* ---- mail: from, to, size, bytes ---- */

static void post(struct founding_mesh *mesh, unsigned from, const struct founding_output *output)
{
    uint32_t header[3] = {from, (uint32_t)output->address.ip[15] - 1, (uint32_t)output->message.size};

    ck_assert_int_eq(buffer_append(&mesh->mail, header, sizeof(header)), 0);
    ck_assert_int_eq(buffer_append(&mesh->mail, output->message.data, output->message.size), 0);
}

static void keep_line(struct founding_mesh_broker *broker, const struct founding_output *output)
{
    size_t at = strlen(broker->log);

    ck_assert_uint_lt(at + FOUNDING_TEXT_MAX, sizeof(broker->log));
    snprintf(broker->log + at, sizeof(broker->log) - at, "%s | %s\n", output->text, output->cure);
}

static void carry_out(struct founding_mesh *mesh, unsigned number, const struct founding_output *output, uint64_t *stored, bool *marked)
{
    struct founding_mesh_broker *broker = &mesh->brokers[number];

    switch (output->type) {
    case FOUNDING_OUTPUT_SEND: post(mesh, number, output); break;
    case FOUNDING_OUTPUT_STORE:
        broker->pending_store = output->store;
        broker->pending_state = *output->state;
        if (!broker->is_disk_slow) *stored = output->store;
        break;
    case FOUNDING_OUTPUT_MARK: *marked = broker->is_marked = true; break;
    case FOUNDING_OUTPUT_LOG: keep_line(broker, output); break;
    case FOUNDING_OUTPUT_DONE:
        ck_assert(!broker->is_done);
        broker->is_done = true;
        broker->is_founder = output->is_founder;
        broker->value = output->value;
        break;
    }
}

static void write_pending(struct founding_mesh_broker *broker)
{
    broker->disk = broker->pending_state;
    broker->has_disk = true;
    broker->pending_store = 0;
}

static void drain(struct founding_mesh *mesh, unsigned number)
{
    struct founding_mesh_broker *broker = &mesh->brokers[number];
    struct founding_output output;
    uint64_t stored;
    bool marked;

    do {
        stored = 0;
        marked = false;
        while (founding_next_output(broker->founding, mesh->now_us, &output))
            carry_out(mesh, number, &output, &stored, &marked);
        if (stored != 0) {
            write_pending(broker);
            founding_stored(broker->founding, mesh->now_us, stored);
        }
        if (marked) founding_marked(broker->founding, mesh->now_us, 0);
    } while (stored != 0 || marked);
}

static void deliver(struct founding_mesh *mesh)
{
    while (mesh->mail.size > 0) {
        uint32_t header[3];
        struct net_address source;
        uint8_t bytes[16384];
        memcpy(header, mesh->mail.data, sizeof(header));
        ck_assert_uint_le(header[2], sizeof(bytes));
        memcpy(bytes, mesh->mail.data + sizeof(header), header[2]);
        buffer_consume(&mesh->mail, sizeof(header) + header[2]);
        if (header[1] >= mesh->size || mesh->brokers[header[1]].founding == NULL) continue;
        if (mesh->brokers[header[0]].is_cut || mesh->brokers[header[1]].is_cut || mesh->blocked[header[0]] >> header[1] & 1) continue;
        source = address_of(header[0]);
        founding_receive(mesh->brokers[header[1]].founding, mesh->now_us, &mesh->brokers[header[0]].options.self.broker, &source,
                         slice_of(bytes, header[2]));
        drain(mesh, header[1]);
    }
}

void founding_mesh_start(struct founding_mesh *mesh, unsigned number)
{
    struct founding_mesh_broker *broker = &mesh->brokers[number];
    struct net_address seeds[MESH_SIZE_MAX];

    broker->options.seed += 0x100; /* no two starts draw the same */
    ck_assert_int_eq(founding_new(&broker->options, broker->has_disk ? &broker->disk : NULL, mesh->now_us, &broker->founding), 0);
    for (unsigned i = 0; i < mesh->size; i++)
        seeds[i] = address_of(i);
    broker->is_done = false;
    if (broker->options.mode == FOUNDING_JOIN) founding_set_seeds(broker->founding, mesh->now_us, seeds, mesh->size);
    drain(mesh, number);
}

void founding_mesh_start_all(struct founding_mesh *mesh)
{
    for (unsigned i = 0; i < mesh->size; i++)
        founding_mesh_start(mesh, i);
}

void founding_mesh_kill(struct founding_mesh *mesh, unsigned number)
{
    founding_free(mesh->brokers[number].founding);
    mesh->brokers[number].founding = NULL;
    mesh->brokers[number].pending_store = 0;
}

void founding_mesh_wipe(struct founding_mesh *mesh, unsigned number)
{
    struct founding_mesh_broker *broker = &mesh->brokers[number];

    ck_assert_ptr_null(broker->founding);
    broker->has_disk = broker->is_done = false;
    set_identity(&broker->options, number, (uint8_t)(broker->options.self.broker.bytes[1] + 1));
}

void founding_mesh_finish_store(struct founding_mesh *mesh, unsigned number)
{
    struct founding_mesh_broker *broker = &mesh->brokers[number];
    uint64_t store = broker->pending_store;

    ck_assert_uint_ne(store, 0);
    write_pending(broker);
    founding_stored(broker->founding, mesh->now_us, store);
    drain(mesh, number);
    deliver(mesh);
}

void founding_mesh_run(struct founding_mesh *mesh, uint64_t us)
{
    uint64_t end_us = mesh->now_us + us;

    for (;;) {
        uint64_t due_us = FOUNDING_NEVER;
        for (unsigned i = 0; i < mesh->size; i++) {
            uint64_t own_us = mesh->brokers[i].founding == NULL ? FOUNDING_NEVER : founding_due_us(mesh->brokers[i].founding);
            if (own_us < due_us) due_us = own_us;
        }
        if (due_us > end_us) break;
        if (due_us > mesh->now_us) mesh->now_us = due_us;
        for (unsigned i = 0; i < mesh->size; i++) {
            struct founding *founding = mesh->brokers[i].founding;
            if (founding == NULL || founding_due_us(founding) > mesh->now_us) continue;
            founding_tick(founding, mesh->now_us);
            drain(mesh, i);
        }
        deliver(mesh);
        mesh->now_us += 1000;
    }
    mesh->now_us = end_us;
}

unsigned founding_mesh_done_count(const struct founding_mesh *mesh)
{
    unsigned count = 0;

    for (unsigned i = 0; i < mesh->size; i++)
        count += mesh->brokers[i].is_done;
    return count;
}
