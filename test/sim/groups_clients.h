/* sim/groups_clients.h - members of consumer groups: the client's own machine (client/group_member.h) over a network that loses, delays and repeats what
 * it carries, a handler that takes its time, and all that befalls applications: they stall, come back as zombies, are killed, leave, seek back.
 *
 * A member asks whichever broker it likes; one that does not lead passes the request on, once. Copies of requests come late, through other brokers.
 * What a member handles is read from the observer's truth of a partition: how records get there is the world "replication"'s.
 *
 * S20: whoever begins to handle records of a partition is the only one whose lease allows that; excused is who was slower than it had promised, once the leader has taken
 * the partition from it. S3: a member's records of a partition follow one another. At least once: all that was produced is handled by somebody, unless an
 * operator set offsets. L9: where there is something to handle and a living member, it is handled. */
#ifndef SIM_GROUPS_CLIENTS_H
#define SIM_GROUPS_CLIENTS_H

#include "client/group_member.h"
#include "client/group_pulse.h"
#include "sim/groups_watch.h"

#define GROUPS_MEMBERS_MAX 16
#define GROUPS_PARCELS_MAX 1024 /* on their way at once; more are lost */

/* What a member has of a partition. */
struct groups_share {
    bool is_owned, is_asked_back;
    bool is_excused;             /* taken from it, as it was overdue */
    uint64_t position, handled;  /* next to be taken; all before it is done */
    uint64_t taken_to, until_us; /* what the handler is at; 0: nothing */
};

struct groups_member {
    struct groups_clients *clients;
    uint32_t index, group;
    struct consumer_member *machine; /* NULL: no process */
    struct consumer_pulse pulse;
    char id[GROUPS_NAME_SIZE], instance[GROUPS_NAME_SIZE]; /* id: as the machine chose it */
    uint32_t life;             /* how often it was started */
    bool is_hog;               /* its handler takes longer than it declares */
    bool is_closing;           /* it hands out nothing more, and leaves when its handlers have returned */
    bool is_leaving, leaves_for_good;
    uint64_t stalled_until_us;
    uint64_t sequence, request_until_us; /* the machine's request under way; 0: none */
    uint64_t pulse_number, pulse_until_us;
    uint64_t acked_sequence;   /* of its requests, the newest that was acknowledged, and as what: the observer's */
    struct groups_version acked;
    struct groups_leaver {
        char id[GROUPS_NAME_SIZE];
        uint64_t at_us;        /* when a leader decided it first */
    } leaving, left;           /* the last life whose leaving was decided, and acknowledged */
    uint32_t host;             /* asked last with success; UINT32_MAX: none */
    struct groups_share shares[REPLICATION_PARTITIONS_MAX];
    /* What it was assigned of topics so new that the observer does not know them yet. */
    struct consumer_member_change unplaced[GROUPS_CELLS_MAX];
    uint32_t unplaced_count;
};

/* A request or an answer on its way. */
struct groups_parcel {
    bool is_used, is_answer;
    uint32_t host, waits;
    struct groups_answer what;
};

struct groups_clients {
    struct sim *sim;
    struct groups_watch *watch;
    const struct groups_config *config;
    uint32_t member_count, group_count;
    struct groups_member members[GROUPS_MEMBERS_MAX];
    struct groups_parcel parcels[GROUPS_PARCELS_MAX];
    uint32_t next_parcel;
    uint64_t numbers;
    uint32_t lost_ppm, copied_ppm, seek_ppm; /* requests and answers; requests; handled batches */
    uint32_t route_ppm; /* chance that the broker is asked again that answered last */
    uint64_t handler_mean_us;
    uint32_t session_ms, processing_ms;
    bool has_patterns, has_instances;
    uint8_t *done[GROUPS_MAX][REPLICATION_PARTITIONS_MAX]; /* handled offsets, GROUPS_OFFSETS_MAX bits; owned */
    uint64_t handled, again, joined, lost;
};
#define GROUPS_OFFSETS_MAX 16384 /* of a partition; what is beyond is not checked */

void groups_clients_init(struct groups_clients *clients);
void groups_clients_deinit(struct groups_clients *clients);
void groups_clients_reset(struct groups_clients *clients, struct sim *sim, struct groups_watch *watch, const struct groups_config *config, uint32_t groups, uint32_t members);

void groups_clients_start(struct groups_clients *clients, uint32_t member); /* a process of it, if there is none */
void groups_clients_kill(struct groups_clients *clients, uint32_t member);
void groups_clients_leave(struct groups_clients *clients, uint32_t member); /* in good order: when its handlers have returned; the process ends when it has left */
void groups_clients_stall(struct groups_clients *clients, uint32_t member, uint64_t for_us);
uint32_t groups_clients_alive(const struct groups_clients *clients, uint32_t group);

/* Whether groups consume that partition, by its place in the observer's table. */
bool groups_clients_consume(const struct groups_clients *clients, uint32_t place);

/* An operator sets offsets of one partition, if it finds the group's leader. */
void groups_clients_set_offset(struct groups_clients *clients, uint32_t group, uint32_t place, uint64_t offset);

/* A consumer outside of groups commits, knowing whatever reset epoch it has read just now; its answer goes nowhere. */
void groups_clients_commit_alone(struct groups_clients *clients, uint32_t group, uint32_t place, uint64_t offset);

/* The hooks. */
void groups_clients_judged(struct groups_clients *clients, const struct groups_answer *answer);
void groups_clients_answered(struct groups_clients *clients, struct replication_process *process, const struct groups_answer *answer);
void groups_clients_told(struct groups_clients *clients, const struct group_event *event);

/* Why not everything that was produced is handled and committed in groups that have members; NULL: it is. */
const char *groups_clients_unrest(struct groups_clients *clients);

#endif
