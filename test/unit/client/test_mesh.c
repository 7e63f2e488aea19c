/* libmesh and several brokers: leaders that are elsewhere, that move, that cannot be reached, and that can be again. */
#include "fake_broker.h"
#include "one_name.h"

#include <mesh/mesh.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/random.h"
#include "support/run_suite.h"

#include <stdio.h>
#include <stdlib.h>

#define BROKERS    3
#define PARTITIONS 6
#define BACK_MS    5000 /* what is promised: so soon after a leader can be reached it is used directly again */

static struct fake_mesh mesh;
static struct mesh_client *client;
static struct mesh_producer *producer;
static struct mesh_consumer *consumer;
#define NOT_LEADING (-2) /* in `mute`: nobody leads, whatever the map says */
static atomic_int mute; /* index of a broker that takes connections and says nothing, or -1 */
static atomic_int refusing; /* index of a broker that stores nothing for want of replicas, or -1 */

static atomic_int blank;    /* index of a broker that knows of no topic: it has not been let into the mesh yet; or -1 */

static enum fake_action keep_mute(void *user, struct fake_broker *broker, enum frame_op op, int *error)
{
    int index = atomic_load(&mute);

    (void)user;
    if (op == FRAME_OP_TOPIC_DESCRIBE && atomic_load(&blank) >= 0 && mesh.brokers[atomic_load(&blank)] == broker) {
        *error = MESH_EUNKNOWN_TOPIC;
        return FAKE_REFUSE;
    }
    if (op == FRAME_OP_PRODUCE && atomic_load(&refusing) >= 0 && mesh.brokers[atomic_load(&refusing)] == broker) {
        *error = MESH_ENOT_ENOUGH_REPLICAS;
        return FAKE_FAIL_EACH;
    }
    *error = MESH_ENOT_LEADER;
    if (index == NOT_LEADING) return op == FRAME_OP_PRODUCE ? FAKE_FAIL_EACH : FAKE_SERVE;
    return index >= 0 && mesh.brokers[index] == broker ? FAKE_SILENT : FAKE_SERVE;
}

static void set_up(void)
{
    atomic_store(&mute, -1);
    atomic_store(&refusing, -1);
    atomic_store(&blank, -1);
    fake_mesh_start(&mesh, BROKERS, PARTITIONS, keep_mute, NULL);
    ck_assert_int_eq(mesh_client_new(mesh.brokers[0]->address, &client), 0);
    ck_assert_int_eq(mesh_producer_new(client, "t", &producer), 0);
    ck_assert_int_eq(mesh_consumer_new(client, &consumer), 0);
}

static void tear_down(void)
{
    mesh_consumer_free(consumer);
    mesh_producer_free(producer);
    mesh_client_free(client);
    fake_mesh_stop(&mesh);
}

/* ---- numbered records ---- */

static unsigned sent[PARTITIONS], delivered, read_count[PARTITIONS];

static void forget(void)
{
    memset(sent, 0, sizeof(sent));
    memset(read_count, 0, sizeof(read_count));
    delivered = 0;
}

static void on_delivery(void *user, const struct mesh_receipt *receipt)
{
    (void)user;
    ck_assert_int_eq(receipt->status, MESH_DELIVERED);
    delivered++;
}

static void send_next(uint32_t partition)
{
    char text[16];
    const struct mesh_record record = {.value = text, .value_size = (size_t)snprintf(text, sizeof(text), "%u", sent[partition]),
                                       .partition = (int32_t)partition};
    int err = mesh_producer_send(producer, &record, on_delivery, NULL);

    ck_assert_int_eq(err, 0);
    sent[partition]++;
}

static unsigned all_sent(void)
{
    unsigned total = 0;

    for (int i = 0; i < PARTITIONS; i++)
        total += sent[i];
    return total;
}

