/* consensus/store_scan.h - reads the segments one after the other and collects the entries that continue the log.
 *
 * Goes on behind the first bad entry: what lies there tells whether that one was torn or is damaged. */
#ifndef CONSENSUS_STORE_SCAN_H
#define CONSENSUS_STORE_SCAN_H

#include "replication/consensus/store_internal.h"

struct store_scan {
    struct raft_store *store;
    struct raft_position last; /* the last good entry; at the start where the log begins */
    bool has_ended;            /* the one after it was looked for and is not good */
    bool is_contradicting;     /* the log holds another entry at the snapshot's index */
    uint64_t vouched;          /* everything up to there was durable, somebody says */
    uint64_t seen;             /* the highest index of which a good header was found */
    bool was_unreadable;       /* the disk refused to read a part of a segment */
    bool has_leftovers;        /* something lies behind the last good entry */
    uint64_t leftover_bytes;
    uint64_t repaired;
    uint64_t last_base, last_end; /* the segment of `last`, and where it ends in there; 0: none was read */
    const uint8_t *last_bytes;    /* that segment's bytes */
};

/* Scans the segment at base; entries from `next` on belong to the following one. Errors: MESH_EVERSION, MESH_EWRONG_MESH (of
 * another server), MESH_EIO, MESH_ENOMEM. */
int store_scan_segment(struct store_scan *scan, uint64_t base, uint64_t next);

/* Writes and syncs again the entries behind max(marked, scan->vouched), and opens the last segment for appending. Errors poison. */
int store_scan_harden(struct store_scan *scan, uint64_t marked);

#endif
