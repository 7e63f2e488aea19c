/* metadata/metadata.c - the control loop's side of the metadata: open, register, commit, publish.
 *
 * commit() is the one place where a decision becomes true. While a mesh has one broker the log is local and
 * synced within the call; a consensus module takes its place there, and answers come later through the same
 * callbacks. */
#include "cmd/broker/metadata/metadata_internal.h"

#include "base/assert.h"
#include "base/error.h"
#include "base/log.h"
#include "base/random.h"
#include "crypto/crypto.h"

#include <stdio.h>
#include <stdlib.h>

#define METADATA_LOCAL_TERM 1 /* of a log that nobody votes about */

struct uuid metadata_fresh_uuid(void)
{
    uint8_t bytes[UUID_SIZE];

    random_system_bytes(bytes, sizeof(bytes));
    return uuid_from_random(bytes);
}

void metadata_options_init(struct metadata_options *options, struct fs *fs)
{
    *options = (struct metadata_options){
        .fs = fs,
        .partition_count_default = 1,
        .replication_factor_default = 3,
    };
}

/* ---- commit ---- */

/* Gives the decision its place in the log. */
static void make_entry(const struct metadata *metadata, const struct decision *decision, struct raft_entry *ret_entry)
{
    ret_entry->index = image_applied_index(metadata->image) + 1;
    ret_entry->term = METADATA_LOCAL_TERM;
    ret_entry->type = RAFT_ENTRY_COMMAND;
    ret_entry->body = decision_command(decision);
    metadata_chain(image_chain(metadata->image), ret_entry, ret_entry->chain);
}

static void take_snapshot(struct metadata *metadata)
{
    int err;

    if (!metadata_log_wants_snapshot(metadata->log)) return;
    err = metadata_log_snapshot(metadata->log, metadata->image);
    if (err == 0)
        log_info("metadata snapshot taken index=%llu",
                 (unsigned long long)image_applied_index(metadata->image));
    else
        log_warn("metadata snapshot failed, the log goes on error=\"%s\"", mesh_strerror(err));
}

int metadata_commit(struct metadata *metadata, const struct decision *decision)
{
    struct raft_entry entry;
    struct image *next;
    int err;

    if (decision->change_count == 0) return 0;
    if (metadata_log_error(metadata->log) != 0) return metadata_log_error(metadata->log);
    make_entry(metadata, decision, &entry);
    err = image_apply(metadata->image, &entry, 1, &next);
    MESH_ASSERT(err != MESH_ECORRUPT &&
                err != MESH_EVERSION); /* decisions make entries that can be applied */
    if (err != 0) return err;
    err = metadata_log_append(metadata->log, &entry, 1);
    if (err != 0) {
        image_unref(next);
        log_error("metadata change not stored index=%llu error=\"%s\"%s",
                  (unsigned long long)entry.index, mesh_strerror(err),
                  metadata_log_error(metadata->log) != 0 ? " (no change is accepted any more)" : "");
        return err;
    }
    image_unref(metadata->image);
    metadata->image = next;
    if (metadata->publish != NULL) metadata->publish(metadata->publish_user, next);
    take_snapshot(metadata);
    return 0;
}

/* ---- start ---- */

static int check_defaults(const struct metadata_options *options, char *message)
{
    for (size_t i = 0; i < options->config_default_count; i++) {
        enum topic_config_id id;
        int64_t value;
        int err = topic_config_find(options->config_defaults[i].key, &id, message, METADATA_MESSAGE_SIZE);
        if (err == 0)
            err = topic_config_parse(id, options->config_defaults[i].value, &value, message,
                                     METADATA_MESSAGE_SIZE);
        if (err != 0) return err;
    }
    return 0;
}

static int copy_defaults(struct metadata *metadata, const struct metadata_options *options)
{
    if (options->config_default_count == 0) return 0;
    metadata->config_defaults = calloc(options->config_default_count, sizeof(metadata->config_defaults[0]));
    if (metadata->config_defaults == NULL) return MESH_ENOMEM;
    for (size_t i = 0; i < options->config_default_count; i++) {
        struct decide_config *config = &metadata->config_defaults[i];
        config->key = arena_strdup(&metadata->arena, options->config_defaults[i].key);
        config->value = arena_strdup(&metadata->arena, options->config_defaults[i].value);
        if (config->key == NULL || config->value == NULL) return MESH_ENOMEM;
        metadata->config_default_count++;
    }
    return 0;
}

static int found_mesh(struct metadata *metadata, const struct uuid *asked)
{
    struct uuid cluster_id = uuid_is_zero(asked) ? metadata_fresh_uuid() : *asked;
    struct decision decision;
    int err;

    decision_init(&decision);
    err = decide_cluster_create(metadata->image, &cluster_id, &decision);
    if (err == 0) err = metadata_commit(metadata, &decision);
    decision_deinit(&decision);
    return err;
}

