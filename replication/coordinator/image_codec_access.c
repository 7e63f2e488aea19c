/* coordinator/image_codec_access.c - users, ACLs, answered requests, elections and deleted records of a snapshot.
 *
 * Each kind is written in an order of its own content (names, keys), so equal images have equal bytes. */
#include "replication/coordinator/image_internal.h"

#include "base/error.h"

#include <stdlib.h>

struct object_list {
    const void **objects;
    size_t count;
};

static int list_object(void *user, const void *object)
{
    struct object_list *list = user;

    list->objects[list->count++] = object;
    return 0;
}

/* The index's objects in order, behind how many things they say; the caller frees list->objects. */
static int put_sorted(struct codec_writer *writer, const struct image_index *index, size_t count, int (*compare)(const void *, const void *),
                      struct object_list *ret_list)
{
    *ret_list = (struct object_list){NULL, 0};
    codec_put_varint(writer, count);
    if (writer->error != 0 || index->count == 0) return writer->error;
    ret_list->objects = malloc(index->count * sizeof(ret_list->objects[0]));
    if (ret_list->objects == NULL) return writer->error = MESH_ENOMEM;
    image_index_each(index, list_object, ret_list);
    qsort(ret_list->objects, ret_list->count, sizeof(ret_list->objects[0]), compare);
    return 0;
}

/* ---- order ---- */

static int compare_users(const void *a, const void *b)
{
    const struct user_object *const *left = a, *const *right = b;
    return strcmp((*left)->user.name, (*right)->user.name);
}

static int compare_acls(const void *a, const void *b)
{
    const struct image_acl *left = &(*(const struct acl_object *const *)a)->acl;
    const struct image_acl *right = &(*(const struct acl_object *const *)b)->acl;
    int order = strcmp(left->principal, right->principal);

    if (order == 0) order = strcmp(left->resource, right->resource);
    if (order == 0) order = strcmp(left->host, right->host);
    if (order == 0) order = (int)left->resource_type - (int)right->resource_type;
    if (order == 0) order = (int)left->pattern - (int)right->pattern;
    if (order == 0) order = (int)left->operation - (int)right->operation;
    return order != 0 ? order : (int)left->is_deny - (int)right->is_deny;
}

static int compare_logs(const void *a, const void *b)
{
    const struct request_log *const *left = a, *const *right = b;
    return memcmp((*left)->origin.bytes, (*right)->origin.bytes, UUID_SIZE);
}

static int compare_places(const struct uuid *topic_a, uint32_t partition_a, const struct uuid *topic_b, uint32_t partition_b)
{
    int order = memcmp(topic_a->bytes, topic_b->bytes, UUID_SIZE);

    if (order != 0) return order;
    return partition_a < partition_b ? -1 : partition_a > partition_b;
}

static int compare_elections(const void *a, const void *b)
{
    const struct election_page *const *left = a, *const *right = b;

    return compare_places(&(*left)->topic_id, (*left)->number, &(*right)->topic_id, (*right)->number);
}

static int compare_deletions(const void *a, const void *b)
{
    const struct image_deletion *left = &(*(const struct deletion_object *const *)a)->deletion;
    const struct image_deletion *right = &(*(const struct deletion_object *const *)b)->deletion;

    return compare_places(&left->topic_id, left->partition, &right->topic_id, right->partition);
}

/* ---- writing ---- */

static void put_users(struct codec_writer *writer, const struct object_list *list)
{
    struct buffer body = BUFFER_INIT;

    for (size_t i = 0; i < list->count && writer->error == 0; i++) {
        const struct image_user *user = &((const struct user_object *)list->objects[i])->user;
        buffer_clear(&body);
        writer->error = body_encode_user(&body, user);
        codec_put_string(writer, user->name);
        body_put_slice(writer, buffer_slice(&body));
    }
    buffer_deinit(&body);
}

static void put_acls(struct codec_writer *writer, const struct object_list *list)
{
    struct buffer body = BUFFER_INIT;

    for (size_t i = 0; i < list->count && writer->error == 0; i++) {
        buffer_clear(&body);
        writer->error = body_encode_acl(&body, &((const struct acl_object *)list->objects[i])->acl);
        body_put_slice(writer, buffer_slice(&body));
    }
    buffer_deinit(&body);
}

