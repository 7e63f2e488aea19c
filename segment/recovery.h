/* segment/recovery.h - what happens before the stores open: manifests, journals and log tails become a
 * catalogue.
 *
 * After a clean stop: reads the manifests, touches nothing else. After a crash: replays the journals of every
 * shard that ever was into the segments, checks the tails that the manifests do not vouch for, cuts torn
 * tails durably and marks damage as holes. Runs on one thread before the loops; blocks. Rules: README.md. */
#ifndef SEGMENT_RECOVERY_H
#define SEGMENT_RECOVERY_H

#include "segment/store.h"

struct recovery_catalog;

struct recovery_report {
    bool was_clean;
    bool is_untold; /* this stop was not clean, or an earlier one that nobody was told of: see recovery_told() */
    uint64_t generation; /* give this + 1 to store_options.manifest_generation */
    uint64_t log_count, replayed_batches, replayed_bytes, checked_bytes;
    uint64_t torn_tails; /* cut; nothing acknowledged was in them */
    uint64_t torn_bytes;
    uint64_t holes; /* damage that was found: those offsets are not served */
    uint64_t duration_ms;
};

/* An event worth a line in the log; text is logfmt-ready ("torn tail cut topic=... partition=...
 * offset=..."). */
typedef void recovery_event_fn(void *user, bool is_damage, const char *text);

/* Errors: MESH_EIO, MESH_EFULL, MESH_ENOMEM, MESH_EVERSION (written by a newer mesh). Damage is not an error.
 */
int recovery_run(struct fs *fs, recovery_event_fn *event, void *event_user,
                 struct recovery_catalog **ret_catalog, struct recovery_report *ret_report);
/* Notes that a life has begun: until recovery_told() each start finds a stop that was not clean. Stores mark that they have written; but others may commit what
 * this broker took in and never got to write (a leader of mode quorum, an async topic), and then nothing of it is to be found. Errors: the disk's. */
int recovery_note_life(struct fs *fs);
/* Whoever has to know has been told, durably, that a stop was not clean: the next start does not say so again. Until then every start does, whatever
 * happens in between: a life that ends before it could tell is no reason to trust what is on the disk. Errors: the disk's; then it is told once more. */
int recovery_told(struct fs *fs);
void recovery_catalog_free(struct recovery_catalog *catalog);

/* Takes one log's state out of the catalogue, or NULL when it holds no such log. For store_open_log(). */
struct plog_recovered *recovery_take(struct recovery_catalog *catalog, const struct plog_id *id);
void plog_recovered_free(struct plog_recovered *recovered);

/* Calls each() for every log still in the catalogue. */
void recovery_each(struct recovery_catalog *catalog, void (*each)(void *user, const struct plog_id *id),
                   void *user);

/* Moves the directory of a topic that no metadata knows to quarantine/ (never deletes: PROTOCOLS 2.6). */
int recovery_quarantine_topic(struct fs *fs, const struct uuid *topic_id);

#endif
