/* recover/parts.h - parts that states and messages share, as bytes. */
#ifndef RECOVER_PARTS_H
#define RECOVER_PARTS_H

#include "base/codec.h"
#include "replication/recover/state.h"

void recover_put_ballot(struct codec_writer *writer, const struct recover_ballot *ballot);
struct recover_ballot recover_get_ballot(struct codec_reader *reader);
void recover_put_value(struct codec_writer *writer, const struct recover_value *value);
struct recover_value recover_get_value(struct codec_reader *reader);
void recover_put_party(struct codec_writer *writer, const struct recover_party *party);
void recover_get_party(struct codec_reader *reader, struct recover_party *party);

#endif
