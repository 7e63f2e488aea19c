/* consensus/store_format.h - the bytes of the store's files (FORMAT.md), each structure to and from memory. Pure.
 *
 * Decoding answers 0, MESH_ECORRUPT, or MESH_EVERSION (good bytes of a newer mesh). */
#ifndef CONSENSUS_STORE_FORMAT_H
#define CONSENSUS_STORE_FORMAT_H

#include "base/fs.h"
#include "replication/consensus/raft.h"

#define STORE_VERSION         1u
#define STORE_BLOCK_SIZE      4096u
#define STORE_HEADER_SIZE     128u /* of an entry; four to a sector, so none is torn in itself */
#define STORE_SEGMENT_SLOTS   512u /* entries of one segment, at most */
#define STORE_BODIES_POSITION (STORE_BLOCK_SIZE + STORE_SEGMENT_SLOTS * STORE_HEADER_SIZE)
#define STORE_STATE_SIZE      512u
#define STORE_MARK_SIZE       64u
#define STORE_LIVES_HEAD_SIZE 64u
#define STORE_CLAIM_SIZE      72u
#define STORE_CHUNK_SIZE      65536u /* bytes of a snapshot under one CRC */
#define STORE_CHUNK_HEAD      8u

/* What is replaced as a whole, and kept twice: one damaged copy loses nothing that was acknowledged. */
struct store_state {
    uint64_t sequence; /* the copy with the higher one is the newer */
    struct raft_server self, voted_for;
    uint64_t term;
    uint64_t generation;    /* raised by every cut */
    uint64_t cut_index;     /* entries from here on of an earlier generation are dead, wherever they are found */
    uint64_t damaged_until; /* a hole up to there is not filled and decided yet; 0: none */
    uint64_t forced_term;   /* raft_recovered.forced_term */
};

/* How far things are known to be good. Written without waiting: a lower bound. */
struct store_mark {
    uint64_t generation, durable, committed;
};

struct store_segment_head {
    uint64_t base, generation;
    struct raft_server self;
};

/* The header of an entry: in its slot, and once more before its body. */
struct store_header {
    uint64_t index, term, generation;
    uint64_t durable;  /* the log was durable up to there when this was written: it vouches for all of that */
    uint64_t position; /* where in the file the second header is; the body follows it */
    enum raft_entry_type type;
    uint32_t size, body_crc;
    uint8_t chain[RAFT_CHAIN_SIZE];
};

struct store_snapshot_head {
    struct raft_position position;
    struct raft_config config;
    uint64_t size; /* of the user's bytes */
    uint32_t crc;  /* of all of them */
};

void store_state_encode(const struct store_state *state, uint8_t to[STORE_STATE_SIZE]);
int store_state_decode(const uint8_t from[STORE_STATE_SIZE], struct store_state *ret_state);

/* One record of the file of lives: of an earlier life (server zero), or of another server's. */
void store_claim_encode(const struct raft_other *other, uint8_t to[STORE_CLAIM_SIZE]);
void store_claim_decode(const uint8_t from[STORE_CLAIM_SIZE], struct raft_other *ret_other);

/* The head of the file of lives. */
struct store_lives_head {
    struct raft_server self;
    struct raft_life life;
    uint32_t past_count, other_count;
};
void store_lives_head_encode(const struct store_lives_head *head, uint8_t to[STORE_LIVES_HEAD_SIZE]);
/* `from` is the whole file, with the CRC at its end. */
int store_lives_head_decode(struct slice from, struct store_lives_head *ret_head);

void store_mark_encode(const struct store_mark *mark, uint8_t to[STORE_MARK_SIZE]);
int store_mark_decode(const uint8_t from[STORE_MARK_SIZE], struct store_mark *ret_mark);

void store_segment_head_encode(const struct store_segment_head *head, uint8_t to[STORE_BLOCK_SIZE]);
int store_segment_head_decode(const uint8_t from[STORE_BLOCK_SIZE], struct store_segment_head *ret_head);

void store_header_encode(const struct store_header *header, uint8_t to[STORE_HEADER_SIZE]);
int store_header_decode(const uint8_t from[STORE_HEADER_SIZE], struct store_header *ret_header);

/* Errors: MESH_ENOMEM. */
int store_snapshot_head_encode(const struct store_snapshot_head *head, uint8_t to[STORE_BLOCK_SIZE]);
int store_snapshot_head_decode(const uint8_t from[STORE_BLOCK_SIZE], struct store_snapshot_head *ret_head);

/* The eight bytes before a chunk; they also say whose it is. */
void store_chunk_seal(uint64_t snapshot, uint64_t chunk, const uint8_t *bytes, uint32_t size, uint8_t to[STORE_CHUNK_HEAD]);
bool store_chunk_is_good(uint64_t snapshot, uint64_t chunk, const uint8_t *bytes, uint32_t size,
                         const uint8_t head[STORE_CHUNK_HEAD]);

/* Bytes of a snapshot file that holds `size` bytes of the user's. */
static inline uint64_t store_snapshot_file_size(uint64_t size)
{
    return STORE_BLOCK_SIZE + size + (size + STORE_CHUNK_SIZE - 1) / STORE_CHUNK_SIZE * STORE_CHUNK_HEAD;
}

#endif