/* Every record of a partition must come next, once. */
static void read_some(int timeout_ms)
{
    struct mesh_consumed records[100];
    size_t count;

    ck_assert_int_eq(mesh_consumer_poll(consumer, records, 100, timeout_ms, &count), 0);
    for (size_t i = 0; i < count; i++) {
        unsigned *next = &read_count[records[i].partition];
        char text[16];
        size_t size = (size_t)snprintf(text, sizeof(text), "%u", *next);

        ck_assert_msg(records[i].value_size == size && memcmp(records[i].value, text, size) == 0, "partition %d: \"%.*s\" instead of %s",
                      records[i].partition, (int)records[i].value_size, (const char *)records[i].value, text);
        (*next)++;
    }
}

static bool is_all_read(void)
{
    for (int i = 0; i < PARTITIONS; i++)
        if (read_count[i] < sent[i]) return false;
    return true;
}

static void expect_all(void)
{
    ck_assert_int_eq(mesh_producer_flush(producer, 30000), 0);
    ck_assert_uint_eq(delivered, all_sent());
    while (!is_all_read())
        read_some(1000);
    for (int i = 0; i < PARTITIONS; i++) /* and none of them twice */
        ck_assert_uint_eq(mesh.brokers[0]->partitions[i].next_offset, sent[i]);
}

static void assign_all(void)
{
    for (int32_t i = 0; i < PARTITIONS; i++)
        ck_assert_int_eq(mesh_consumer_assign(consumer, "t", i, MESH_OFFSET_BEGINNING), 0);
}

static void one_each(void)
{
    for (uint32_t i = 0; i < PARTITIONS; i++)
        send_next(i);
    ck_assert_int_eq(mesh_producer_flush(producer, 30000), 0);
    read_some(0);
}

/* ---- the map ---- */

START_TEST(every_partition_is_used_where_it_is_led)
{
    forget();
    assign_all();
    for (int i = 0; i < 50; i++)
        one_each();
    expect_all();
    ck_assert_uint_eq(atomic_load(&mesh.forwarded), 0);
    ck_assert_uint_eq(atomic_load(&mesh.misdirected), 0);
    for (int i = 0; i < BROKERS; i++)
        ck_assert_uint_gt(atomic_load(&mesh.brokers[i]->frames[FRAME_OP_PRODUCE]), 0);
}
END_TEST

/* Each connection to a name of many brokers reaches another one: what a connection that is in use reached first is what all of that broker's are taken for. */
START_TEST(one_name_of_many_brokers_misleads_nobody)
{
    struct one_name name = {.count = BROKERS};

    for (uint32_t i = 0; i < BROKERS; i++)
        name.ports[i] = (uint16_t)atomic_load(&mesh.brokers[i]->port);
    one_name_start(&name);
    mesh_consumer_free(consumer);
    mesh_producer_free(producer);
    mesh_client_free(client);
    ck_assert_int_eq(mesh_client_new(name.address, &client), 0);
    ck_assert_int_eq(mesh_producer_new(client, "t", &producer), 0);
    ck_assert_int_eq(mesh_consumer_new(client, &consumer), 0);
    forget();
    assign_all();
    for (int i = 0; i < 50; i++)
        one_each();
    expect_all();
    ck_assert_uint_gt(atomic_load(&name.connections), 1);
    ck_assert_uint_eq(atomic_load(&mesh.misdirected), 0);
    one_name_stop(&name);
}
END_TEST

START_TEST(leaders_that_move_are_followed_without_a_storm)
{
    struct random random;
    unsigned describes = 0;

    random_init(&random, 5);
    forget();
    assign_all();
    one_each();
    for (int move = 0; move < 40; move++) {
        fake_mesh_lead(&mesh, (uint32_t)random_below(&random, PARTITIONS), (uint32_t)random_below(&random, BROKERS));
        for (int i = 0; i < 20; i++)
            send_next((uint32_t)random_below(&random, PARTITIONS));
        ck_assert_int_eq(mesh_client_poll(client, 5), 0);
        read_some(0);
    }
    expect_all();
    ck_assert_uint_eq(atomic_load(&mesh.forwarded), 0);
    for (int i = 0; i < BROKERS; i++)
        describes += atomic_load(&mesh.brokers[i]->frames[FRAME_OP_TOPIC_DESCRIBE]);
    ck_assert_uint_lt(describes, 100);
}
END_TEST

