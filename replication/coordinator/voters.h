/* coordinator/voters.h - which brokers vote in consensus, and what a mesh of this size can promise (PROTOCOLS 3.2).
 *
 * Pure functions over the image, the configuration and what the coordinator knows about liveness. One change at a time: the caller
 * hands `wanted` to raft_change_config() and asks again when it is committed. */
#ifndef COORDINATOR_VOTERS_H
#define COORDINATOR_VOTERS_H

#include "replication/coordinator/image.h"

#define VOTERS_WHY_SIZE 384

/* What is known of one broker: of those registered, and of voters that were removed, which may still be alive. Without facts: never heard of. */
struct voter_facts {
    struct uuid broker_id;
    uint64_t alive_us;  /* since when it has been heard without a break; 0: it is not heard now */
    uint64_t silent_us; /* since when it has not been heard; 0: it is heard, or never was (under this coordinator: its start) */
    bool is_caught_up;  /* a learner or voter less than one round behind (raft_get_progress()) */
    uint32_t health;    /* Lifeguard's: 0 is good */
};

struct voters_input {
    const struct raft_config *config; /* the newest; committed and not joint, else nothing is chosen */
    struct raft_server self;          /* the coordinator */
    const struct voter_facts *facts;
    size_t fact_count;
    uint64_t now_us;
    uint64_t stable_us; /* alive so long before it may vote; 10 s */
    uint64_t gone_us;   /* silent so long before it is replaced; 60 s */
};

struct voters_choice {
    bool is_wanted; /* false: stay; `why` says what is waited for, or is "" when all is well */
    struct raft_config wanted;
    char why[VOTERS_WHY_SIZE]; /* a sentence for people */
};

/* V(n): how many of n data brokers vote, with or without a witness. */
uint32_t voters_target(size_t data_broker_count, bool has_witness);

void voters_choose(const struct image *image, const struct voters_input *input, struct voters_choice *ret_choice);

/* What a mesh of this size, with these voters, can and cannot do, as problems for `mesh status`. Static texts; names are in `what`. */
struct voters_problem {
    char what[VOTERS_WHY_SIZE];
    const char *meaning, *remedy;
};
#define VOTERS_PROBLEMS_MAX 5
/* input->facts may be empty: then only what follows from numbers is told. Returns how many. */
size_t voters_problems(const struct image *image, const struct voters_input *input, struct voters_problem problems[VOTERS_PROBLEMS_MAX]);

#endif
