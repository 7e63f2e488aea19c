#include "cmd/cli/top_state.h"

#include "base/assert.h"
#include "base/error.h"
#include "cmd/cli/exposition.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define KEYS_SIZE_MAX 32 /* of a number in a label */

/* ---- one look ---- */

int top_look_init(struct top_look *look, size_t broker_count, uint64_t now_ns)
{
    *look = (struct top_look){.at_ns = now_ns, .broker_count = broker_count, .brokers = calloc(broker_count + 1, sizeof(*look->brokers))};
    return look->brokers == NULL ? MESH_ENOMEM : 0;
}

void top_look_deinit(struct top_look *look)
{
    for (size_t i = 0; i < look->topic_count; i++)
        free(look->topics[i].counters);
    free(look->brokers);
    free(look->topics);
    free(look->lags);
    *look = (struct top_look){0};
}

/* The place of `key` in a sorted array of items that begin with what is compared; *ret_found tells whether it is taken. */
static size_t place_of(const void *items, size_t count, size_t item_size, const void *key, int (*compare)(const void *, const void *), bool *ret_found)
{
    size_t low = 0, high = count;

    *ret_found = false;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare(key, (const char *)items + middle * item_size);

        if (order == 0) {
            *ret_found = true;
            return middle;
        }
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* The item that equals `key`, put in if it is not there. NULL: no memory. */
static void *find_or_add(void **items, size_t *count, size_t *capacity, size_t item_size, const void *key, int (*compare)(const void *, const void *))
{
    bool is_found;
    size_t place = place_of(*items, *count, item_size, key, compare, &is_found);
    char *at;

    if (!is_found && *count == *capacity) {
        size_t wanted = *capacity > 0 ? *capacity * 2 : 64;
        void *grown = realloc(*items, wanted * item_size);
        if (grown == NULL) return NULL;
        *items = grown;
        *capacity = wanted;
    }
    at = (char *)*items + place * item_size;
    if (is_found) return at;
    memmove(at + item_size, at, (*count - place) * item_size);
    memcpy(at, key, item_size);
    (*count)++;
    return at;
}

static int compare_topics(const void *a, const void *b)
{
    return strcmp(((const struct top_topic *)a)->name, ((const struct top_topic *)b)->name);
}

static int compare_lags(const void *a, const void *b)
{
    const struct top_lag *left = a, *right = b;
    int order = strcmp(left->group, right->group);

    return order != 0 ? order : strcmp(left->topic, right->topic);
}

const struct top_topic *top_find_topic(const struct top_look *look, const char *name)
{
    struct top_topic key = {.name = ""};
    bool is_found;
    size_t place;

    if (strlen(name) >= sizeof(key.name)) return NULL;
    memcpy(key.name, name, strlen(name) + 1);
    place = place_of(look->topics, look->topic_count, sizeof(key), &key, compare_topics, &is_found);
    return is_found ? &look->topics[place] : NULL;
}

/* ---- what the samples are for ---- */

static void add_bucket(struct top_histogram *histogram, const struct exposition_sample *sample)
{
    char text[KEYS_SIZE_MAX];
    double bound;
    size_t place = 0;

    if (!exposition_label(sample, "le", text, sizeof(text))) return;
    bound = strtod(text, NULL);
    while (place < histogram->count && histogram->bounds_s[place] < bound)
        place++;
    if (place == histogram->count || histogram->bounds_s[place] != bound) {
        size_t behind = histogram->count - place;
        if (histogram->count == TOP_BUCKETS_MAX || isnan(bound)) return;
        memmove(&histogram->bounds_s[place + 1], &histogram->bounds_s[place], behind * sizeof(double));
        memmove(&histogram->counts[place + 1], &histogram->counts[place], behind * sizeof(double));
        histogram->bounds_s[place] = bound;
        histogram->counts[place] = 0;
        histogram->count++;
    }
    histogram->counts[place] += sample->value; /* of all shards: they have the same bounds */
}

static void add_broker(struct top_broker *broker, const struct exposition_sample *sample)
{
    static const struct {
        const char *name;
        size_t field;
    } figures[] = {
        {"mesh_ready", offsetof(struct top_broker, is_ready)},
        {"process_cpu_seconds_total", offsetof(struct top_broker, cpu_s)},
        {"process_resident_memory_bytes", offsetof(struct top_broker, resident_bytes)},
        {"mesh_disk_free_bytes", offsetof(struct top_broker, disk_free_bytes)},
        {"mesh_connections", offsetof(struct top_broker, connections)},
        {"mesh_partitions_led", offsetof(struct top_broker, leaders)},
        {"mesh_produced_records_total", offsetof(struct top_broker, produced_records)},
        {"mesh_produced_bytes_total", offsetof(struct top_broker, produced_bytes)},
        {"mesh_fetched_bytes_total", offsetof(struct top_broker, fetched_bytes)},
    };

    for (size_t i = 0; i < sizeof(figures) / sizeof(figures[0]); i++)
        if (exposition_is(sample, figures[i].name)) *(double *)(void *)((char *)broker + figures[i].field) += sample->value;
    if (exposition_is(sample, "mesh_produce_ack_seconds_bucket")) add_bucket(&broker->acks, sample);
    if (exposition_is(sample, "mesh_journal_sync_seconds_bucket")) add_bucket(&broker->syncs, sample);
}

static int add_topic(struct top_look *look, size_t broker, const struct exposition_sample *sample)
{
    static const char *const counters[TOP_COUNTERS] = {"mesh_topic_produced_records_total", "mesh_topic_produced_bytes_total", "mesh_topic_fetched_bytes_total"};
    struct top_topic key = {.name = ""}, *topic;
    size_t counter = 0;

    while (counter < TOP_COUNTERS && !exposition_is(sample, counters[counter]))
        counter++;
    if (counter == TOP_COUNTERS && !exposition_is(sample, "mesh_topic_stored_bytes")) return 0;
    if (!exposition_label(sample, "topic", key.name, sizeof(key.name))) return 0;
    topic = find_or_add((void **)&look->topics, &look->topic_count, &look->topic_capacity, sizeof(key), &key, compare_topics);
    if (topic == NULL) return MESH_ENOMEM;
    if (topic->counters == NULL) topic->counters = calloc(look->broker_count, sizeof(*topic->counters));
    if (topic->counters == NULL) return MESH_ENOMEM;
    if (counter < TOP_COUNTERS)
        topic->counters[broker][counter] += sample->value;
    else
        topic->stored_bytes += sample->value;
    return 0;
}

/* Every broker tells the same lag, some later than others: the largest is the safe one. */
static int add_lag(struct top_look *look, const struct exposition_sample *sample)
{
    struct top_lag key = {.group = "", .topic = ""}, *lag;

    if (!exposition_is(sample, "mesh_group_lag") || !exposition_label(sample, "group", key.group, sizeof(key.group)) ||
        !exposition_label(sample, "topic", key.topic, sizeof(key.topic)))
        return 0;
    lag = find_or_add((void **)&look->lags, &look->lag_count, &look->lag_capacity, sizeof(key), &key, compare_lags);
    if (lag == NULL) return MESH_ENOMEM;
    if (sample->value > lag->records) lag->records = sample->value;
    return 0;
}

int top_look_add(struct top_look *look, size_t index, struct slice exposition)
{
    struct exposition_sample sample;
    int err = 0;

    MESH_ASSERT(index < look->broker_count);
    look->brokers[index].is_there = true;
    while (err == 0 && exposition_next(&exposition, &sample)) {
        add_broker(&look->brokers[index], &sample);
        err = add_topic(look, index, &sample);
        if (err == 0) err = add_lag(look, &sample);
    }
    return err;
}

/* ---- between two looks ---- */

double top_rate(double before, double now, double seconds)
{
    return isnan(before) || seconds <= 0 || now < before ? (double)NAN : (now - before) / seconds;
}

double top_topic_rate(const struct top_look *before, const struct top_look *now, const struct top_topic *topic, enum top_counter counter, double seconds)
{
    const struct top_topic *then = before->brokers != NULL && before->broker_count == now->broker_count ? top_find_topic(before, topic->name) : NULL;
    double sum = 0;
    bool is_known = false;

    if (before->brokers == NULL || before->broker_count != now->broker_count || topic->counters == NULL) return (double)NAN;
    for (size_t i = 0; i < now->broker_count; i++) {
        double rate;

        if (!before->brokers[i].is_there || !now->brokers[i].is_there) continue;
        rate = top_rate(then != NULL && then->counters != NULL ? then->counters[i][counter] : 0, topic->counters[i][counter], seconds); /* 0: made since */
        if (isnan(rate)) continue;
        sum += rate;
        is_known = true;
    }
    return is_known ? sum : (double)NAN;
}

/* What lay at most `bound` before: 0 when that look knew no such bucket. */
static double count_at(const struct top_histogram *histogram, double bound)
{
    for (size_t i = 0; i < histogram->count; i++)
        if (histogram->bounds_s[i] == bound) return histogram->counts[i];
    return 0;
}

double top_quantile(const struct top_histogram *before, const struct top_histogram *now, double q)
{
    double all, wanted;

    if (now->count == 0) return (double)NAN;
    all = now->counts[now->count - 1] - count_at(before, now->bounds_s[now->count - 1]);
    if (!(all > 0)) return (double)NAN;
    wanted = q * all;
    for (size_t i = 0; i < now->count; i++)
        if (now->counts[i] - count_at(before, now->bounds_s[i]) >= wanted) return now->bounds_s[i];
    return now->bounds_s[now->count - 1];
}