static unsigned all_describes(void)
{
    unsigned count = 0;

    for (int i = 0; i < BROKERS; i++)
        count += atomic_load(&mesh.brokers[i]->frames[FRAME_OP_TOPIC_DESCRIBE]);
    return count;
}

/* Whoever leads refuses for a while, and nobody knows of another: asked again and again, but seldom. */
START_TEST(a_wrong_map_is_asked_for_seldom)
{
    uint64_t end_ms;
    unsigned before, after;

    forget();
    one_each();
    before = all_describes();
    atomic_store(&mute, NOT_LEADING);
    end_ms = clock_monotonic_ms() + 3000;
    while (clock_monotonic_ms() < end_ms) {
        send_next(1);
        ck_assert_int_eq(mesh_client_poll(client, 10), 0);
    }
    after = all_describes();
    ck_assert_uint_lt(after - before, 15);
    atomic_store(&mute, -1);
    assign_all();
    expect_all();
}
END_TEST

/* A broker that is cut off from its mesh, or whose metadata have failed, still answers, and names itself. */
START_TEST(who_is_behind_is_not_the_only_one_asked)
{
    uint64_t begin_ms;

    forget();
    assign_all();
    one_each();
    expect_all();
    fake_broker_fall_behind(mesh.brokers[0]);
    for (uint32_t i = 0; i < PARTITIONS; i++)
        if (i % BROKERS == 0) fake_mesh_lead(&mesh, i, 1);
    begin_ms = clock_monotonic_ms();
    one_each();
    ck_assert_int_eq(mesh_producer_flush(producer, 20000), 0);
    ck_assert_uint_lt(clock_monotonic_ms() - begin_ms, 10000);
    expect_all();
}
END_TEST

/* A broker that begins anew with an empty disk answers before its mesh has let it in. */
START_TEST(who_knows_of_nothing_is_not_the_only_one_asked)
{
    forget();
    assign_all();
    one_each();
    expect_all();
    atomic_store(&blank, 0);
    for (uint32_t i = 0; i < PARTITIONS; i++)
        fake_mesh_lead(&mesh, i, 1 + i % 2);
    one_each();
    expect_all(); /* and none of them failed: on_delivery() */
}
END_TEST

static uint64_t produce_by(const char *addresses, int want)
{
    const struct mesh_record record = {.value = "x", .value_size = 1, .partition = 1};
    struct mesh_producer *other_producer;
    struct mesh_client *other;
    struct mesh_receipt receipt;
    uint64_t start_ms = clock_monotonic_ms();

    ck_assert_int_eq(mesh_client_new(addresses, &other), 0);
    ck_assert_int_eq(mesh_producer_new(other, "t", &other_producer), 0);
    ck_assert_int_eq(mesh_produce(other_producer, &record, &receipt), want);
    mesh_producer_free(other_producer);
    mesh_client_free(other);
    return clock_monotonic_ms() - start_ms;
}

/* Nor is it to whoever has never asked another: the given addresses are all that it knows. */
START_TEST(who_knows_of_nothing_is_not_the_only_given_one_asked)
{
    char addresses[100];

    atomic_store(&blank, 0);
    snprintf(addresses, sizeof(addresses), "%s,%s", mesh.brokers[0]->address, mesh.brokers[1]->address);
    produce_by(addresses, 0);
    atomic_store(&mute, 1);
    ck_assert_uint_lt(produce_by(addresses, MESH_EUNKNOWN_TOPIC), 10000); /* who says nothing is not waited for for ever */
    fake_broker_hide(mesh.brokers[1]);
    ck_assert_uint_lt(produce_by(addresses, MESH_EUNKNOWN_TOPIC), 10000);
    fake_broker_show(mesh.brokers[1]);
}
END_TEST

