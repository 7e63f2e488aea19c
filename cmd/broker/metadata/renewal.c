/* metadata/renewal.c - a directory that was set back or copied, at its next start. See metadata.h.
 *
 * In this order, so that an interruption at any point leaves a start that begins again: the state of the store says that it was set back until it is
 * replaced, at once, by that of the successor. */
#include "base/error.h"
#include "base/log.h"
#include "base/random.h"
#include "cmd/broker/metadata/founding_file.h"
#include "cmd/broker/metadata/metadata.h"
#include "cmd/broker/metadata/metadata_internal.h"

#include <stdio.h>

int metadata_renew_if_set_back(struct fs *fs, struct identity *identity, bool *ret_is_renewed, char message[METADATA_MESSAGE_SIZE])
{
    struct raft_server successor = {identity->broker_id, identity->dir_id};
    char id[UUID_STRING_SIZE];
    bool was_set_back = false;
    int err = raft_store_was_set_back(fs, METADATA_STORE_DIRECTORY, &identity->broker_id, &was_set_back);

    *ret_is_renewed = false;
    message[0] = '\0';
    was_set_back |= identity->past == IDENTITY_PAST_SET_BACK || identity->past == IDENTITY_PAST_TOLD;
    if (err != 0 || !was_set_back) return 0; /* what cannot be read is found, and explained, by who opens it */
    random_system_bytes(successor.dir.bytes + RAFT_DIR_FIXED_BYTES, UUID_SIZE - RAFT_DIR_FIXED_BYTES);
    err = founding_file_remove(fs);
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
