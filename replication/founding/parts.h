/* founding/parts.h - servers, ballots and values as bytes, for states and messages alike. */
#ifndef FOUNDING_PARTS_H
#define FOUNDING_PARTS_H

#include "replication/consensus/entry_codec.h"
#include "replication/founding/state.h"

struct raft_server founding_get_server(struct codec_reader *reader); /* no zeros */
void founding_put_ballot(struct codec_writer *writer, const struct founding_ballot *ballot);
struct founding_ballot founding_get_ballot(struct codec_reader *reader);
void founding_put_value(struct codec_writer *writer, const struct founding_value *value);
struct founding_value founding_get_value(struct codec_reader *reader); /* of a mesh; founders in order */

#endif
