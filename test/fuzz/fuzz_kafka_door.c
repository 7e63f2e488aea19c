/* Fuzzes the Kafka door: requests made out of the bytes (door_message.h), some with a byte that is another afterwards, to a whole broker in this process.
 * Byte 0 chooses the port; then, for each of at most four requests of one connection: which (of those that are offered), its version, what is spoiled, its
 * fields. All are sent at once, and a question behind them.
 *
 * Each request has its answer, in its turn, of its version's form and not a byte more; or the connection ends. Whoever may wait for others (a
 * fetch, a member) is left alone after a moment: the connection ends while it does. In the end nothing is charged to anybody. */
#include "base/assert.h"
#include "cmd/broker/front/kafka/kafka.h"
#include "kafka/messages.h"
#include "test/fuzz/door_message.h"
#include "test/fuzz/door_world.h"
#include "wire/record_batch.h"

#include <stdlib.h>
#include <string.h>

#define REQUESTS_MAX   4
#define INPUTS_MAX     4000  /* of one broker: what topics and groups they make is gone with it */
#define PATIENCE_MS    60000 /* what takes longer hangs */
#define MOMENT_MS      10
#define PARTITIONS     4
#define MEMORY_MAX     (64u << 20)

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct door_facts facts;
static char member_id[512];
static unsigned input_count;

struct asked {
    const struct kafka_api *api;
    int version;
};

struct exchange {
    int fd;
    struct asked asked[REQUESTS_MAX + 1]; /* by correlation id; the last is the mark */
    int32_t count;
    struct buffer frames;
};

/* ---- what there is ---- */

/* A broker allocates while an input runs and frees later: leaks are looked for at the end alone. */
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    static char flag[] = "-detect_leaks=0";
    char **more = calloc((size_t)*argc + 2, sizeof(*more));

    MESH_ASSERT(more != NULL);
    memcpy(more, *argv, (size_t)*argc * sizeof(*more));
    more[(*argc)++] = flag;
    *argv = more;
    return 0;
}

static void make_batch(void)
{
    struct record_batch_producer producer = {-1, -1, -1};
    static struct buffer kept, unused;
    struct record record = {.timestamp_ms = 1700000000000, .value = {(const uint8_t *)"value", 5}, .key_is_null = true};
    struct record_batch_builder builder;
    struct slice batch;

    record_batch_builder_init(&builder);
    MESH_ASSERT(record_batch_builder_add(&builder, &record) == 0 && record_batch_builder_add(&builder, &record) == 0);
    MESH_ASSERT(record_batch_builder_finish(&builder, &producer, 0, RECORD_COMPRESSION_NONE, &unused, &batch) == 0);
    MESH_ASSERT(buffer_append(&kept, batch.data, batch.size) == 0);
    record_batch_builder_deinit(&builder);
    facts.batch = buffer_slice(&kept);
}

static void append_request(struct exchange *exchange, int16_t key, int version, int32_t id, const void *message)
{
    MESH_ASSERT(kafka_request_encode(kafka_api_find(key), version, id, slice_of_string("fuzz"), message, &exchange->frames) == 0);
}

/* The topic t is there, by this id. */
static void make_topic(void)
{
    struct kafka_create_topics_request_topic topic = {.name = slice_of_string("t"), .num_partitions = PARTITIONS, .replication_factor = 1};
    struct kafka_create_topics_request create = {.topics = {&topic, 1}, .timeout_ms = PATIENCE_MS};
    struct kafka_metadata_request_topic named = {.name = slice_of_string("t")};
    struct kafka_metadata_request ask = {.topics = {&named, 1}};
    struct kafka_metadata_response told;
    struct exchange exchange = {.fd = door_connect(false)};
    struct arena arena = ARENA_INIT;
    struct slice answer;

    append_request(&exchange, KAFKA_CREATE_TOPICS, 5, 0, &create);
    append_request(&exchange, KAFKA_METADATA, 10, 1, &ask);
    MESH_ASSERT(door_send(exchange.fd, buffer_slice(&exchange.frames)));
    MESH_ASSERT(door_receive(exchange.fd, PATIENCE_MS, &answer) == DOOR_ANSWERED);
    MESH_ASSERT(door_receive(exchange.fd, PATIENCE_MS, &answer) == DOOR_ANSWERED);
    answer = slice_of(answer.data + KAFKA_RESPONSE_HEADER_MAX, answer.size - KAFKA_RESPONSE_HEADER_MAX);
    MESH_ASSERT(kafka_decode(kafka_response_form(kafka_api_find(KAFKA_METADATA), 10), answer, &arena, MEMORY_MAX, &told) == 0);
    MESH_ASSERT(told.topics.count == 1);
    facts.topic_id = told.topics.items[0].topic_id;
    arena_deinit(&arena);
    buffer_deinit(&exchange.frames);
    door_close(exchange.fd);
}

static void stop_at_exit(void)
{
    door_world_stop();
}

static void be_there(void)
{
    if (input_count == 0) {
        make_batch();
        atexit(stop_at_exit);
    }
    if (input_count++ % INPUTS_MAX == 0) door_world_stop();
    door_world_start();
    if (input_count % INPUTS_MAX == 1) make_topic();
}

/* ---- requests ---- */

