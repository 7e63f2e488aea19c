/* What a large mesh's metadata costs one broker: bytes of the image; and time to decide, encode and apply the end of a session, to write and
 * read a snapshot, to commit one more topic. One line per figure; judged by people, not by ctest.
 *
 * Usage: bench_image [partitions] */
#include "base/clock.h"
#include "replication/coordinator/decide_replicas.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#define COMMITS 1000

struct shape {
    const char *text;
    int brokers, topics, partitions, replicas;
};

struct bench {
    struct image *image;
    struct uuid broker_ids[64];
    uint64_t uuid_seed;
};

static void require(bool ok, const char *what)
{
    if (ok) return;
    fprintf(stderr, "bench_image: %s\n", what);
    exit(1);
}

static struct uuid fresh_uuid(struct bench *bench)
{
    uint64_t words[2] = {++bench->uuid_seed * 0x9e3779b97f4a7c15u, bench->uuid_seed * 0xbf58476d1ce4e5b9u};
    uint8_t bytes[UUID_SIZE];

    memcpy(bytes, words, sizeof(words));
    return uuid_from_random(bytes);
}

static double ms_since(uint64_t start_ns)
{
    return (double)(clock_monotonic_ns() - start_ns) / 1e6;
}

static double megabytes(void)
{
    struct mallinfo2 info = mallinfo2();

    return (double)(info.uordblks + info.hblkhd) / 1e6;
}

/* Commits a decision as the log would; returns the command's bytes. */
static size_t commit(struct bench *bench, struct decision *decision)
{
    struct raft_entry entry = {.index = image_applied_index(bench->image) + 1, .term = 1, .type = RAFT_ENTRY_COMMAND};
    struct image *next;
    size_t size;

    entry.body = decision_command(decision);
    size = entry.body.size;
    metadata_chain(image_chain(bench->image), &entry, entry.chain);
    require(image_apply(bench->image, &entry, 1, &next) == 0, "an entry could not be applied");
    image_unref(bench->image);
    bench->image = next;
    decision_deinit(decision);
    decision_init(decision);
    return size;
}

static void create_topic(struct bench *bench, int number, int partitions, int replicas)
{
    char name[32];
    struct decide_topic_create request = {.name = name, .partition_count = partitions, .replication_factor = replicas};
    struct decision decision;

    snprintf(name, sizeof(name), "topic-%d", number);
    request.topic_id = fresh_uuid(bench);
    decision_init(&decision);
    require(decide_topic_create(bench->image, &request, &decision) == 0, decision.message);
    commit(bench, &decision);
    decision_deinit(&decision);
}

static void found(struct bench *bench, int brokers)
{
    struct uuid cluster_id = fresh_uuid(bench);
    struct decision decision;

    require(image_new_empty(&bench->image) == 0, "no memory");
    decision_init(&decision);
    require(decide_cluster_create(bench->image, &cluster_id, &decision) == 0, decision.message);
    commit(bench, &decision);
    for (int i = 0; i < brokers; i++) {
        struct decide_broker_register request = {.boot = 1, .name = "broker", .host = "broker.example", .zone = "", .port = 9092, .shard_count = 2};
        request.broker_id = request.dir_id = bench->broker_ids[i] = fresh_uuid(bench);
        require(decide_broker_register(bench->image, &request, &decision) == 0, decision.message);
        commit(bench, &decision);
    }
    decision_deinit(&decision);
}

static void measure_session(struct bench *bench, bool is_end)
{
    uint64_t led = image_leader_count(bench->image, 1), start_ns = clock_monotonic_ns();
    struct decision decision;
    double decided_ms, all_ms;
    size_t size;

    decision_init(&decision);
    require((is_end ? decide_broker_fence : decide_broker_unfence)(bench->image, &bench->broker_ids[0], NULL, &decision) == 0, decision.message);
    decided_ms = ms_since(start_ns);
    size = commit(bench, &decision);
    all_ms = ms_since(start_ns);
    printf("  %-34s %9.1f ms (decided and encoded %.1f; %llu leaders moved, %.2f MB)\n", is_end ? "broker fenced" : "broker unfenced", all_ms, decided_ms,
           (unsigned long long)(is_end ? led : image_leader_count(bench->image, 1)), (double)size / 1e6);
    decision_deinit(&decision);
}

/* The coordinator's look at all replicas, when there is nothing to be moved: what it costs an idle mesh. */
static void measure_look(const struct bench *bench)
{
    struct movement movement = MOVEMENT_INIT;
    struct decide_moves request = {.movement = &movement, .moves_per_broker = 2, .now_us = 1};
    uint64_t start_ns = clock_monotonic_ns();
    struct decision decision;

    decision_init(&decision);
    require(decide_moves(bench->image, &request, &decision) == 0, decision.message);
    printf("  %-34s %9.1f ms (%zu changes)\n", "a look at what should move", ms_since(start_ns), decision.change_count);
    decision_deinit(&decision);
}

#define WISHES 1000

struct wishes {
    struct decide_isr list[WISHES];
    struct decide_member members[WISHES];
    size_t count;
};

