#include "replication/recover/state.h"

#include "base/error.h"
#include "replication/recover/parts.h"

#include <stdlib.h>

#define STATE_VERSION 1

int recover_state_encode(const struct recover_state *state, struct buffer *to)
{
    struct codec_writer writer = {.to = to};
    size_t size = to->size;

    codec_put_varint(&writer, STATE_VERSION);
    codec_put_varint(&writer, state->is_removed);
    codec_put_varint(&writer, state->removed_history);
    recover_put_ballot(&writer, &state->promised);
    recover_put_ballot(&writer, &state->accepted);
    if (state->accepted.round != 0) {
        recover_put_value(&writer, &state->value);
        recover_put_party(&writer, &state->party);
    }
    if (writer.error != 0) to->size = size;
    return writer.error;
}

static int decode(struct codec_reader *reader, struct recover_state *state)
{
    if (codec_get_varint(reader) != STATE_VERSION) return reader->is_bad ? MESH_ECORRUPT : MESH_EVERSION;
    state->is_removed = codec_get_bounded(reader, 1) != 0;
    state->removed_history = codec_get_bounded(reader, RECOVER_HISTORY_MAX);
    state->promised = recover_get_ballot(reader);
    state->accepted = recover_get_ballot(reader);
    if (state->accepted.round != 0) {
        state->value = recover_get_value(reader);
        recover_get_party(reader, &state->party);
    }
    if (!codec_reader_is_done(reader) || recover_ballot_compare(&state->accepted, &state->promised) > 0) return MESH_ECORRUPT;
    return 0;
}

int recover_state_decode(struct slice from, struct recover_state *ret_state)
{
    struct recover_state *state = calloc(1, sizeof(*state));
    struct codec_reader reader = codec_reader_of(from);
    int err = state == NULL ? MESH_ENOMEM : decode(&reader, state);

    if (err == 0) *ret_state = *state;
    free(state);
    return err;
}
