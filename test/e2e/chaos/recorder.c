/* recorder.c - a producer or a consumer that writes down all it learns, for the checker (history.py has the
 * meaning of each line).
 *
 *     recorder produce BROKERS TOPIC NAME idempotent|plain ACKS RECORDS_PER_SECOND TIMEOUT_MS
 *     recorder follow  BROKERS TOPIC                   from the beginning, and what comes
 *     recorder again   BROKERS TOPIC SEED              parts of the log over and over, each time through
 * another broker recorder until   BROKERS TOPIC END[,END...]      all up to these offsets, one for each
 * partition
 *
 * The history goes to standard output. Each but `until` goes on until its standard input ends. A record's
 * bytes follow from who sent it as which number, so that a reader can judge every byte: value = "NAME NUMBER
 * KEY " and a filler of one letter. */
#include <mesh/mesh.h>

#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define KEYS           211u
#define VALUE_MAX      1400
#define PARTITIONS_MAX 64
#define FETCHED_MAX    512
#define PASS_MS        4000
#define UNTIL_MS       60000
#define COMPLAINT_MS   50

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static uint64_t mix(uint64_t z) /* splitmix64's finaliser */
{
    z += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* The input is the leash: it ends when the recorder is to end. Waits for that and for the client. */
static bool wait_for_end(struct mesh_client *client, int timeout_ms)
{
    struct pollfd polled[] = {{.fd = STDIN_FILENO, .events = POLLIN},
                              {.fd = mesh_client_fd(client), .events = POLLIN}};
    int wanted = mesh_client_timeout_ms(client);

    if (wanted >= 0 && wanted < timeout_ms) timeout_ms = wanted;
    poll(polled, 2, timeout_ms);
    return polled[0].revents != 0;
}

static bool has_ended(void)
{
    struct pollfd polled = {.fd = STDIN_FILENO, .events = POLLIN};

    return poll(&polled, 1, 0) > 0;
}

/* ---- records ---- */

struct content {
    char key[16], value[VALUE_MAX];
    size_t key_size, value_size;
};

static void content_make(const char *name, int64_t number, struct content *ret_content)
{
    uint64_t chance = mix((uint64_t)number);
    size_t size = 64 + (size_t)(chance % 16 == 0 ? chance / 16 % 1200 : chance / 16 % 200);
    int head;

    ret_content->key_size =
        (size_t)snprintf(ret_content->key, sizeof(ret_content->key), "k%u", (unsigned)(chance >> 32) % KEYS);
    head = snprintf(ret_content->value, VALUE_MAX, "%s %" PRId64 " %s ", name, number, ret_content->key);
    ret_content->value_size = (size_t)head + size;
    memset(ret_content->value + head, 'a' + (int)(chance >> 40) % 26, size);
}

/* ---- producing ---- */

static void on_delivery(void *user, const struct mesh_receipt *receipt)
{
    int64_t number = (int64_t)(intptr_t)user;

    switch (receipt->status) {
    case MESH_DELIVERED:
        printf("a %" PRId64 " %d %" PRId64 " %d %" PRId64 " %u %u\n", now_ms(), receipt->partition,
               receipt->offset, receipt->leader_epoch, number, receipt->replicas_holding,
               receipt->replicas_synced);
        break;
    case MESH_DELIVERY_FAILED:
        printf("f %" PRId64 " %d %" PRId64 " %s\n", now_ms(), receipt->partition, number,
               mesh_error_name(receipt->error));
        break;
    case MESH_DELIVERY_UNKNOWN:
        printf("u %" PRId64 " %d %" PRId64 " %s\n", now_ms(), receipt->partition, number,
               mesh_error_name(receipt->error));
        break;
    }
}

static int send_due(struct mesh_producer *producer, const char *name, int64_t due, int64_t *number)
{
    struct content content;

    for (int i = 0; *number < due && i < 1000; i++) {
        struct mesh_record record = {
            .key = content.key, .value = content.value, .partition = MESH_PARTITION_ANY};
        int err;

        content_make(name, *number, &content);
        record.key_size = content.key_size;
        record.value_size = content.value_size;
        err = mesh_producer_send(producer, &record, on_delivery, (void *)(intptr_t)*number);
        if (err == MESH_EQUEUEFULL) return 0;
        if (err != 0) return err;
        ++*number;
    }
    return 0;
}

static int produce(struct mesh_client *client, struct mesh_producer *producer, const char *name, int64_t rate,
                   int timeout_ms)
{
    int64_t begin = now_ms(), number = 0, skipped = 0;
    int err = 0;

    while (err == 0 && !wait_for_end(client, 5)) {
        int64_t due = (now_ms() - begin) * rate / 1000 - skipped;

        err = mesh_client_poll(client, 0);
        if (err == 0) err = send_due(producer, name, due, &number);
        if (due > number + rate)
            skipped += due - number - rate; /* what could not be sent in time is not caught up with */
    }
    if (err == 0) err = mesh_producer_flush(producer, timeout_ms + 30000);
    printf("s %" PRId64 "\n", number);
    return err;
}

static int run_producer(struct mesh_client *client, char **words)
{
    struct mesh_producer *producer = NULL;
    int timeout_ms = (int)strtol(words[5], NULL, 10), acks = (int)strtol(words[3], NULL, 10);
    bool is_idempotent = strcmp(words[2], "idempotent") == 0;
    int err = mesh_producer_new(client, words[0], &producer);

    printf("P %s %s %d\n", words[1], words[2], acks);
    if (err == 0) err = mesh_producer_set_acks(producer, acks);
    if (err == 0) err = mesh_producer_set_idempotent(producer, is_idempotent);
    if (err == 0) err = mesh_producer_set_delivery_timeout_ms(producer, timeout_ms);
    if (err == 0) err = mesh_producer_set_memory_bytes_max(producer, 8u << 20);
    if (err == 0) err = produce(client, producer, words[1], strtol(words[4], NULL, 10), timeout_ms);
    mesh_producer_free(producer);
    return err;
}

/* ---- consuming ---- */

static uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t size) /* FNV-1a */
{
    const unsigned char *at = bytes;

    for (size_t i = 0; i < size; i++)
        hash = (hash ^ at[i]) * 0x100000001b3u;
    return hash;
}