static void put_requests(struct codec_writer *writer, const struct object_list *list)
{
    struct buffer body = BUFFER_INIT;

    for (size_t i = 0; i < list->count && writer->error == 0; i++) {
        const struct request_log *log = list->objects[i];
        codec_put_uuid(writer, &log->origin);
        codec_put_varint(writer, log->count);
        for (uint32_t j = 0; j < log->count && writer->error == 0; j++) {
            buffer_clear(&body);
            writer->error = body_encode_request(&body, &log->requests[j]);
            codec_put_varint(writer, log->requests[j].index);
            body_put_slice(writer, buffer_slice(&body));
        }
    }
    buffer_deinit(&body);
}

static void put_election(struct codec_writer *writer, const struct uuid *topic_id, uint32_t partition, const struct image_election *election)
{
    struct body_election body;

    body.reason = election->reason;
    body.candidate_count = election->candidate_count;
    memcpy(body.candidates, election->candidates, election->candidate_count * sizeof(body.candidates[0]));
    codec_put_uuid(writer, topic_id);
    codec_put_varint(writer, partition);
    codec_put_varint(writer, election->index);
    codec_put_zigzag(writer, election->leader);
    codec_put_varint(writer, (uint32_t)election->leader_epoch);
    body_put_election(writer, &body);
}

static void put_elections(struct codec_writer *writer, const struct object_list *list)
{
    for (size_t i = 0; i < list->count && writer->error == 0; i++) {
        const struct election_page *page = list->objects[i];

        for (uint32_t slot = 0; slot < ELECTION_PAGE_PARTITIONS; slot++) {
            const struct image_election *election = election_page_at(page, slot);
            if (election != NULL) put_election(writer, &page->topic_id, page->number * ELECTION_PAGE_PARTITIONS + slot, election);
        }
    }
}

static void put_deletions(struct codec_writer *writer, const struct object_list *list)
{
    struct buffer body = BUFFER_INIT;

    for (size_t i = 0; i < list->count && writer->error == 0; i++) {
        const struct image_deletion *deletion = &((const struct deletion_object *)list->objects[i])->deletion;
        buffer_clear(&body);
        writer->error = body_encode_deletion(&body, deletion);
        codec_put_uuid(writer, &deletion->topic_id);
        body_put_slice(writer, buffer_slice(&body));
    }
    buffer_deinit(&body);
}

int image_put_access(struct codec_writer *writer, const struct image *image)
{
    static const struct {
        int (*compare)(const void *, const void *);
        void (*put)(struct codec_writer *, const struct object_list *);
    } kinds[] = {{compare_users, put_users}, {compare_acls, put_acls}, {compare_logs, put_requests}, {compare_elections, put_elections},
                 {compare_deletions, put_deletions}};
    const struct image_index *indexes[] = {&image->users, &image->acls, &image->requests, &image->elections, &image->deletions};
    const size_t counts[] = {image->users.count, image->acls.count, image->requests.count, image->election_count, image->deletions.count};
    size_t count = sizeof(kinds) / sizeof(kinds[0]) - (image->deletions.count == 0);
    struct object_list list;

    for (size_t i = 0; i < count && writer->error == 0; i++) {
        if (put_sorted(writer, indexes[i], counts[i], kinds[i].compare, &list) == 0) kinds[i].put(writer, &list);
        free(list.objects);
    }
    return writer->error;
}

/* ---- reading ---- */

static struct slice get_body(struct codec_reader *reader)
{
    return codec_get_raw(reader, (size_t)codec_get_bounded(reader, 2048));
}

static int get_users(struct codec_reader *reader, struct image *image)
{
    uint32_t count = (uint32_t)codec_get_bounded(reader, IMAGE_USERS_MAX);
    int err = 0;

    for (uint32_t i = 0; i < count && err == 0; i++) {
        struct slice name = codec_get_string(reader, IMAGE_NAME_SIZE_MAX);
        struct slice body = get_body(reader);
        struct image_user user;
        err = reader->is_bad || name.size == 0 ? MESH_ECORRUPT : body_decode_user(body, &user);
        if (err != 0) return err;
        memcpy(user.name, name.data, name.size); /* what follows is zero already */
        err = image_find_user(image, user.name) != NULL ? MESH_ECORRUPT : image_put_user(image, &user);
    }
    return err;
}

