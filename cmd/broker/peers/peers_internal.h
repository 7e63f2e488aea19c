/* peers/peers_internal.h - what the driver's files share. */
#ifndef BROKER_PEERS_PEERS_INTERNAL_H
#define BROKER_PEERS_PEERS_INTERNAL_H

#include "base/list.h"
#include "base/map.h"
#include "cmd/broker/peers/link.h"
#include "cmd/broker/peers/link_self.h"
#include "cmd/broker/peers/log_limiter.h"
#include "cmd/broker/peers/peer_streams.h"
#include "cmd/broker/peers/peer_users.h"
#include "cmd/broker/peers/peers.h"
#include "cmd/broker/peers/remembered.h"
#include "cmd/broker/peers/seeds.h"
#include "cmd/broker/peers/udp.h"

#include <ev.h>

/* One link, from its dial or adoption to its end. The one that gossip knows of a peer is the chosen one. */
struct peer_link {
    struct list_node node; /* in peers.links */
    struct map_node chosen; /* in peers.chosen, while is_chosen */
    struct peers *peers;
    struct link *link;
    struct uuid id;     /* zero before the peer is proven */
    bool is_chosen;     /* gossip was told that it is up */
    bool is_superseded; /* it ends because another one was chosen */
    bool is_introduced; /* `self` is there */
    bool is_announced;  /* it is up for users, and not yet down */
    uint32_t told;      /* of the types (bits), those whose users were told so; a user may come later than the link */
    struct link_self self;
    uint64_t used_us; /* when gossip was last told that it is used; 0: never */
};

struct peer_user {
    const struct peer_user_hooks *hooks; /* NULL: none */
    void *user;
};

/* Where the rotation that this broker leads has got to (key_rotation.c). */
enum rotation_phase { ROTATION_NONE, ROTATION_INSTALL, ROTATION_USE, ROTATION_REMOVE };

struct peers {
    struct peers_options options;
    struct ev_loop *loop;
    struct gossip *gossip;
    struct packet_sealer *sealer;
    struct udp *udp; /* NULL: the port is taken, links carry everything */
    struct seeds *seeds;
    struct list_node links;
    struct map chosen; /* the links that count, by peer */
    uint32_t link_count;
    uint32_t stranger_count; /* of the links, those that came in and have not proven yet who they are */
    ev_timer tick, leave_timer;
    uint64_t armed_us; /* when tick is due */
    uint64_t twin_told_us; /* when it was last logged that an identity is used twice; 0: never */
    uint64_t shut_out_us;  /* when a peer last said that it is linked with another process of this identity; 0: never */
    bool is_driving, is_leaving;
    bool is_behind; /* others know of this broker's boots up to behind_boot; noted and acted upon as has_left */
    uint32_t behind_boot;
    bool has_left; /* noted while outputs are taken, acted upon afterwards */
    struct failed_dial { struct net_address address; struct uuid expected; } failed_dials[8]; /* likewise */
    size_t failed_dial_count;
    peers_left_fn *left;
    void *left_user;
    struct peer_user users[LINK_TYPE_COUNT];
    const struct peer_news_hooks *news; /* NULL: nobody listens */
    void *news_user;
    struct peer_link *receiving; /* while a user's receive() runs */
    uint8_t receiving_type;
    struct peer_streams { /* peer_streams.c */
        const struct peer_stream_hooks *hooks; /* NULL: nobody takes them */
        void *user;
        struct list_node dialled, accepted; /* handshakes under way, the oldest first */
        uint32_t dialled_count, accepted_count;
    } streams;
    struct map wants;     /* peer_users.c */
    ev_timer wants_timer; /* wants that changed outside of peers_drive() */
    bool has_wants;       /* gossip does not know all of them */
    ev_timer users_timer; /* users that came after links */
    struct log_limiter packet_lines, link_lines;
    struct peers_stats stats;
    struct { /* peer_memory.c */
        struct net_address addresses[REMEMBERED_MAX]; /* of the last life; tried until this broker has company */
        struct net_address written[REMEMBERED_MAX];   /* what stands in the file */
        size_t count, written_count;
        ev_timer timer;
        bool is_changed; /* since it was last looked at */
        int error;       /* of the last attempt to write */
    } memory;
    struct {
        enum rotation_phase phase;
        uint32_t key_id;
        uint32_t linger; /* steps since all use the new key */
        ev_timer timer;
        struct uuid blocker; /* a member that the phase waits for; zero: none */
        char problem[256];   /* why this broker could not write its ring down when it was last asked to; "": it could */
        int install_error;   /* of the last key that was sent here */
    } rotation;
};

uint64_t peers_now_us(void);

/* After every event: does what gossip wants done, and sets the timer. */
void peers_drive(struct peers *peers);

/* Two processes use the identity of this member: one is where the member is known to be, one was met at `where`. Both go on, as
 * nobody can tell which is right; without a line in the log it would look like flapping links. */
void peers_tell_twin(struct peers *peers, const struct uuid *twin, const struct net_address *where);

/* A peer is linked with a later boot of this broker, and hears that one only. */
void peers_tell_shut_out(struct peers *peers, const struct link *link, uint32_t boot);

/* ---- peer_links.c ---- */

void peers_dial(struct peers *peers, const struct net_address *address, const struct uuid *expected);
struct peer_link *peers_find_link(const struct peers *peers, const struct uuid *id); /* the chosen one, or NULL */
void peers_hang_up(struct peers *peers, const struct uuid *id);
void peers_send(struct peers *peers, const struct uuid *id, enum link_type type, struct slice payload);
void peers_abandon_links(struct peers *peers);
void peers_fill_link_options(struct peers *peers, const struct link_hooks *hooks, struct link_options *ret_options);

/* ---- peer_streams.c ---- */

void peer_streams_open(struct peers *peers);
void peer_streams_close(struct peers *peers);

/* ---- peer_users.c ---- */

void peer_users_open(struct peers *peers);
void peer_users_close(struct peers *peers);
void peer_users_receive(struct peers *peers, struct peer_link *link, uint8_t type, struct slice message);
void peer_users_announce(struct peers *peers, struct peer_link *link); /* up, once it is chosen and introduced */
void peer_users_withdraw(struct peers *peers, struct peer_link *link); /* down, if it was announced */
void peer_users_met(struct peers *peers, const struct uuid *id);       /* gossip did not know it before */
bool peer_users_tell_gossip(struct peers *peers);

/* ---- peer_memory.c ---- */

void peer_memory_open(struct peers *peers);    /* before gossip's first event */
void peer_memory_close(struct peers *peers);   /* writes what has changed; safe after a failed open */
void peer_memory_changed(struct peers *peers); /* a member came, went or moved */
bool peer_memory_is_needed(const struct peers *peers);
/* The remembered addresses behind `count` others; returns how many there are then. */
size_t peer_memory_add(struct peers *peers, struct net_address *seeds, size_t count, size_t count_max);
bool peer_memory_has_served(struct peers *peers); /* true once, when others were found: from then on they are no seeds */

/* ---- key_rotation.c ---- */

int key_rotation_open(struct peers *peers); /* publishes what this broker holds. Errors: MESH_ENOMEM */
void key_rotation_close(struct peers *peers);
void key_rotation_receive(struct peers *peers, const struct uuid *from, struct slice payload);

#endif
