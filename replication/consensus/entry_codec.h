/* consensus/entry_codec.h - the small things of entry.h as bytes, for all messages and files that name servers and chains. */
#ifndef CONSENSUS_ENTRY_CODEC_H
#define CONSENSUS_ENTRY_CODEC_H

#include "base/codec.h"
#include "replication/consensus/entry.h"

#include <string.h>

/* Two uuids: broker, disk. */
static inline void raft_put_server(struct codec_writer *writer, const struct raft_server *server)
{
    codec_put_uuid(writer, &server->broker);
    codec_put_uuid(writer, &server->dir);
}

static inline struct raft_server raft_get_server(struct codec_reader *reader)
{
    struct raft_server server;

    server.broker = codec_get_uuid(reader);
    server.dir = codec_get_uuid(reader);
    return server;
}

/* Without as many bytes the reader is bad, and `chain` as it was. */
static inline void raft_get_chain(struct codec_reader *reader, uint8_t chain[RAFT_CHAIN_SIZE])
{
    struct slice bytes = codec_get_raw(reader, RAFT_CHAIN_SIZE);

    if (bytes.size == RAFT_CHAIN_SIZE) memcpy(chain, bytes.data, RAFT_CHAIN_SIZE);
}

#endif