static int get_acls(struct codec_reader *reader, struct image *image)
{
    uint32_t count = (uint32_t)codec_get_bounded(reader, IMAGE_ACLS_MAX);
    int err = 0;

    for (uint32_t i = 0; i < count && err == 0; i++) {
        struct slice body = get_body(reader);
        struct image_acl acl;
        err = reader->is_bad ? MESH_ECORRUPT : body_decode_acl(body, &acl);
        if (err == 0) err = image_add_acl(image, &acl);
    }
    return err;
}

static int get_log(struct codec_reader *reader, struct image *image)
{
    struct uuid origin = codec_get_uuid(reader);
    uint32_t count = (uint32_t)codec_get_bounded(reader, IMAGE_REQUESTS_MAX);
    uint64_t last = 0;
    int err = 0;

    if (reader->is_bad || count == 0 || uuid_is_zero(&origin) || image_request_log(image, &origin) != NULL)
        return MESH_ECORRUPT;
    for (uint32_t i = 0; i < count && err == 0; i++) {
        uint64_t index = codec_get_bounded(reader, image->index);
        struct slice body = get_body(reader);
        struct image_request request;
        err = reader->is_bad || index < last ? MESH_ECORRUPT : body_decode_request(body, &request);
        if (err != 0) return err;
        request.index = last = index;
        err = image_find_request(image, &origin, request.boot, request.sequence) != NULL
                  ? MESH_ECORRUPT
                  : image_add_request(image, &origin, &request);
    }
    return err;
}

static int get_requests(struct codec_reader *reader, struct image *image)
{
    uint32_t count = (uint32_t)codec_get_bounded(reader, IMAGE_REQUEST_ORIGINS_MAX);
    int err = 0;

    for (uint32_t i = 0; i < count && err == 0; i++)
        err = get_log(reader, image);
    return err;
}

static int get_elections(struct codec_reader *reader, struct image *image)
{
    uint64_t count = codec_get_bounded(reader, image->partition_count);
    int err = 0;

    for (uint64_t i = 0; i < count && err == 0; i++) {
        struct uuid topic_id = codec_get_uuid(reader);
        const struct image_topic *topic = image_find_topic(image, &topic_id);
        struct body_partition state;
        uint64_t index;
        state.partition = (uint32_t)codec_get_bounded(reader, IMAGE_TOPIC_PARTITIONS_MAX - 1);
        index = codec_get_bounded(reader, image->index);
        state.leader = codec_get_int32(reader);
        state.leader_epoch = (int32_t)codec_get_bounded(reader, INT32_MAX);
        body_get_election(reader, IMAGE_REPLICAS_MAX, &state.election);
        if (reader->is_bad || topic == NULL || state.partition >= topic->partition_count ||
            image_election(image, &topic_id, state.partition) != NULL)
            return MESH_ECORRUPT;
        err = image_put_election(image, &topic_id, &state, index);
    }
    return err;
}

static int get_deletions(struct codec_reader *reader, struct image *image)
{
    uint64_t count = codec_get_bounded(reader, image->partition_count);
    int err = reader->is_bad || count == 0 ? MESH_ECORRUPT : 0;

    for (uint64_t i = 0; i < count && err == 0; i++) {
        struct uuid topic_id = codec_get_uuid(reader);
        const struct image_topic *topic = image_find_topic(image, &topic_id);
        struct slice body = get_body(reader);
        struct image_deletion deletion;
        struct image_partition partition;
        err = reader->is_bad || topic == NULL ? MESH_ECORRUPT : body_decode_deletion(body, &deletion);
        if (err != 0) return err;
        deletion.topic_id = topic_id;
        if (!image_topic_partition(topic, deletion.partition, &partition) || deletion.leader_epoch > partition.leader_epoch ||
            image_deletion(image, &topic_id, deletion.partition) != NULL)
            return MESH_ECORRUPT;
        err = image_put_deletion(image, &deletion);
    }
    return err;
}

int image_get_access(struct codec_reader *reader, struct image *image, bool has_deletions)
{
    int err = get_users(reader, image);

    if (err == 0) err = get_acls(reader, image);
    if (err == 0) err = get_requests(reader, image);
    if (err == 0) err = get_elections(reader, image);
    return err != 0 || !has_deletions ? err : get_deletions(reader, image);
}