static void write_consumed(const struct mesh_consumed *record)
{
    char name[32];
    struct content expected;
    int64_t number;
    uint64_t hash = hash_bytes(0xcbf29ce484222325u, record->key, record->key_size);

    hash = hash_bytes(hash, record->value, record->value_size);
    hash = hash_bytes(hash, &record->timestamp_ms, sizeof(record->timestamp_ms));
    if (record->value_size < VALUE_MAX && record->value != NULL) {
        char text[VALUE_MAX + 1];

        memcpy(text, record->value, record->value_size);
        text[record->value_size] = '\0';
        if (sscanf(text, "%31s %" SCNd64 " ", name, &number) == 2) {
            content_make(name, number, &expected);
            if (expected.value_size == record->value_size &&
                memcmp(expected.value, record->value, record->value_size) == 0 &&
                expected.key_size == record->key_size &&
                memcmp(expected.key, record->key, record->key_size) == 0) {
                printf("r %d %" PRId64 " %d %s %" PRId64 " %016" PRIx64 "\n", record->partition,
                       record->offset, record->leader_epoch, name, number, hash);
                return;
            }
        }
    }
    printf("bad %d %" PRId64 " %.*s\n", record->partition, record->offset,
           record->value_size > 60 ? 60 : (int)record->value_size,
           record->value != NULL ? (const char *)record->value : "");
}

/* One poll. What a partition complains of is written down; it is then asked again, in a moment: one damaged record is asked for thousands of times
 * a second else, and histories of a million lines say no more. */
static int take(struct mesh_consumer *consumer, int timeout_ms)
{
    struct pollfd leash = {.fd = STDIN_FILENO, .events = POLLIN};
    struct mesh_consumed records[FETCHED_MAX];
    size_t count = 0;
    const char *topic = NULL;
    int32_t partition = -1;
    int64_t position = -1;
    int err = mesh_consumer_poll(consumer, records, FETCHED_MAX, timeout_ms, &count);

    for (size_t i = 0; i < count; i++)
        write_consumed(&records[i]);
    if (err == 0 || mesh_consumer_error_partition(consumer, &topic, &partition) != 0) return err;
    (void)mesh_consumer_position(consumer, topic, partition, &position);
    printf("e %" PRId64 " %d %" PRId64 " %s\n", now_ms(), partition, position, mesh_error_name(err));
    poll(&leash, 1, COMPLAINT_MS);
    return mesh_consumer_resume(consumer, topic, partition);
}

static int follow(struct mesh_client *client, char **words)
{
    struct mesh_consumer *consumer = NULL;
    int err = mesh_consumer_new(client, &consumer);

    if (err == 0) err = mesh_consumer_assign(consumer, words[0], -1, MESH_OFFSET_BEGINNING);
    puts("n");
    while (err == 0 && !has_ended()) {
        err = take(consumer, 200);
        fflush(stdout);
    }
    mesh_consumer_free(consumer);
    return err;
}

static bool is_done(const struct mesh_consumer *consumer, const char *topic, const int64_t *ends,
                    int32_t count)
{
    for (int32_t i = 0; i < count; i++) {
        int64_t position;

        if (mesh_consumer_position(consumer, topic, i, &position) != 0 || position < ends[i]) return false;
    }
    return true;
}

