/* metadata/renewal.c - a directory that was set back or copied, at its next start. See metadata.h.
 *
 * In this order, so that an interruption at any point leaves a start that begins again: the state of the store says that it was set back, whoever found
 * that, before anything else is changed, and until it is replaced, at once, by that of the successor. */
#include "base/error.h"
#include "base/log.h"
#include "base/random.h"
#include "cmd/broker/metadata/founding_file.h"
#include "cmd/broker/metadata/metadata.h"
#include "cmd/broker/metadata/metadata_internal.h"
#include "replication/consensus/config_codec.h"
#include "replication/coordinator/record.h"

#include <stdio.h>

/* The newest configuration that the log holds; empty: none. */
static void find_config(const struct raft_recovered *recovered, struct raft_config *ret_config)
{
    struct raft_config config;

    *ret_config = recovered->snapshot_config;
    for (size_t i = 0; i < recovered->entry_count; i++) {
        const struct raft_entry *entry = &recovered->entries[i];
        if (entry->type == RAFT_ENTRY_CONFIG && entry->index > recovered->snapshot.index && raft_config_decode(entry->body, &config) == 0)
            *ret_config = config;
    }
}

/* Whether this broker has the only vote, or had it until a change that may not be committed. */
static bool is_alone(const struct raft_server *voters, uint8_t count, const struct uuid *broker)
{
    for (uint8_t i = 0; i < count; i++) {
        if (!uuid_equal(&voters[i].broker, broker)) return false;
    }
    return count != 0;
}

/* Gossip found it, and consensus did not. Then nobody who counts votes knows of anything that the log forgot, and where nobody else has a vote nobody
 * else has to hold the log: given up, it would be gone, and the mesh without a voter. So that one is kept, and only the records are distrusted. */
static int mark_if_others_vote(struct fs *fs, const struct identity *identity, bool *ret_is_marked, char message[METADATA_MESSAGE_SIZE])
{
    const struct raft_server self = {identity->broker_id, identity->dir_id};
    const struct raft_recovered *recovered;
    struct raft_store_report report;
    struct raft_server voted_for;
    struct raft_store *store;
    struct raft_config config;
    int err = raft_store_open(fs, METADATA_STORE_DIRECTORY, &self, metadata_chain, &store, &recovered, &report, message, METADATA_MESSAGE_SIZE);

    if (err != 0) return err;
    find_config(recovered, &config);
    *ret_is_marked = !is_alone(config.voters, config.voter_count, &self.broker) && !is_alone(config.old_voters, config.old_voter_count, &self.broker);
    if (*ret_is_marked) {
        voted_for = recovered->voted_for; /* what was recovered is forgotten with the first change */
        err = raft_store_set_state(store, recovered->term, &voted_for, RAFT_SET_BACK);
        if (err != 0) snprintf(message, METADATA_MESSAGE_SIZE, "DIR/" METADATA_STORE_DIRECTORY "/state cannot be written: %s", mesh_strerror(err));
    } else {
        log_warn("this data directory was set back or copied, and no other broker has a vote: it keeps the metadata that it has, which may be older than "
                 "what was decided");
    }
    raft_store_close(store);
    return err;
}

static int is_there(void *user, const char *name, bool is_dir)
{
    (void)user, (void)name, (void)is_dir;
    return 0;
}

/* Consensus found it, so the log is given up; but where nobody else had a vote, nobody else had to hold it. It is kept beside the new one: what the
 * others have of the metadata goes on, by `mesh recover`, and should that be nothing it is not lost either. Begun once, it is done to its end. */
static int set_aside_if_alone(struct fs *fs, const struct identity *identity)
{
    const struct raft_server self = {identity->broker_id, identity->dir_id};
    const struct raft_recovered *recovered;
    char aside[sizeof(METADATA_STORE_DIRECTORY) + UUID_STRING_SIZE], id[UUID_STRING_SIZE], message[METADATA_MESSAGE_SIZE];
    struct raft_store_report report;
    struct raft_store *store;
    struct raft_config config = {.voter_count = 0};
    int err;

    snprintf(aside, sizeof(aside), METADATA_STORE_DIRECTORY "-%s", uuid_format(&identity->dir_id, id));
    if (fs->ops->list(fs, aside, is_there, NULL) != 0) {
        err = raft_store_open(fs, METADATA_STORE_DIRECTORY, &self, metadata_chain, &store, &recovered, &report, message, sizeof(message));
        if (err != 0) return err == MESH_ECORRUPT ? 0 : err; /* set aside before, and renewed; or there is nothing to be read. Else it may be read later */
        find_config(recovered, &config);
        raft_store_close(store);
        if (!is_alone(config.voters, config.voter_count, &self.broker) && !is_alone(config.old_voters, config.old_voter_count, &self.broker)) return 0;
    }
    err = raft_store_set_aside(fs, METADATA_STORE_DIRECTORY, aside);
    if (err == 0)
        log_warn("no other broker had a vote: the metadata log that is given up is kept in DIR/%s until you remove it. The others go on with what they have: "
                 "'mesh recover' says how", aside);
    return err;
}

int metadata_renew_if_set_back(struct fs *fs, struct identity *identity, bool *ret_is_renewed, char message[METADATA_MESSAGE_SIZE])
{
    struct raft_server successor = {identity->broker_id, identity->dir_id};
    char id[UUID_STRING_SIZE];
    bool was_set_back = false;
    int err = raft_store_was_set_back(fs, METADATA_STORE_DIRECTORY, &identity->broker_id, &was_set_back);

    *ret_is_renewed = false;
    message[0] = '\0';
    if (err != 0) return 0; /* what cannot be read is found, and explained, by who opens it */
    if (!was_set_back && (identity->past == IDENTITY_PAST_SET_BACK || identity->past == IDENTITY_PAST_TOLD))
        err = mark_if_others_vote(fs, identity, &was_set_back, message);
    if (err != 0 || !was_set_back) return err;
    err = set_aside_if_alone(fs, identity);
    random_system_bytes(successor.dir.bytes + RAFT_DIR_FIXED_BYTES, UUID_SIZE - RAFT_DIR_FIXED_BYTES);
    if (err == 0) err = founding_file_remove(fs);
    if (err == 0) err = identity_renew(fs, identity, &successor.dir);
    if (err == 0) err = raft_store_give_up(fs, METADATA_STORE_DIRECTORY, &successor);
    if (err != 0) {
        snprintf(message, METADATA_MESSAGE_SIZE, "DIR/" METADATA_STORE_DIRECTORY " was set back or copied, and cannot be replaced by a new one: %s", mesh_strerror(err));
        return err;
    }
    *ret_is_renewed = true;
    log_warn("this data directory was set back or copied: it has given its vote up, takes the metadata from the other brokers, and gets a new vote "
             "from the coordinator disk=%s",
             uuid_format(&successor.dir, id));
    return 0;
}