/* The identity names the mesh only after the log does, so a start that died in between is finished here. */
static int join_identity_and_log(struct metadata *metadata, const struct uuid *found_cluster_id, char *message)
{
    const struct uuid *claimed = &metadata->identity.cluster_id;
    int err = 0;

    if (uuid_is_zero(image_cluster_id(metadata->image))) {
        if (!uuid_is_zero(claimed)) {
            snprintf(message, METADATA_MESSAGE_SIZE,
                     "DIR/identity belongs to a mesh, but DIR/meta is empty: restore DIR/meta from a copy; "
                     "or, if topics and "
                     "their records may be lost, move the data directory away and start anew");
            return MESH_ECORRUPT;
        }
        err = found_mesh(metadata, found_cluster_id);
        if (err != 0) return err;
    }
    if (uuid_equal(claimed, image_cluster_id(metadata->image))) return 0;
    if (uuid_is_zero(claimed))
        return identity_set_cluster(metadata->fs, &metadata->identity, image_cluster_id(metadata->image));
    snprintf(message, METADATA_MESSAGE_SIZE,
             "DIR/identity and DIR/meta belong to different meshes: one of them was copied from elsewhere; "
             "put the right one "
             "back");
    return MESH_ECORRUPT;
}

static void report_recovery(const struct metadata *metadata, const struct metadata_recovery *recovery)
{
    if (recovery->torn_bytes != 0)
        log_warn("torn tail of the metadata log cut bytes=%llu", (unsigned long long)recovery->torn_bytes);
    if (recovery->used_older_snapshot)
        log_error("newest metadata snapshot is damaged and was set aside; the older one and the log replaced "
                  "it index=%llu",
                  (unsigned long long)image_applied_index(metadata->image));
}

int metadata_open_identity(struct fs *fs, struct identity *ret_identity, char message[METADATA_MESSAGE_SIZE])
{
    struct uuid dir_id = metadata_fresh_uuid();
    uint8_t seed[IDENTITY_SEED_SIZE];
    int err;

    crypto_init();
    random_system_bytes(seed, sizeof(seed));
    err = identity_open(fs, seed, &dir_id, ret_identity, message, METADATA_MESSAGE_SIZE);
    crypto_wipe(seed, sizeof(seed));
    return err;
}

static int metadata_start(struct metadata *metadata, const struct metadata_options *options, char *message)
{
    struct metadata_recovery recovery;
    int err = check_defaults(options, message);

    if (err == 0) err = copy_defaults(metadata, options);
    if (err == 0 && options->identity != NULL)
        metadata->identity = *options->identity;
    else if (err == 0)
        err = metadata_open_identity(metadata->fs, &metadata->identity, message);
    if (err == 0)
        err = metadata_log_open(metadata->fs, &metadata->log, &metadata->image, &recovery, message,
                                METADATA_MESSAGE_SIZE);
    if (err != 0) return err;
    report_recovery(metadata, &recovery);
    err = join_identity_and_log(metadata, &options->found_cluster_id, message);
    if (err == 0) take_snapshot(metadata);
    return err;
}

int metadata_open(const struct metadata_options *options, struct metadata **ret_metadata,
                  char message[METADATA_MESSAGE_SIZE])
{
    struct metadata *metadata = calloc(1, sizeof(*metadata));
    int err = MESH_ENOMEM;

    message[0] = '\0';
    if (metadata != NULL) {
        metadata->fs = options->fs;
        metadata->partition_count_default = options->partition_count_default;
        metadata->replication_factor_default = options->replication_factor_default;
        err = metadata_start(metadata, options, message);
    }
    if (err == 0) {
        metadata->publish = options->publish; /* from now on: the first image is asked for */
        metadata->publish_user = options->publish_user;
        *ret_metadata = metadata;
        return 0;
    }
    if (message[0] == '\0')
        snprintf(message, METADATA_MESSAGE_SIZE, "the metadata cannot be opened: %s", mesh_strerror(err));
    metadata_close(metadata);
    return err;
}

void metadata_close(struct metadata *metadata)
{
    if (metadata == NULL) return;
    metadata_log_close(metadata->log);
    image_unref(metadata->image);
    free(metadata->config_defaults);
    identity_key_wipe(&metadata->identity.key);
    arena_deinit(&metadata->arena);
    free(metadata);
}

int metadata_register_self(struct metadata *metadata, const struct metadata_self *self,
                           char message[METADATA_MESSAGE_SIZE])
{
    struct decide_broker_register request = {
        .broker_id = metadata->identity.broker_id,
        .dir_id = metadata->identity.dir_id,
        .boot = metadata->identity.boot,
        .name = self->name,
        .host = self->host,
        .zone = self->zone,
        .port = self->port,
        .shard_count = self->shard_count,
    };
    struct decision decision;
    int err;

    decision_init(&decision);
    err = decide_broker_register(metadata->image, &request, &decision);
    if (err == 0) err = metadata_commit(metadata, &decision);
    if (err == 0)
        metadata->node_id =
            image_find_broker_by_uuid(metadata->image, &metadata->identity.broker_id)->node_id;
    else
        snprintf(message, METADATA_MESSAGE_SIZE, "this broker cannot be registered: %s",
                 decision.message[0] != '\0' ? decision.message : mesh_strerror(err));
    decision_deinit(&decision);
    return err;
}

/* ---- state ---- */

const struct identity *metadata_identity(const struct metadata *metadata)
{
    return &metadata->identity;
}

int32_t metadata_node_id(const struct metadata *metadata)
{
    return metadata->node_id;
}

const struct image *metadata_image(const struct metadata *metadata)
{
    return metadata->image;
}

int metadata_error(const struct metadata *metadata)
{
    return metadata_log_error(metadata->log);
}
