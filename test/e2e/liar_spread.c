/* e2e/liar_spread.c - lies of committed offsets and of ends, from a broker that leads neither (see liar.c): before each true message to a peer come the false ones. */
#include "liar.h"

#include "base/assert.h"
#include "base/uuid.h"
#include "cmd/broker/peers/peer_users.h"
#include "replication/spread/message.h"

#include <string.h>

#define FAR        (1ull << 40)
#define EPOCHS     4 /* that partitions of a young mesh are led in */
#define PARTITIONS 8 /* of the topic */

int __wrap_peers_link_send(struct peers *peers, const struct uuid *peer, enum link_type type, struct slice message);
int __real_peers_link_send(struct peers *peers, const struct uuid *peer, enum link_type type, struct slice message);

struct telling {
    struct peers *peers;
    const struct uuid *peer;
    struct slice group, phantom;
    struct uuid topic;
    uint32_t own;
};

static void tell(const struct telling *telling, const struct spread_message *message)
{
    struct buffer bytes = BUFFER_INIT;

    MESH_ASSERT(spread_message_encode(message, &bytes) == 0);
    (void)__real_peers_link_send(telling->peers, telling->peer, LINK_TYPE_SPREAD, buffer_slice(&bytes));
    buffer_deinit(&bytes);
}

/* Newer than anything: the group that there is went back to the beginning, and there is another one. */
static void write_rows(const struct telling *telling, struct buffer *to)
{
    struct spread_rows_writer writer = spread_rows_write(to);

    for (uint32_t i = 0; i < 2 * PARTITIONS; i++)
        spread_rows_put(&writer, &(struct spread_row){.kind = SPREAD_CELL,
                                                      .group = i < PARTITIONS ? telling->group : telling->phantom,
                                                      .version = {1000, FAR + i},
                                                      .time_s = 1,
                                                      .topic = telling->topic,
                                                      .partition = i % PARTITIONS,
                                                      .record_epoch = -1});
    MESH_ASSERT(writer.writer.error == 0);
}

static void tell_of_all(const struct telling *telling, enum spread_message_kind kind)
{
    struct buffer rows = BUFFER_INIT;

    write_rows(telling, &rows);
    for (uint32_t partition = 0; partition < GROUP_PARTITIONS; partition++)
        for (uint32_t epoch = 0; epoch < EPOCHS; epoch++)
            tell(telling, &(struct spread_message){.kind = kind, .partition = partition, .epoch = epoch, .to = FAR, .is_last = true, .rows = buffer_slice(&rows)});
    buffer_deinit(&rows);
}

static void tell_ends(const struct telling *telling)
{
    struct buffer ends = BUFFER_INIT;
    struct spread_ends_writer writer = spread_ends_write(&ends);

    for (uint32_t i = 0; i < PARTITIONS * EPOCHS; i++)
        if (i % PARTITIONS != telling->own) spread_ends_put(&writer, &(struct spread_end){.topic = telling->topic, .partition = i % PARTITIONS, .leader_epoch = i / PARTITIONS, .high_watermark = FAR});
    MESH_ASSERT(writer.writer.error == 0);
    tell(telling, &(struct spread_message){.kind = SPREAD_ENDS, .rows = buffer_slice(&ends)});
    buffer_deinit(&ends);
}

int __wrap_peers_link_send(struct peers *peers, const struct uuid *peer, enum link_type type, struct slice message)
{
    struct telling telling = {.peers = peers, .peer = peer};
    struct lie lie;

    if (type == LINK_TYPE_SPREAD && liar_lies(&lie) && uuid_parse(lie.topic, &telling.topic) == 0) {
        telling.group = slice_of_string(lie.group);
        telling.own = lie.own;
        telling.phantom = slice_of_string(lie.phantom);
        if (strcmp(lie.word, "rounds") == 0) tell_of_all(&telling, SPREAD_ROUND);
        if (strcmp(lie.word, "pieces") == 0) tell_of_all(&telling, SPREAD_PIECE);
        if (strcmp(lie.word, "recovered") == 0) tell_of_all(&telling, SPREAD_RECOVERED);
        if (strcmp(lie.word, "ends") == 0) tell_ends(&telling);
        if (strcmp(lie.word, "garbage") == 0) (void)__real_peers_link_send(peers, peer, type, slice_of_string("\x01\x03 of no sound broker"));
    }
    return __real_peers_link_send(peers, peer, type, message);
}