/* The broker's partitions of a topic, with itself alone in sync. */
static int wish(void *user, const struct image_topic *topic)
{
    struct wishes *wishes = user;
    struct image_partition now;

    for (uint32_t i = 0; wishes->count < WISHES && image_topic_partition(topic, i, &now); i++) {
        struct decide_member *member = &wishes->members[wishes->count];
        if (now.leader != 1) continue;
        *member = (struct decide_member){.node_id = 1};
        for (uint32_t j = 0; j < now.replica_count; j++)
            if (now.replicas[j] == 1) member->generation = image_partition_generation(&now, j);
        wishes->list[wishes->count++] = (struct decide_isr){.topic_id = topic->topic_id, .partition = i, .leader_epoch = now.leader_epoch,
                                                            .partition_epoch = now.partition_epoch, .members = member, .member_count = 1};
    }
    return 0;
}

static int compare_wishes(const void *a, const void *b)
{
    const struct decide_isr *left = a, *right = b;
    int order = memcmp(left->topic_id.bytes, right->topic_id.bytes, UUID_SIZE);

    return order != 0 ? order : left->partition < right->partition ? -1 : 1;
}

static void measure_alter(struct bench *bench)
{
    static struct wishes wishes;
    static struct decide_result results[WISHES];
    struct decide_alter_partitions request = {.leader = 1, .broker_epoch = image_find_broker(bench->image, 1)->epoch, .partitions = wishes.list};
    uint64_t start_ns;
    struct decision decision;
    size_t size;

    wishes.count = 0;
    image_each_topic(bench->image, wish, &wishes);
    qsort(wishes.list, wishes.count, sizeof(wishes.list[0]), compare_wishes);
    for (size_t i = 0; i < wishes.count; i++)
        wishes.members[i].broker_epoch = request.broker_epoch;
    request.count = wishes.count;
    start_ns = clock_monotonic_ns();
    decision_init(&decision);
    require(decide_alter_partitions(bench->image, &request, NULL, &decision, results) == 0, decision.message);
    require(wishes.count == 0 || results[0].error == 0, "the leader's wish is refused");
    size = decision.change_count == 0 ? 0 : commit(bench, &decision);
    printf("  %-34s %9.1f ms (%zu partitions in one request, %.3f MB)\n", "ISRs altered", ms_since(start_ns), wishes.count, (double)size / 1e6);
    decision_deinit(&decision);
}

static void measure_snapshot(struct bench *bench)
{
    struct buffer bytes = BUFFER_INIT;
    struct image *restored;
    uint64_t start_ns = clock_monotonic_ns();

    require(image_encode(bench->image, &bytes) == 0, "no memory");
    printf("  %-34s %9.1f ms (%.2f MB)\n", "snapshot written", ms_since(start_ns), (double)bytes.size / 1e6);
    start_ns = clock_monotonic_ns();
    require(image_decode(buffer_slice(&bytes), &restored) == 0, "the snapshot cannot be read");
    printf("  %-34s %9.1f ms\n", "snapshot read", ms_since(start_ns));
    image_unref(restored);
    buffer_deinit(&bytes);
}

static void measure(const struct shape *shape)
{
    struct bench bench = {.uuid_seed = 0};
    double before_mb = megabytes();
    uint64_t start_ns = clock_monotonic_ns();

    printf("%s: %d brokers, %d topics of %d partitions, %d replicas\n", shape->text, shape->brokers, shape->topics, shape->partitions,
           shape->replicas);
    found(&bench, shape->brokers);
    for (int i = 0; i < shape->topics; i++)
        create_topic(&bench, i, shape->partitions, shape->replicas);
    printf("  %-34s %9.1f ms (%.1f us a topic)\n", "topics created", ms_since(start_ns), ms_since(start_ns) * 1000 / shape->topics);
    printf("  %-34s %9.1f MB\n", "image", megabytes() - before_mb);
    measure_look(&bench);
    if (shape->replicas > 1) measure_alter(&bench);
    measure_session(&bench, true);
    measure_session(&bench, false);
    printf("  %-34s %9.1f MB (%zu elections kept)\n", "image after that", megabytes() - before_mb, image_election_count(bench.image));
    measure_snapshot(&bench);
    start_ns = clock_monotonic_ns();
    for (int i = 0; i < COMMITS; i++)
        create_topic(&bench, shape->topics + i, 1, shape->replicas);
    printf("  %-34s %9.1f us each\n", "1,000 further commits of one topic", ms_since(start_ns) * 1000 / COMMITS);
    image_unref(bench.image);
}

int main(int argc, char **argv)
{
    int partitions = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 100000;
    const struct shape shapes[] = {
        {"wide topics", 10, 10, partitions / 10, 3},
        {"usual topics", 10, partitions / 100, 100, 3},
        {"usual topics, three brokers", 3, partitions / 100, 100, 3},
        {"single partitions", 10, partitions, 1, 3},
        {"single partitions, one replica", 3, partitions, 1, 1},
    };

    require(partitions >= 100 && partitions <= 100000, "100 to 100,000 partitions");
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
        measure(&shapes[i]);
    return 0;
}
