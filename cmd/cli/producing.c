#include "cmd/cli/producing.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static int acks_of(const char *text)
{
    if (strcmp(text, "0") == 0) return 0;
    return strcmp(text, "1") == 0 ? 1 : -1;
}

static enum mesh_compression compression_of(const char *text)
{
    static const char *const names[] = {"none", "gzip", "snappy", "lz4",
                                        "zstd"}; /* in the order of the enum */

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(text, names[i]) == 0) return (enum mesh_compression)i;
    return MESH_COMPRESSION_NONE;
}

int producing_set_acks(struct mesh_producer *producer, const struct arguments *arguments)
{
    int acks = acks_of(arguments_text(arguments, "acks", "all"));
    int err = mesh_producer_set_acks(producer, acks);

    return err == 0 && acks != -1 ? mesh_producer_set_idempotent(producer, 0) : err;
}

int producing_set_options(struct mesh_producer *producer, const struct arguments *arguments)
{
    int64_t linger_ms = arguments_duration_ms(arguments, "linger", 0);
    int err = producing_set_acks(producer, arguments);

    if (err == 0)
        err = mesh_producer_set_compression(producer,
                                            compression_of(arguments_text(arguments, "compression", "none")));
    if (err == 0 && arguments_has(arguments, "linger"))
        err = mesh_producer_set_linger_ms(producer, linger_ms > INT_MAX ? INT_MAX : (int)linger_ms);
    if (err == 0 && arguments_has(arguments, "batch-bytes"))
        err =
            mesh_producer_set_batch_bytes_max(producer, (size_t)arguments_size(arguments, "batch-bytes", 0));
    if (err == 0 && arguments_has(arguments, "memory"))
        err = mesh_producer_set_memory_bytes_max(producer, (size_t)arguments_size(arguments, "memory", 0));
    return err;
}

static enum exit_code check_partition(struct session *session, const struct mesh_topic_list *list, const char *topic, int32_t partition)
{
    size_t count = mesh_topic_list_count(list) == 0 ? 0 : mesh_topic_list_get(list, 0)->partition_count;
    char cause[128];

    if (partition < 0 || (size_t)partition < count) return EXIT_DONE;
    snprintf(cause, sizeof(cause), "there is no partition %d; the topic has %zu, from 0 on", partition, count);
    return failure_report(session->is_json, MESH_EINVAL, cause, "producing to '%s'", topic);
}

/* Sets *ret_is_there. */
static enum exit_code look_at_topic(struct session *session, const char *topic, int32_t partition, bool *ret_is_there)
{
    struct mesh_topic_list *list;
    int err = mesh_topic_describe(session->client, topic, &list);
    enum exit_code code;

    *ret_is_there = err != MESH_EUNKNOWN_TOPIC;
    if (!*ret_is_there) return EXIT_DONE;
    if (err != 0) return session_fail(session, err, "topic '%s'", topic);
    code = check_partition(session, list, topic, partition);
    mesh_topic_list_free(list);
    return code;
}

enum exit_code producing_ensure_topic(struct session *session, const char *topic, int32_t partition, bool may_create)
{
    bool is_there;
    enum exit_code code = look_at_topic(session, topic, partition, &is_there);
    int err;

    if (is_there) return code;
    if (!may_create) return session_fail(session, MESH_EUNKNOWN_TOPIC, "topic '%s'", topic);
    err = mesh_topic_create(session->client, topic, NULL);
    if (err != 0 && err != MESH_ETOPIC_EXISTS) return session_fail(session, err, "creating topic '%s'", topic);
    if (err == 0) { /* else somebody else was faster */
        fprintf(stderr, "mesh: created topic '%s', which did not exist\n", topic);
        if (mesh_client_remark(session->client)[0] != '\0') fprintf(stderr, "mesh: '%s': %s\n", topic, mesh_client_remark(session->client));
    }
    return partition <= 0 ? EXIT_DONE : look_at_topic(session, topic, partition, &is_there);
}
