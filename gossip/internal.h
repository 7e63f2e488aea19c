/* gossip/internal.h - what the files of this folder share: one gossip and one member of it. */
#ifndef GOSSIP_INTERNAL_H
#define GOSSIP_INTERNAL_H

#include "base/list.h"
#include "base/map.h"
#include "base/random.h"
#include "gossip/codec.h"
#include "gossip/gossip.h"
#include "gossip/health.h"
#include "gossip/suspicion.h"
#include "gossip/switches.h"
#include "gossip/timers.h"

#define SPREAD_TRANSMITS_MAX 24 /* more than mult * ceil(log10(4097)) for any sensible mult */
#define RELAYS_MAX           64 /* pings on behalf of others under way */
#define STRANGERS_MAX        64 /* accusations of brokers not yet known */
#define OBSERVERS_NEEDED     2  /* witnesses of a vanished process that make it dead at once */
#define RECENTLY_DEAD_US     (60ull * 1000 * 1000) /* so long the dead are gossiped to */
#define LINKS_RING           3  /* members next on the ring of hashes that each keeps a link to */

enum timer_kind {
    TIMER_PROBE,      /* a probe ends and the next begins */
    TIMER_PROBE_LATE, /* no direct answer: ask others */
    TIMER_RUMOUR,
    TIMER_DIGEST,
    TIMER_LINKS, /* who is to be linked changed */
    TIMER_SEEDS,
    TIMER_LEAVE,
    TIMER_RELAY,     /* of a struct relay */
    TIMER_SUSPICION, /* of a member, as the following */
    TIMER_MAIL,
    TIMER_DIAL,
    TIMER_REAP,
};

/* What is spread, by weight: the earlier class goes first into a packet. */
enum spread_class { SPREAD_REFUTATION, SPREAD_ACCUSATION, SPREAD_NEWS, SPREAD_SOFT, SPREAD_CLASSES };
enum spread_what { SPREAD_SELF, SPREAD_STATE, SPREAD_GONE, SPREAD_VALUES, SPREAD_WHATS };

/* One thing to spread: what it says is read from the member when a packet is made, so that newer replaces older. */
struct spread_slot {
    struct list_node rumour; /* in spread.queue[rank][transmits] */
    struct list_node mail;   /* in mail.slots, by serial */
    uint64_t serial;         /* of its last announcement by mail */
    uint32_t mail_left;      /* members that have not acknowledged it */
    uint8_t what, rank, transmits;
    bool is_rumoured, is_mailed;
};

/* One origin's soft state as known here. */
struct soft_origin {
    struct list_node entries; /* oldest version first */
    uint64_t version, gc_version;
    uint64_t confirmed;   /* up to here its origin said it itself, over its link */
    bool is_doubted;      /* it was asked for all of it, to replace what is here */
    uint64_t spread_from; /* what the slot says: the changes after this version */
    uint32_t count;
};

struct member {
    struct gossip_member shown; /* first: what callers see */
    struct map_node node;
    uint32_t index;                  /* in members */
    uint32_t ring_index, pool_index; /* + 1; 0: not alive or suspect, or self */
    uint64_t hash_share;             /* of members_hash */
    uint64_t soft_share;             /* of soft_hash */
    uint64_t ring_hash;              /* its place on the ring of links */

    uint8_t raw[CODEC_SELF_MAX]; /* what it signed, as it came, to be passed on */
    uint16_t raw_size;
    uint8_t signature[GOSSIP_SIGNATURE];
    uint8_t left_signature[GOSSIP_SIGNATURE];

    struct suspicion suspicion; /* while SUSPECT; its accusers while DEAD */
    struct uuid observers[OBSERVERS_NEEDED];
    uint64_t observed_us; /* when the newest of the observers spoke */
    uint8_t observer_count;
    bool has_observed; /* this broker is one */
    uint64_t met_us;      /* when it entered the table */
    uint64_t told_us;     /* when it was last told what it is accused of */
    uint64_t died_us;     /* when it became so anywhere, as far as known: for tombstones */
    bool is_faded;        /* a tombstone too old to be passed on */

    struct spread_slot slots[SPREAD_WHATS];
    uint64_t mail_acked; /* it has every mailed slot up to this serial */
    uint64_t mail_sent;
    uint8_t mail_tries;
    bool mail_queued;

    uint64_t synced_us;     /* last full exchange */
    uint64_t summarised_us; /* when its soft versions were last compared with ours at length */
    uint64_t reset_us;  /* when its link was reset; 0: not lately */
    uint32_t backoff_us;
    uint8_t udp_misses;
    bool is_wanted;  /* a link to it is to be kept */
    bool is_needed;  /* the caller says so */
    bool is_dialled; /* a dial is under way */
    bool is_ours;    /* the link was dialled by us */
    uint64_t link_idle_us; /* since when nobody here needs the link; 0: it is needed */

    struct timer suspicion_timer, mail_timer, dial_timer, reap_timer;

    struct list_node report; /* in reports: a MEMBER output is due */
    bool is_new;
    enum gossip_state reported_was;

    struct soft_origin soft;
    struct member *grave; /* next of those to be freed */
};