/* ---- who cannot be reached ---- */

enum trouble { REFUSED, SILENT };

static void make_trouble(enum trouble trouble, uint32_t index)
{
    if (trouble == REFUSED) {
        fake_broker_hide(mesh.brokers[index]);
        return;
    }
    atomic_store(&mute, (int)index);
    fake_broker_stop(mesh.brokers[index]); /* its connections break */
    fake_broker_start(mesh.brokers[index]);
}

static void end_trouble(enum trouble trouble, uint32_t index)
{
    if (trouble == REFUSED)
        fake_broker_show(mesh.brokers[index]);
    else
        atomic_store(&mute, -1);
}

/* Sends and reads without a pause until the broker is asked itself; returns after how long. */
static uint64_t until_direct(uint32_t index, enum frame_op op)
{
    uint64_t start_ms = clock_monotonic_ms();
    unsigned before = atomic_load(&mesh.brokers[index]->frames[op]);

    while (atomic_load(&mesh.brokers[index]->frames[op]) == before) {
        ck_assert_uint_lt(clock_monotonic_ms() - start_ms, 2 * BACK_MS);
        for (uint32_t i = 0; i < PARTITIONS; i++)
            send_next(i);
        ck_assert_int_eq(mesh_client_poll(client, 5), 0);
        read_some(0);
    }
    return clock_monotonic_ms() - start_ms;
}

START_TEST(a_leader_out_of_reach_is_used_through_another_and_directly_again_soon)
{
    enum trouble trouble = _i % 2 == 0 ? REFUSED : SILENT;
    uint64_t start_ms, relayed_ms, longest_ms = 0, took_ms;

    forget();
    assign_all();
    if (_i < 2) one_each(); /* else it has never been reached */
    for (int round = 0; round < 2; round++) {
        make_trouble(trouble, 1);
        start_ms = clock_monotonic_ms();
        one_each();
        relayed_ms = clock_monotonic_ms() - start_ms;
        ck_assert_uint_lt(relayed_ms, 2500);
        ck_assert_uint_gt(atomic_load(&mesh.forwarded), 0);
        start_ms = clock_monotonic_ms();
        while (clock_monotonic_ms() < start_ms + 2500) { /* the direct way is tried in between, and delays nobody */
            uint64_t sent_ms = clock_monotonic_ms();

            one_each();
            took_ms = clock_monotonic_ms() - sent_ms;
            if (took_ms > longest_ms) longest_ms = took_ms;
            ck_assert_int_eq(mesh_client_poll(client, 5), 0); /* a pause: as many as the machine can do prove no more */
        }
        ck_assert_uint_lt(longest_ms, 1000); /* less than any attempt that gets no answer */
        end_trouble(trouble, 1);
        took_ms = until_direct(1, FRAME_OP_PRODUCE);
        ck_assert_uint_lt(took_ms, BACK_MS);
        printf("leader %s: relayed after %llu ms, longest delay meanwhile %llu ms, direct again after %llu ms\n",
               trouble == REFUSED ? "refuses" : "is silent", (unsigned long long)relayed_ms, (unsigned long long)longest_ms,
               (unsigned long long)took_ms);
    }
    expect_all();
}
END_TEST

START_TEST(a_reader_goes_the_same_ways)
{
    forget();
    assign_all();
    one_each();
    while (!is_all_read())
        read_some(100);
    fake_broker_hide(mesh.brokers[2]);
    for (int i = 0; i < 20; i++)
        one_each();
    expect_all();
    fake_broker_show(mesh.brokers[2]);
    ck_assert_uint_lt(until_direct(2, FRAME_OP_FETCH), BACK_MS);
    expect_all();
}
END_TEST

START_TEST(offsets_are_found_out_through_another)
{
    forget();
    for (int i = 0; i < 3; i++)
        one_each();
    fake_broker_hide(mesh.brokers[1]);
    ck_assert_int_eq(mesh_consumer_assign(consumer, "t", 1, MESH_OFFSET_END), 0);
    read_some(300);
    read_count[1] = 3;
    send_next(1);
    while (read_count[1] < 4)
        read_some(1000);
}
END_TEST

