/* peers/peer_users.h - what the rest of the broker does with links: sends messages of its own type to peers, hears theirs, and has
 * links kept that gossip alone would not keep. Control loop.
 *
 * None of these calls runs a hook. All may be made from inside any hook of peers. */
#ifndef BROKER_PEERS_PEER_USERS_H
#define BROKER_PEERS_PEER_USERS_H

#include "cmd/broker/peers/link_queue.h"
#include "gossip/gossip.h"

struct peers;

struct peer_user_hooks {
    /* Messages can be sent to and come from the peer, whose disk is dir_id. Each up() is followed by one down(), but for the
     * last, which peers_close() ends. Two ups of one peer have a down between them: what was sent before it is lost, or arrived. */
    void (*up)(void *user, const struct uuid *peer, const struct uuid *dir_id);
    void (*down)(void *user, const struct uuid *peer);
    /* `message` is valid until the hook returns; peers_take_message() keeps it. */
    void (*receive)(void *user, const struct uuid *peer, const struct uuid *dir_id, struct slice message);
};

/* One user for each of LINK_TYPE_CONSENSUS, METADATA, FORWARD and SPREAD, for good; up() comes for links that are up already, from the loop.
 * up and down may be NULL. `hooks` is kept. */
void peers_set_user(struct peers *peers, enum link_type type, const struct peer_user_hooks *hooks, void *user);

/* Queues a copy for the peer. Errors: MESH_ECLOSED (no link, or the peer has not said yet who it is), MESH_ETOOLARGE, MESH_ENOMEM, MESH_EFULL (too
 * much waits for it already: LINK_BULK_BYTES_MAX; what is refused is as good as lost). */
int peers_link_send(struct peers *peers, const struct uuid *peer, enum link_type type, struct slice message);

/* The same without a copy; takes the message on success. */
int peers_link_send_message(struct peers *peers, const struct uuid *peer, struct link_message *message);

/* Takes back a message that was sent over the link that is up now and not given back yet: true, and done() will not run, if none of it is on its
 * way. */
bool peers_link_take_back(struct peers *peers, const struct uuid *peer, struct link_message *message);

/* Inside receive(): makes the message's bytes the caller's, who frees them. NULL: no memory. */
uint8_t *peers_take_message(struct peers *peers, struct slice message);

/* Is there a link over which peers_link_send() would send? Its peer's disk, if asked for. */
bool peers_is_linked(const struct peers *peers, const struct uuid *peer, struct uuid *ret_dir_id);

/* Has a link to the peer dialled, and again whenever it is lost (gossip_set_needed()), until taken back; counted: two wants need two
 * takings back. A peer that is not known yet is dialled when it is. Errors: MESH_ENOMEM, MESH_EFULL (GOSSIP_MEMBERS_MAX peers are wanted). */
int peers_want_link(struct peers *peers, const struct uuid *peer);
void peers_unwant_link(struct peers *peers, const struct uuid *peer); /* harmless where none is wanted */

/* gossip_set_registered(), also for a broker that becomes known only later. Errors: as above. */
int peers_set_registered(struct peers *peers, const struct uuid *broker, bool is_registered);

/* This broker's own frontier of the metadata log, for everybody (gossip_set_frontier()). */
void peers_set_frontier(struct peers *peers, const struct gossip_frontier *frontier);

/* What gossip knows of a broker, or NULL; valid until the next event. */
const struct gossip_member *peers_find_member(const struct peers *peers, const struct uuid *broker);
size_t peers_member_count(const struct peers *peers);
const struct gossip_member *peers_member_at(const struct peers *peers, size_t index);

/* What gossip tells, for one listener; each may be NULL. */
struct peer_news_hooks {
    void (*member)(void *user, const struct gossip_member *member, enum gossip_state was, bool is_new);
    void (*forgot)(void *user, const struct uuid *broker);
    void (*gone)(void *user, const struct uuid *broker); /* this broker saw itself that its process has ended */
    void (*frontier)(void *user, const struct gossip_member *member); /* it has more of the log than this broker */
};
void peers_set_news(struct peers *peers, const struct peer_news_hooks *hooks, void *user);

#endif