/* One thing to do, remembered until gossip_next_output() makes its bytes. */
enum pending_type {
    PENDING_PING,      /* member, seq, by link or packet */
    PENDING_PING_TO,   /* the same for a target that may be unknown: peer, address */
    PENDING_PING_REQ,  /* member asks about other */
    PENDING_ANSWER,    /* answer, seq, to peer at address, or over its link */
    PENDING_MAIL,      /* member */
    PENDING_MAIL_ACK,  /* serial, to peer at address, or over its link */
    PENDING_RUMOUR,    /* member */
    PENDING_STRANGER,  /* member; index: of the accusation */
    PENDING_TELL,      /* member: what it is accused of */
    PENDING_INTRODUCE, /* own self to peer at address */
    PENDING_HELLO,     /* over the new link to peer */
    PENDING_SYNC,      /* the whole table, in pieces: index goes on */
    PENDING_SUMMARY,   /* all soft versions, in pieces: index goes on */
    PENDING_ASK_SOFT,  /* own version of other's soft state */
    PENDING_SOFT,      /* changes of other's soft state after `from` */
    PENDING_PLAIN,     /* `type` of an output that has no bytes */
};

struct pending {
    uint8_t type;
    uint8_t answer; /* enum item_type */
    bool by_link, wants_reply, wants_all, says_who, says_digest, says_observed;
    uint8_t plain; /* enum gossip_output_type */
    uint32_t seq, index;
    uint64_t serial, from, gc_version;
    struct member *member, *other;
    struct uuid peer;
    struct net_address address;
};

struct relay {
    struct timer timer;
    uint32_t seq, asker_seq; /* 0: free */
    struct uuid asker, target;
    struct net_address asker_address;
    bool by_link;
};

struct stranger {
    struct uuid subject;
    uint64_t incarnation, used; /* used: the higher the later; 0: free */
    uint32_t age_s;
    uint8_t type, accuser_count;
    struct uuid accusers[SUSPICION_ACCUSERS_MAX];
};

struct seed {
    struct net_address address;
    struct uuid peer; /* who answered there; zero: nobody yet */
    uint64_t due_us;
    uint32_t backoff_us;
    bool is_dialled;
    bool has_opened; /* its link is not accounted for yet: see links_mark_up() */
};

struct probe {
    struct member *target; /* NULL: none under way */
    uint64_t sent_us, incarnation;
    uint32_t seq;
    uint8_t nacks_expected, nacks;
    bool is_acked, is_acked_by_udp, asked_others;
};

struct gossip {
    struct gossip_options options;
    uint64_t now_us; /* of the event being handled */
    struct random random;
    struct timers timers;
    struct gossip_stats stats;
    uint64_t defects;

    /* members */
    struct member *self;
    struct map by_id;
    struct member **members, **ring, **pool; /* all; in probe order; alive or suspect in no order */
    uint32_t member_count, ring_count, ring_next, pool_count, capacity;
    uint64_t members_hash, soft_hash, hash_seed;
    uint64_t changed_us; /* when the table last changed */
    struct member *graves;

    /* probing */
    struct probe probe;
    struct health health;
    uint32_t rtt_p99_us;
    uint32_t next_seq;
    struct relay relays[RELAYS_MAX];
    uint32_t next_relay;
    struct timer probe_timer, probe_late_timer, rumour_timer, digest_timer, links_timer, seeds_timer, leave_timer;
    bool digest_due;
    uint64_t stall_due_us, stall_counted_us; /* the last stall: what was overdue, and how long that is known */

    /* spreading */
    struct list_node queue[SPREAD_CLASSES][SPREAD_TRANSMITS_MAX + 1];
    uint32_t queued;
    struct list_node mail_slots;
    uint64_t mail_serial;
    struct stranger strangers[STRANGERS_MAX];
    uint64_t stranger_clock;

    /* links */
    struct seed *seeds;
    size_t seed_count;
    uint32_t linked_count;
    struct net_address observed;
    struct uuid observed_by;
    uint64_t readdressed_us; /* when this broker last changed its address; 0: never */
    uint64_t twin_us;     /* when an identity that is used twice was last looked into */
    uint64_t soft_conflict_us; /* when that was last concluded from what is unsigned */
    uint64_t conflict_us; /* when another process with this identity was last reported */

    /* soft state */
    struct map soft_keys;
    size_t soft_bytes;

    /* leaving */
    bool is_leaving, has_left;
    uint64_t leave_began_us;

    /* outputs */
    struct pending *pending; /* a ring */
    uint32_t pending_at, pending_count, pending_capacity;
    struct list_node reports, soft_reports; /* members and soft entries that changed */
    struct list_node soft_graves;           /* entries that an output may still name */
    uint8_t *room;                          /* where bytes are made */
};

static inline bool member_is_live(const struct member *member)
{
    return member->shown.state == GOSSIP_ALIVE || member->shown.state == GOSSIP_SUSPECT;
}

static inline const struct uuid *member_id(const struct member *member)
{
    return &member->shown.self.id;
}

static inline uint32_t boot_of(uint64_t incarnation)
{
    return (uint32_t)(incarnation >> 32);
}

/* Alive or suspect, this broker included. */
static inline uint32_t gossip_size(const struct gossip *gossip)
{
    return gossip->pool_count + 1;
}

/* duration, give or take a quarter. */
static inline uint64_t gossip_jitter(struct gossip *gossip, uint64_t duration_us)
{
    return duration_us - duration_us / 4 + random_below(&gossip->random, duration_us / 2 + 1);
}

#endif
