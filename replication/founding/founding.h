/* founding/founding.h - the first boot of a mesh: brokers with empty directories agree on one mesh and its first voters, or
 * find the mesh that is there already (PROTOCOLS 3.3). Why two meshes never form, and when they could: README.md.
 *
 * Sans-I/O. Events and the time go in, outputs come out; no call blocks, reads a clock, touches a disk or socket:
 *
 *     founding_receive() / founding_tick() / founding_stored() ...               an event
 *     while (founding_next_output(founding, now_us, &output)) ...                what is to be done
 *     founding_due_us()                                                          when to tick next
 *
 * After every event all outputs are taken before the next. An output's pointers are valid until the next call.
 *
 * Durability. What others are told is what the disk holds: messages are made from the state that was last reported by founding_stored(),
 * so a driver cannot send too early. One store is under way at a time. A store that fails is final: the broker falls silent.
 *
 * Security is the caller's: `from` is who an authenticated channel names. Times: monotonic microseconds. One thread. */
#ifndef FOUNDING_FOUNDING_H
#define FOUNDING_FOUNDING_H

#include "base/net_address.h"
#include "replication/founding/state.h"

#define FOUNDING_SEEDS_MAX 256
#define FOUNDING_TEXT_MAX  640 /* bytes of a sentence for people */
#define FOUNDING_NEVER     UINT64_MAX

struct founding;

enum founding_mode {
    FOUNDING_SERVE, /* founds a mesh of one at once, unless its directory says otherwise */
    FOUNDING_JOIN,  /* asks its seeds; founds only with expect > 0, and never alone unless expect is 1 */
};

struct founding_options {
    struct raft_server self;    /* durable already */
    struct net_address address; /* where others reach it; an ip of zeros: as they see it */
    enum founding_mode mode;
    uint32_t expect;            /* JOIN: so many brokers are to found a mesh together; 0: it only waits for one */
    struct uuid fresh_cluster;  /* random: the mesh's uuid, if this broker happens to propose it */
    bool keeps_marker;          /* --founded-marker is given */
    struct uuid marker;         /* what it says; zero: there is none yet */
    const char *marker_path;    /* for sentences; may be NULL. Borrowed for good */
    uint64_t seed;              /* of waits */
    uint32_t ask_interval_us;   /* between two questions to one address, in a small mesh; 500 ms */
    uint32_t patience_us;       /* a majority waits so long for the others, once; 5 s */
    uint32_t resend_us;         /* of a proposal that is not answered; 300 ms */
    uint32_t alive_us;          /* who was heard within it counts as there; 10 s */
};
void founding_options_init(struct founding_options *options); /* the times above; zeros for the rest */

/* `recovered`: what the disk remembers; NULL: nothing. Errors: MESH_EINVAL (no self, more expected than FOUNDING_EXPECT_MAX, SERVE with an
 * expect), MESH_ENOMEM. */
int founding_new(const struct founding_options *options, const struct founding_state *recovered, uint64_t now_us,
                 struct founding **ret_founding);
void founding_free(struct founding *founding); /* accepts NULL */

/* ---- events ---- */

/* Where to look for others; replaces the earlier ones (names resolve to other addresses over time). Beyond FOUNDING_SEEDS_MAX: ignored. */
void founding_set_seeds(struct founding *founding, uint64_t now_us, const struct net_address *seeds, size_t count);

/* While it is held back it founds no mesh by itself alone (an `expect` of 1), as the driver does not know yet that its seeds lead to nobody else: a name that cannot
 * be asked for, or an address where nobody answers, may be that of a mesh. At first it is not held. Where several are expected their number guards that. */
void founding_hold_alone(struct founding *founding, uint64_t now_us, bool is_held);

void founding_tick(struct founding *founding, uint64_t now_us);
uint64_t founding_due_us(const struct founding *founding);

/* A message of the broker `from`, which answers are sent to at `source`. May be lost, doubled, late; what is malformed or speaks for another
 * broker is dropped and counted. A broker that belongs to a mesh keeps its founding to answer those that look for one. */
void founding_receive(struct founding *founding, uint64_t now_us, const struct uuid *from, const struct net_address *source,
                      struct slice message);

/* Nobody answers there: who was last heard there is gone until it is heard again. */
void founding_unreachable(struct founding *founding, uint64_t now_us, const struct net_address *address);

void founding_stored(struct founding *founding, uint64_t now_us, uint64_t store);
void founding_store_failed(struct founding *founding, uint64_t now_us, int error);

/* The answer to MARK. An error is told and does no harm but that the second place protects nothing until the next start. */
void founding_marked(struct founding *founding, uint64_t now_us, int error);

/* ---- outputs ---- */

enum founding_output_type {
    FOUNDING_OUTPUT_SEND,  /* `message` to `address`, where `to` should be (zero: whoever is there) */
    FOUNDING_OUTPUT_STORE, /* make `state` durable, replacing the last one as a whole; then founding_stored(store) */
    FOUNDING_OUTPUT_MARK,  /* write value.cluster to the second place; then founding_marked() */
    FOUNDING_OUTPUT_LOG,   /* `text` and `cure`, for people: whenever what keeps it waiting changes */
    FOUNDING_OUTPUT_DONE,  /* once: it belongs to value.cluster. With is_founder: bootstrap consensus with value.founders */
};

struct founding_output {
    enum founding_output_type type;
    struct net_address address;
    struct uuid to;
    struct slice message;
    uint64_t store;
    const struct founding_state *state;
    const char *text, *cure; /* cure: "" when there is nothing to do */
    bool is_warning;
    struct founding_value value;
    bool is_founder;
};

bool founding_next_output(struct founding *founding, uint64_t now_us, struct founding_output *ret_output);

/* ---- what it knows ---- */

struct founding_status {
    bool is_done, has_failed, is_proposing;
    bool is_set_back; /* its disk: it founds nothing any more, and still joins a mesh that it hears of */
    unsigned present, needed; /* brokers that could found, this one included, and how many it takes */
    uint64_t dropped;         /* messages */
    uint64_t proposals;       /* that it made */
};
void founding_get_status(const struct founding *founding, uint64_t now_us, struct founding_status *ret_status);

/* What is known to be on the disk. */
const struct founding_state *founding_get_state(const struct founding *founding);

#endif