/* A broker that is stopped in the midst of it keeps its connections and answers nothing; another is elected. Broker 0 is also whom the client
 * has asked for everything so far. */
START_TEST(a_leader_that_falls_silent_is_left_as_soon_as_another_leads)
{
    uint32_t silent = (uint32_t)_i;
    uint64_t start_ms, took_ms;

    forget();
    assign_all();
    one_each();
    while (!is_all_read())
        read_some(100);
    atomic_store(&mute, (int)silent);
    for (uint32_t i = 0; i < PARTITIONS; i++)
        send_next(i);
    start_ms = clock_monotonic_ms();
    while (clock_monotonic_ms() < start_ms + (silent == 1 ? 300 : 1800)) { /* requests are under way there, in doubt after a second */
        ck_assert_int_eq(mesh_client_poll(client, 20), 0);
        read_some(0);
    }
    for (uint32_t i = 0; i < PARTITIONS; i++)
        if (i % BROKERS == silent) fake_mesh_lead(&mesh, i, (silent + 1) % BROKERS);
    ck_assert_int_eq(mesh_producer_flush(producer, 30000), 0);
    while (!is_all_read())
        read_some(1000);
    took_ms = clock_monotonic_ms() - start_ms;
    printf("a silent leader was left after %llu ms\n", (unsigned long long)took_ms);
    ck_assert_uint_lt(took_ms, 3000);
    expect_all();
}
END_TEST

/* One broker takes nothing; records that may go anywhere do not wait for it, those that are for it do. */
/* It comes back at another port, as in a container: the others tell where. */
START_TEST(a_leader_that_moves_to_another_address_is_found)
{
    uint64_t start_ms;
    unsigned before;

    forget();
    assign_all();
    one_each();
    fake_broker_hide(mesh.brokers[1]);
    one_each(); /* through another */
    fake_broker_show_elsewhere(mesh.brokers[1]);
    before = atomic_load(&mesh.brokers[1]->frames[FRAME_OP_PRODUCE]);
    start_ms = clock_monotonic_ms();
    while (atomic_load(&mesh.brokers[1]->frames[FRAME_OP_PRODUCE]) == before) {
        ck_assert_uint_lt(clock_monotonic_ms() - start_ms, 20000);
        one_each();
        ck_assert_int_eq(mesh_client_poll(client, 20), 0);
    }
    printf("at its new address after %llu ms\n", (unsigned long long)(clock_monotonic_ms() - start_ms));
    expect_all();
}
END_TEST

START_TEST(records_without_a_key_go_to_partitions_that_accept)
{
    uint64_t start_ms;

    forget();
    ck_assert_int_eq(mesh_producer_set_partitioner(producer, _i == 0 ? MESH_PARTITIONER_DEFAULT : MESH_PARTITIONER_ROUND_ROBIN), 0);
    ck_assert_int_eq(mesh_producer_set_batch_records_max(producer, 5), 0);
    one_each();
    atomic_store(&refusing, 1);
    send_next(1); /* partitions 1 and 4 are its own */
    send_next(4);
    start_ms = clock_monotonic_ms();
    while (clock_monotonic_ms() < start_ms + 200)
        ck_assert_int_eq(mesh_client_poll(client, 20), 0);
    ck_assert_uint_eq(delivered, PARTITIONS);
    for (int i = 0; i < 500; i++) {
        const struct mesh_record record = {.value = "x", .value_size = 1, .partition = MESH_PARTITION_ANY};
        ck_assert_int_eq(mesh_producer_send(producer, &record, on_delivery, NULL), 0);
    }
    while (delivered < PARTITIONS + 500) {
        ck_assert_uint_lt(clock_monotonic_ms() - start_ms, 20000);
        ck_assert_int_eq(mesh_client_poll(client, 20), 0);
    }
    ck_assert_uint_eq(mesh_producer_queued_records(producer), 2);
    atomic_store(&refusing, -1);
    ck_assert_int_eq(mesh_producer_flush(producer, 30000), 0);
}
END_TEST

