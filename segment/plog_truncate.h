/* segment/plog_truncate.h - the truncation of one log, step by step (plog_truncate.c). */
#ifndef SEGMENT_PLOG_TRUNCATE_H
#define SEGMENT_PLOG_TRUNCATE_H

#include "segment/plog.h"

enum truncation_step {
    TRUNCATION_INTENT, /* the TRUNCATE record is on its way to the journal */
    TRUNCATION_WRITE,  /* what stays of the log reaches its segment files */
    TRUNCATION_FILES,  /* files are being cut */
    TRUNCATION_RESET,  /* the RESET or RESTART record is on its way */
};

struct plog_truncation {
    struct list_node link; /* store->truncations */
    struct plog *plog;
    enum truncation_step step;
    uint64_t offset;
    uint64_t restart_offset; /* is_restart: where the emptied log goes on */
    int32_t restart_epoch;   /* is_restart: of the record before that; -1: none, or not known */
    uint64_t ticket;       /* of the record under way; 0: it has not found room yet */
    struct plog_place cut; /* where in the segment that then is the last one */
    plog_done_fn *done;
    void *user;
    bool is_running; /* the file job is out */
    bool is_restart; /* all goes; offset is 0 */
};

#endif