/* By its key, so that kept inputs mean the same when more is offered; a byte that is no key means another one. */
static const struct kafka_offer *choose_offer(uint8_t byte)
{
    for (size_t i = 0; i < kafka_offer_count; i++)
        if (kafka_offers[i].key == byte) return &kafka_offers[i];
    return &kafka_offers[byte % kafka_offer_count];
}

static void add_request(struct exchange *exchange, struct choices *choices)
{
    const struct kafka_offer *offer = choose_offer(choices_take(choices));
    const struct kafka_api *api = kafka_api_find(offer->key);
    int version = offer->version_min + choices_take(choices) % (offer->version_max - offer->version_min + 1);
    struct kafka_form form = kafka_request_form(api, version);
    uint8_t spoil = choices_take(choices);
    size_t begin = exchange->frames.size;
    struct arena arena = ARENA_INIT;
    void *message = malloc(form.of->size);

    MESH_ASSERT(message != NULL);
    MESH_ASSERT(door_message_make(choices, &facts, form, &arena, message));
    append_request(exchange, offer->key, version, exchange->count, message);
    if (spoil >= 224) {
        size_t head = KAFKA_SIZE_SIZE + KAFKA_REQUEST_SIZE_MIN, size = exchange->frames.size - begin;
        size_t at = (size_t)choices_take(choices) << 8;

        at |= choices_take(choices);
        if (size > head) exchange->frames.data[begin + head + at % (size - head)] = choices_take(choices);
    }
    exchange->asked[exchange->count++] = (struct asked){api, version};
    free(message);
    arena_deinit(&arena);
}

/* ---- answers ---- */

static bool may_wait(int16_t key)
{
    return key == KAFKA_FETCH || key == KAFKA_JOIN_GROUP || key == KAFKA_SYNC_GROUP;
}

/* What later requests may want to say. */
static void learn(const struct asked *asked, const void *message)
{
    const struct kafka_join_group_response *joined = message;

    if (asked->api->key != KAFKA_JOIN_GROUP || joined->member_id.size == 0 || joined->member_id.size > sizeof(member_id)) return;
    memcpy(member_id, joined->member_id.data, joined->member_id.size);
    facts.member_id = slice_of(member_id, joined->member_id.size);
}

/* Exactly one message of that form; the first bytes have been compared. */
static void check_message(const struct asked *asked, struct slice bytes)
{
    struct kafka_form form = kafka_response_form(asked->api, asked->version);
    struct arena arena = ARENA_INIT;
    struct buffer again = BUFFER_INIT;
    void *message = malloc(form.of->size);

    MESH_ASSERT(message != NULL);
    MESH_ASSERT(kafka_decode(form, bytes, &arena, MEMORY_MAX, message) == 0);
    MESH_ASSERT(kafka_encode(form, message, &again) == 0);
    MESH_ASSERT(slice_equal(buffer_slice(&again), bytes));
    learn(asked, message);
    free(message);
    buffer_deinit(&again);
    arena_deinit(&arena);
}

/* Which request it answers: the next, but for those to produce without acknowledgement. */
static int32_t find_asked(const struct exchange *exchange, int32_t next, struct slice answer)
{
    uint8_t header[KAFKA_RESPONSE_HEADER_MAX];

    for (;; next++) {
        const struct asked *asked = &exchange->asked[next];
        size_t size = kafka_response_header_write(asked->api, asked->version, next, header);

        if (answer.size >= size && memcmp(answer.data, header, size) == 0) return next;
        MESH_ASSERT(asked->api->key == KAFKA_PRODUCE);
    }
}

static void take_answers(const struct exchange *exchange)
{
    for (int32_t next = 0; next <= exchange->count;) {
        const struct asked *asked = &exchange->asked[next];
        bool is_patient = !may_wait(asked->api->key);
        struct slice answer;
        enum door_answer became = door_receive(exchange->fd, is_patient ? PATIENCE_MS : MOMENT_MS, &answer);
        uint8_t header[KAFKA_RESPONSE_HEADER_MAX];
        size_t size;

        if (became == DOOR_SILENT) MESH_ASSERT(!is_patient);
        if (became != DOOR_ANSWERED) return;
        next = find_asked(exchange, next, answer);
        asked = &exchange->asked[next];
        size = kafka_response_header_write(asked->api, asked->version, next, header);
        check_message(asked, slice_of(answer.data + size, answer.size - size));
        if (asked->api->key == KAFKA_SASL_HANDSHAKE && asked->version == 0) return; /* tokens follow, and their answers have no header */
        next++;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct kafka_api_versions_request mark;
    struct choices choices = {data, data + size};
    struct exchange exchange = {0};
    bool is_gateway = (choices_take(&choices) & 1) != 0;

    be_there();
    while (exchange.count < REQUESTS_MAX && choices.at < choices.end)
        add_request(&exchange, &choices);
    append_request(&exchange, KAFKA_API_VERSIONS, 0, exchange.count, &mark);
    exchange.asked[exchange.count] = (struct asked){kafka_api_find(KAFKA_API_VERSIONS), 0};
    exchange.fd = door_connect(is_gateway);
    if (door_send(exchange.fd, buffer_slice(&exchange.frames))) take_answers(&exchange);
    door_close(exchange.fd);
    for (int32_t i = 0; i < exchange.count; i++)
        if (exchange.asked[i].api->key == KAFKA_DELETE_TOPICS) make_topic(); /* it may be gone */
    buffer_deinit(&exchange.frames);
    return 0;
}