START_TEST(when_every_given_address_is_gone_the_others_do)
{
    struct mesh_status *status;

    forget();
    assign_all();
    one_each();
    while (!is_all_read())
        read_some(100);
    fake_broker_hide(mesh.brokers[0]);
    for (uint32_t i = 0; i < PARTITIONS; i++)
        if (i % BROKERS == 0) fake_mesh_lead(&mesh, i, 1);
    for (int i = 0; i < 10; i++)
        one_each();
    ck_assert_int_eq(mesh_status_get(client, &status), 0);
    mesh_status_free(status);
    expect_all();
}
END_TEST

/* Only the broker that was given has been talked to, through two connections, one of which nobody wants now. */
START_TEST(a_broker_that_is_gone_does_not_keep_the_others_from_being_tried)
{
    uint64_t start_ms;

    forget();
    send_next(0);
    ck_assert_int_eq(mesh_producer_flush(producer, 30000), 0);
    fake_broker_hide(mesh.brokers[0]);
    start_ms = clock_monotonic_ms();
    while (clock_monotonic_ms() < start_ms + 30 * (uint64_t)_i)
        ck_assert_int_eq(mesh_client_poll(client, 5), 0);
    fake_mesh_lead(&mesh, 0, 2);
    send_next(0);
    ck_assert_int_eq(mesh_producer_flush(producer, 10000), 0);
    ck_assert_uint_eq(delivered, 2);
}
END_TEST

/* Everything at once, by seed. */
START_TEST(whatever_happens_nothing_is_lost_doubled_or_out_of_order)
{
    struct random random;
    bool is_hidden[BROKERS] = {false};

    random_init(&random, 1000 + (uint64_t)_i);
    forget();
    assign_all();
    for (int step = 0; step < 120; step++) {
        uint32_t index = (uint32_t)random_below(&random, BROKERS);
        unsigned hidden = is_hidden[0] + is_hidden[1] + is_hidden[2];

        switch (random_below(&random, 8)) {
        case 0: fake_mesh_lead(&mesh, (uint32_t)random_below(&random, PARTITIONS), index); break;
        case 1:
            if (is_hidden[index] || hidden == BROKERS - 1) break;
            fake_broker_hide(mesh.brokers[index]);
            is_hidden[index] = true;
            break;
        case 2:
            if (is_hidden[index]) fake_broker_show(mesh.brokers[index]);
            is_hidden[index] = false;
            break;
        case 3:
            if (is_hidden[index]) break;
            fake_broker_stop(mesh.brokers[index]); /* its connections break */
            fake_broker_start(mesh.brokers[index]);
            break;
        default: break;
        }
        for (unsigned i = 0; i < 30; i++)
            send_next((uint32_t)random_below(&random, PARTITIONS));
        ck_assert_int_eq(mesh_client_poll(client, (int)random_below(&random, 40)), 0);
        read_some(0);
    }
    for (int i = 0; i < BROKERS; i++)
        if (is_hidden[i]) fake_broker_show(mesh.brokers[i]);
    expect_all();
}
END_TEST

/* ---- logs that were cut ---- */

static struct mesh_truncation_info cuts[4];
static unsigned cut_count;

static void on_cut(void *user, const struct mesh_truncation_info *info)
{
    (void)user;
    cuts[cut_count++ % 4] = *info;
}

/* Ten records, of which so many are read, and others fetched ahead; then seven of them are lost, and others stand there. */
static void lose_some(unsigned read)
{
    static const char *const others[] = {"x", "x", "x", "x", "x", "x", "x", "x", "x"};
    struct mesh_consumed record;

    forget();
    cut_count = 0;
    for (int i = 0; i < 10; i++) {
        send_next(0);
        ck_assert_int_eq(mesh_producer_flush(producer, 30000), 0);
    }
    for (unsigned i = 0; i < read; i++) {
        size_t count = 0;

        while (count == 0)
            ck_assert_int_eq(mesh_consumer_poll(consumer, &record, 1, 1000, &count), 0);
        ck_assert_int_eq(record.offset, i);
    }
    fake_mesh_lose(&mesh, 0, 1, 3, others, 9);
}

