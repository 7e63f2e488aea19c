/* segment/healing.h - damage of a log, and its repair with records from elsewhere. For the owners of logs.
 *
 * Whatever finds damage (recovery, a read, the scrubber, the owner) puts it into the log's register of holes: offsets, from batch to
 * batch, that are not served. Appends and reads around them go on. A hole is mended in place, piece by piece from its left end: the
 * piece is checked, written where the lost batches were, synced; then the hole is that much shorter, or gone. The hole stays in
 * the manifest until then, so a crash at any step leaves damage that is known or is found again, and nothing else.
 *
 * All of this runs on the store's loop. */
#ifndef SEGMENT_HEALING_H
#define SEGMENT_HEALING_H

#include "segment/store.h"

#define PLOG_REPAIR_BYTES_MAX (8u << 20) /* of one piece; one batch may be larger */

/* Records [from, to) are not served; both are batch boundaries. */
struct plog_damage {
    uint64_t from, to;
};

uint32_t plog_damage_count(const struct plog *plog);
/* The first range that ends behind offset. False: there is none. */
bool plog_find_damage(const struct plog *plog, uint64_t offset, struct plog_damage *ret_damage);

/* The owner knows that these records, though sound, are not the right ones; also of what is known to be damaged. from and to are batch boundaries, in segment files and
 * synced. Blocks where the page cache is cold. Errors: MESH_EOFFSET_OUT_OF_RANGE (not on file, or no boundaries), MESH_ECORRUPT
 * (damage was found there, and is registered), MESH_EAGAIN (a truncation is under way), MESH_EIO, MESH_ENOMEM. */
int plog_condemn(struct plog *plog, uint64_t from, uint64_t to);

/* The owner knows that no record here is of a later leader epoch than `epoch`. Which epoch a batch has no CRC covers: where one claims a later one, a bit has
 * flipped, and it is damage, with all that was taken for its successors. Nothing happens when none does. Blocks where the page cache is cold. Errors: those
 * of plog_condemn(), and MESH_EAGAIN while some of it is not synced; then ask again. */
int plog_limit_epoch(struct plog *plog, int32_t epoch);

/* Somebody doubts the records at offset: the scrubber looks there next, before its pass goes on. */
void plog_suspect(struct plog *plog, uint64_t offset);

/* Whether batches that were read from *offset on are the ones that belong there, by what no CRC covers: offsets that follow each other, and the
 * leader epochs that the log's books have. Moves *offset behind them. Errors: MESH_ECORRUPT: one is not, and the scrubber looks there next;
 * MESH_EAGAIN: the bytes end within a batch, up to which all is well. */
int plog_check_headers(struct plog *plog, struct slice batches, uint64_t *offset);

/* Mends the damage that begins at `offset` with whole batches (copied) that begin there; first of all none: whatever is sound on the disk
 * after all is taken back, also behind the piece. done() runs later, from store_job_complete(): 0: ask plog_find_damage() what is left; MESH_ECORRUPT: the piece
 * is damaged, or does not fit between what is sound, and nothing changed; MESH_EIO, MESH_EFULL, MESH_ENOMEM;
 * MESH_ECANCELED: the log was cut or deleted meanwhile, or more became known of the damage (it was condemned, or there is more of it), and nothing of it
 * counts as mended. It does not run when the store is closed before. Errors, at once:
 * MESH_EAGAIN (a repair or truncation is under way), MESH_ENOTFOUND (no damage begins there), MESH_ESTORAGE (the log takes nothing),
 * MESH_ENOMEM. */
int plog_repair(struct plog *plog, uint64_t offset, struct slice batches, plog_done_fn *done, void *user);

/* The same without pieces, for a log of which nobody else has what is lost: batches that are sound, but for the claim of a leader epoch that cannot be
 * theirs, get one that can, as the books know it or as one flipped bit explains it, and are taken back. No epoch here is later than epoch_max.
 * What the owner has condemned for other reasons stays. Errors: as above. */
int plog_repair_epochs(struct plog *plog, uint64_t offset, int32_t epoch_max, plog_done_fn *done, void *user);

#endif