static int until(struct mesh_client *client, char **words)
{
    struct mesh_consumer *consumer = NULL;
    int64_t ends[PARTITIONS_MAX], give_up_ms = now_ms() + UNTIL_MS;
    int32_t count = 0;
    char *rest = NULL;
    int err = mesh_consumer_new(client, &consumer);

    for (char *word = strtok_r(words[1], ",", &rest); word != NULL && count < PARTITIONS_MAX;
         word = strtok_r(NULL, ",", &rest))
        ends[count++] = strtoll(word, NULL, 10);
    puts("n");
    for (int32_t i = 0; i < count && err == 0; i++)
        err = mesh_consumer_assign(consumer, words[0], i, 0);
    while (err == 0 && !is_done(consumer, words[0], ends, count)) {
        if (now_ms() > give_up_ms) err = MESH_ETIMEDOUT;
        if (err == 0) err = take(consumer, 200);
    }
    for (int32_t i = 0; i < count && err == MESH_ETIMEDOUT; i++) {
        int64_t position = -1;

        (void)mesh_consumer_position(consumer, words[0], i, &position);
        if (position < ends[i])
            fprintf(stderr, "partition %d: position %" PRId64 " of %" PRId64 "\n", i, position, ends[i]);
    }
    mesh_consumer_free(consumer);
    return err;
}

/* One look at the log by somebody new: a partition, from some offset on. */
static int look_again(const char *brokers, const char *topic, uint64_t *random)
{
    struct mesh_client *client = NULL;
    struct mesh_consumer *consumer = NULL;
    struct mesh_topic_list *list = NULL;
    int64_t give_up_ms = now_ms() + PASS_MS, end = 0, position = 0;
    int32_t partition = 0;
    int err = mesh_client_new(brokers, &client);

    if (err == 0) err = mesh_client_set_timeout_ms(client, PASS_MS);
    if (err == 0) err = mesh_topic_describe(client, topic, &list);
    if (err == 0 && mesh_topic_list_count(list) == 1) {
        const struct mesh_topic_info *info = mesh_topic_list_get(list, 0);

        partition = (int32_t)(*random % info->partition_count);
        end = info->partitions[partition].high_watermark;
        *random = mix(*random);
        position = end > 0 ? (int64_t)(*random % (uint64_t)end) : 0;
    }
    if (err == 0) err = mesh_consumer_new(client, &consumer);
    if (err == 0) err = mesh_consumer_assign(consumer, topic, partition, position);
    puts("n");
    while (err == 0 && position < end && now_ms() < give_up_ms && !has_ended()) {
        err = take(consumer, 200);
        if (mesh_consumer_position(consumer, topic, partition, &position) != 0) break;
    }
    fflush(stdout);
    mesh_consumer_free(consumer);
    mesh_topic_list_free(list);
    mesh_client_free(client);
    return err;
}

/* The list of brokers, turned so that another one comes first. */
static void turn_list(char *brokers)
{
    char *comma = strchr(brokers, ',');
    char first[128];
    size_t size = comma != NULL ? (size_t)(comma - brokers) : 0, rest;

    if (comma == NULL || size >= sizeof(first)) return;
    memcpy(first, brokers, size);
    rest = strlen(comma + 1);
    memmove(brokers, comma + 1, rest);
    brokers[rest] = ',';
    memcpy(brokers + rest + 1, first, size);
}

static int again(char *brokers, char **words)
{
    uint64_t random = strtoull(words[1], NULL, 10);

    while (!has_ended()) {
        struct pollfd leash = {.fd = STDIN_FILENO, .events = POLLIN};

        random = mix(random);
        (void)look_again(brokers, words[0],
                         &random); /* what failed is tried elsewhere; that it fails for ever, others notice */
        turn_list(brokers);
        poll(&leash, 1, 300);
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct mesh_client *client = NULL;
    char brokers[2048];
    int err;

    if (argc < 4) {
        fprintf(stderr, "usage: recorder produce|follow|again|until BROKERS TOPIC ...\n");
        return 2;
    }
    snprintf(brokers, sizeof(brokers), "%s", argv[2]);
    err = mesh_client_new(brokers, &client);
    if (err == 0 && strcmp(argv[1], "produce") == 0 && argc == 9)
        err = run_producer(client, argv + 3);
    else if (err == 0 && strcmp(argv[1], "follow") == 0 && argc == 4)
        err = follow(client, argv + 3);
    else if (err == 0 && strcmp(argv[1], "until") == 0 && argc == 5)
        err = until(client, argv + 3);
    else if (err == 0 && strcmp(argv[1], "again") == 0 && argc == 5)
        err = again(brokers, argv + 3);
    else if (err == 0)
        err = MESH_EINVAL;
    if (err != 0)
        fprintf(stderr, "recorder: %s: %s\n", mesh_error_name(err),
                client != NULL ? mesh_client_error(client) : "");
    mesh_client_free(client);
    return err == 0 && fflush(stdout) == 0 ? 0 : 1;
}