/* From `next` on, one after the other, up to the end: of the leader before, until it is known that another leads, and then of that one. Returns where the
 * former ended, or an error of the poll, less 1. */
static int64_t read_on(int64_t next)
{
    int64_t end = -1;

    while (end < 0 || next < 12) {
        struct mesh_consumed record;
        size_t count;
        int err = mesh_consumer_poll(consumer, &record, 1, 1000, &count);

        if (err != 0) return err - 1;
        if (count == 0) continue;
        if (record.leader_epoch == 8 && end < 0) {
            end = next;
            if (next > 3) next = 3;
        }
        ck_assert_int_eq(record.leader_epoch, end < 0 ? 7 : 8);
        ck_assert_int_eq(record.offset, next);
        next++;
    }
    return end;
}

START_TEST(what_was_read_and_is_lost_is_noticed)
{
    const unsigned read[] = {10, 8, 4, 0};
    int64_t end;

    mesh_consumer_on_truncation(consumer, MESH_TRUNCATION_GO_BACK, on_cut, NULL);
    ck_assert_int_eq(mesh_consumer_assign(consumer, "t", 0, MESH_OFFSET_BEGINNING), 0);
    lose_some(read[_i]);
    end = read_on(read[_i]);
    ck_assert_int_ge(end, read[_i]);
    ck_assert_uint_eq(cut_count, end > 3);
    if (end <= 3) return;
    ck_assert_int_eq(cuts[0].partition, 0);
    ck_assert_int_eq(cuts[0].position, end);
    ck_assert_int_eq(cuts[0].offset, 3);
}
END_TEST

START_TEST(who_wants_to_stops_where_records_were_lost)
{
    int64_t position;

    mesh_consumer_on_truncation(consumer, MESH_TRUNCATION_STOP, on_cut, NULL);
    ck_assert_int_eq(mesh_consumer_assign(consumer, "t", 0, MESH_OFFSET_BEGINNING), 0);
    lose_some(8);
    ck_assert_int_eq(read_on(8), MESH_EOFFSET_OUT_OF_RANGE - 1);
    ck_assert_uint_eq(cut_count, 1);
    ck_assert_int_eq(mesh_consumer_position(consumer, "t", 0, &position), 0);
    ck_assert_int_eq(cuts[0].position, position);
    ck_assert_int_eq(mesh_consumer_seek(consumer, "t", 0, cuts[0].offset), 0);
    ck_assert_int_eq(read_on(3), 3);
    ck_assert_uint_eq(cut_count, 1);
}
END_TEST

/* Three records of epoch 8 and five of epoch 9 are read; then somebody leads whose log parted from that one behind the third, with ten more of epoch 8. It is longer than
 * what was read, and epoch 9 is not in it: what was read of that has to be given up, though the leader's answer lies behind the position. */
