/* spread/message.h - what brokers tell each other of committed offsets, and its bytes (FORMAT.md).
 *
 * A *row* is a committed fact with the version of the record that made it so: rows may come in any order, twice, or not at all, and the later
 * version wins. A *block* is a run of rows that can be read alone. Pure; any thread. */
#ifndef SPREAD_MESSAGE_H
#define SPREAD_MESSAGE_H

#include "replication/groups/groups.h"

#define SPREAD_MESSAGE_MAX (1u << 20) /* bytes */
#define SPREAD_PIECE_BYTES (64u << 10) /* rows of one block, but for the last one that was begun */

/* Place of a record: lexicographic (PROTOCOLS 2.5.4). {0, 0} is before everything. */
struct spread_version {
    uint32_t epoch;
    uint64_t lsn;
};

static inline int spread_version_compare(struct spread_version a, struct spread_version b)
{
    if (a.epoch != b.epoch) return a.epoch < b.epoch ? -1 : 1;
    return a.lsn < b.lsn ? -1 : a.lsn > b.lsn;
}

enum spread_row_kind {
    SPREAD_CELL,       /* a committed offset */
    SPREAD_CELL_GONE,  /* it was forgotten */
    SPREAD_GROUP,      /* a group itself */
    SPREAD_GROUP_GONE, /* it was deleted with all its offsets */
    SPREAD_ROW_KINDS,
};

struct spread_row {
    enum spread_row_kind kind;
    struct slice group;
    struct spread_version version;
    uint32_t time_s; /* wall clock: when it was committed; of what is gone: when that was told first */
    struct uuid topic;     /* CELL, CELL_GONE */
    uint32_t partition;    /* CELL, CELL_GONE */
    uint64_t offset;       /* CELL */
    int32_t record_epoch;  /* CELL */
    struct slice metadata; /* CELL */
    enum group_protocol protocol; /* GROUP, as what follows */
    uint32_t generation, reset_epoch, member_count;
    uint64_t empty_since_ms;
};

/* ---- runs of rows ---- */

struct spread_rows_writer {
    struct codec_writer writer;
    size_t group_at, group_size; /* where the group's name was written last */
    struct uuid topic;
    struct spread_version version;
    uint32_t time_s;
    bool has_topic;
};

/* Writes behind what `to` holds; the error, if any, stands in writer.writer.error, and what was written is of no use then. */
struct spread_rows_writer spread_rows_write(struct buffer *to);
void spread_rows_put(struct spread_rows_writer *writer, const struct spread_row *row);

struct spread_rows_reader {
    struct codec_reader reader;
    struct slice group;
    struct uuid topic;
    struct spread_version version;
    uint32_t time_s;
    bool has_topic;
};

struct spread_rows_reader spread_rows_read(struct slice rows);
/* False at the end. Slices borrow from the rows. Rows of a decoded message are good to their end. */
bool spread_rows_next(struct spread_rows_reader *reader, struct spread_row *ret_row);

/* ---- ends of partitions ---- */

struct spread_end {
    struct uuid topic;
    uint32_t partition;
    uint32_t leader_epoch;
    uint64_t high_watermark, log_start;
};

struct spread_ends_writer {
    struct codec_writer writer;
    struct uuid topic;
    bool has_topic;
};

struct spread_ends_writer spread_ends_write(struct buffer *to);
void spread_ends_put(struct spread_ends_writer *writer, const struct spread_end *end);

struct spread_ends_reader {
    struct codec_reader reader;
    struct uuid topic;
    bool has_topic;
};

struct spread_ends_reader spread_ends_read(struct slice ends);
bool spread_ends_next(struct spread_ends_reader *reader, struct spread_end *ret_end); /* as spread_rows_next() */

/* ---- messages ---- */

enum spread_message_kind {
    SPREAD_SUBSCRIBE = 1, /* to the leader of a group partition: tell me of it from here on */
    SPREAD_UNSUBSCRIBE,
    SPREAD_ROUND,     /* what changed between two places of the log, or a part of it, where both are the first */
    SPREAD_PIECE,     /* of all that there is: pieces 0, 1, ... of one walk, the last one is marked */
    SPREAD_RECOVER,   /* every replica was lost: what have you heard? */
    SPREAD_RECOVERED, /* pieces likewise, of what a broker had heard */
    SPREAD_ENDS,      /* high watermarks of partitions that the sender leads */
    SPREAD_MESSAGE_KINDS,
};

struct spread_message {
    enum spread_message_kind kind;
    uint32_t partition;  /* all but ENDS: of the groups' topic */
    uint32_t epoch;      /* of its leader, as the sender knows it */
    bool has_position;   /* SUBSCRIBE: everything below `to` is known from this epoch's leader */
    uint64_t from, to;   /* ROUND: places. PIECE: `to` is where its rounds go on. SUBSCRIBE: `to` */
    uint32_t piece;      /* PIECE, RECOVERED: its number. ROUND: parts of it that came before */
    bool is_last;        /* PIECE, RECOVERED */
    uint64_t age_ms;     /* RECOVERED: since the sender was told last */
    struct slice rows;   /* ROUND, PIECE, RECOVERED; ENDS: ends */
};

/* Appends the message's bytes. Errors: MESH_ENOMEM, MESH_ETOOLARGE; `to` is then as before. */
int spread_message_encode(const struct spread_message *message, struct buffer *to);

/* *ret_message borrows from `from`; rows and ends have been read to their end.
 * Errors: MESH_EVERSION (a newer version or kind: to be ignored), MESH_EPROTO. */
int spread_message_decode(struct slice from, struct spread_message *ret_message);

#endif