START_TEST(a_longer_log_without_the_epoch_is_noticed)
{
    static const char *const others[] = {"x", "x", "x", "x", "x"}, *const longer[] = {"y", "y", "y", "y", "y", "y", "y", "y", "y", "y"};
    struct mesh_consumed record;
    int64_t next = 0;

    mesh_consumer_on_truncation(consumer, MESH_TRUNCATION_GO_BACK, on_cut, NULL);
    ck_assert_int_eq(mesh_consumer_assign(consumer, "t", 0, MESH_OFFSET_BEGINNING), 0);
    cut_count = 0;
    fake_mesh_lose(&mesh, 0, 0, 0, others, 3);
    while (next < 8) {
        size_t count = 0;

        if (next == 3) fake_mesh_lose(&mesh, 0, 0, 3, others, 5);
        while (count == 0)
            ck_assert_int_eq(mesh_consumer_poll(consumer, &record, 1, 1000, &count), 0);
        ck_assert_int_eq(record.offset, next++);
        ck_assert_int_eq(record.leader_epoch, next <= 3 ? 8 : 9);
    }
    ck_assert_uint_eq(cut_count, 0);
    fake_mesh_bring_back(&mesh, 0, 1, 3, 8, longer, 10);
    for (next = 8; next < 13;) {
        size_t count = 0;

        while (count == 0)
            ck_assert_int_eq(mesh_consumer_poll(consumer, &record, 1, 1000, &count), 0);
        if (record.offset == 3) next = 3;
        ck_assert_int_eq(record.offset, next++);
        ck_assert_int_eq(record.leader_epoch, 8);
    }
    ck_assert_uint_eq(cut_count, 1);
    ck_assert_int_eq(cuts[0].position, 8);
    ck_assert_int_eq(cuts[0].offset, 3);
}
END_TEST

/* Each new leader has everything: none of them gives reason to read again. */
START_TEST(leaders_that_lost_nothing_are_believed)
{
    static const char *const more[] = {"x"};

    mesh_consumer_on_truncation(consumer, MESH_TRUNCATION_STOP, on_cut, NULL);
    ck_assert_int_eq(mesh_consumer_assign(consumer, "t", 0, MESH_OFFSET_BEGINNING), 0);
    for (uint64_t i = 0; i < 20; i++) {
        struct mesh_consumed record;
        size_t count = 0;

        fake_mesh_lose(&mesh, 0, (uint32_t)(i % BROKERS), i, more, 1);
        while (count == 0)
            ck_assert_int_eq(mesh_consumer_poll(consumer, &record, 1, 1000, &count), 0);
        ck_assert_int_eq(record.offset, (int64_t)i);
        ck_assert_int_eq(record.leader_epoch, 8 + (int32_t)i);
    }
    ck_assert_uint_eq(cut_count, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("client mesh");
    TCase *tcase = tcase_create("mesh");

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, every_partition_is_used_where_it_is_led);
    tcase_add_test(tcase, one_name_of_many_brokers_misleads_nobody);
    tcase_add_test(tcase, leaders_that_move_are_followed_without_a_storm);
    tcase_add_test(tcase, a_wrong_map_is_asked_for_seldom);
    tcase_add_test(tcase, who_is_behind_is_not_the_only_one_asked);
    tcase_add_test(tcase, who_knows_of_nothing_is_not_the_only_one_asked);
    tcase_add_test(tcase, who_knows_of_nothing_is_not_the_only_given_one_asked);
    tcase_add_loop_test(tcase, a_leader_out_of_reach_is_used_through_another_and_directly_again_soon, 0, 4);
    tcase_add_test(tcase, a_reader_goes_the_same_ways);
    tcase_add_test(tcase, offsets_are_found_out_through_another);
    tcase_add_loop_test(tcase, a_leader_that_falls_silent_is_left_as_soon_as_another_leads, 0, 2);
    tcase_add_test(tcase, a_leader_that_moves_to_another_address_is_found);
    tcase_add_loop_test(tcase, records_without_a_key_go_to_partitions_that_accept, 0, 2);
    tcase_add_test(tcase, when_every_given_address_is_gone_the_others_do);
    tcase_add_loop_test(tcase, a_broker_that_is_gone_does_not_keep_the_others_from_being_tried, 0, 3);
    tcase_add_loop_test(tcase, what_was_read_and_is_lost_is_noticed, 0, 4);
    tcase_add_test(tcase, who_wants_to_stops_where_records_were_lost);
    tcase_add_test(tcase, a_longer_log_without_the_epoch_is_noticed);
    tcase_add_test(tcase, leaders_that_lost_nothing_are_believed);
    tcase_add_loop_test(tcase, whatever_happens_nothing_is_lost_doubled_or_out_of_order, 0, 8);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
