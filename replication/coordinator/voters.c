/* coordinator/voters.c - see voters.h.
 *
 * First the voters that stay, then who fills the places, then the learners that are to fill the next ones. Learners cost nothing but
 * traffic, so they come and go freely; voters change only where both the old and the new set have a living majority. */
#include "replication/coordinator/voters.h"

#include <stdio.h>
#include <string.h>

#define SEATS_MAX IMAGE_BROKERS_MAX

/* One registered broker that may vote in a mesh of this size. */
struct seat {
    const struct image_broker *broker;
    struct raft_server server; /* on the disk that it has now */
    bool is_voter, is_learner; /* in the configuration, on that disk */
    bool is_alive, is_steady, is_gone; /* steady: alive, or silent for a moment only */
    bool is_ready;             /* learner that may become a voter now */
    bool is_chosen;            /* votes in the wanted configuration */
};

struct look {
    const struct voters_input *input;
    const struct image *image;
    struct seat seats[SEATS_MAX];
    size_t seat_count;
    uint32_t target;
};

uint32_t voters_target(size_t data_broker_count, bool has_witness)
{
    if (data_broker_count < 2) return 1;
    if (data_broker_count == 2) return has_witness ? 3 : 1;
    return data_broker_count < 5 ? 3 : 5;
}

/* ---- who there is ---- */

static bool list_has(const struct raft_server *list, uint8_t count, const struct raft_server *server)
{
    for (uint8_t i = 0; i < count; i++) {
        if (raft_server_equal(&list[i], server)) return true;
    }
    return false;
}

static const struct voter_facts *facts_of(const struct voters_input *input, const struct uuid *broker_id)
{
    for (size_t i = 0; i < input->fact_count; i++) {
        if (uuid_equal(&input->facts[i].broker_id, broker_id)) return &input->facts[i];
    }
    return NULL;
}

static void fill_seat(const struct voters_input *input, const struct image_broker *broker, struct seat *seat)
{
    const struct voter_facts *facts = facts_of(input, &broker->broker_id);
    bool is_self;

    *seat = (struct seat){.broker = broker, .server = {broker->broker_id, broker->dir_id}};
    is_self = raft_server_equal(&seat->server, &input->self);
    seat->is_voter = list_has(input->config->voters, input->config->voter_count, &seat->server);
    seat->is_learner = list_has(input->config->learners, input->config->learner_count, &seat->server);
    seat->is_alive = is_self || (facts != NULL && facts->alive_us != 0);
    seat->is_steady = seat->is_alive ||
                      (facts != NULL && facts->silent_us != 0 && input->now_us - facts->silent_us < input->stable_us);
    if (is_self || facts == NULL) return;
    seat->is_gone = facts->silent_us != 0 && input->now_us - facts->silent_us >= input->gone_us;
    seat->is_ready = seat->is_learner && seat->is_alive && input->now_us - facts->alive_us >= input->stable_us &&
                     facts->is_caught_up && facts->health == 0 && !broker->is_draining;
}

/* One witness votes, where there are two brokers: the one that does already, else one that follows, else one that is alive. */
static void seat_witness(struct look *look)
{
    struct seat best, seat;
    int best_rank = -1;

    for (size_t i = 0; i < image_broker_count(look->image); i++) {
        const struct image_broker *broker = image_broker_at(look->image, i);
        int rank;
        if (!broker->is_witness) continue;
        fill_seat(look->input, broker, &seat);
        rank = (seat.is_voter && !seat.is_gone ? 4 : 0) + (seat.is_learner && seat.is_steady ? 2 : 0) + seat.is_alive;
        if (rank <= best_rank) continue;
        best = seat;
        best_rank = rank;
    }
    if (best_rank >= 0) look->seats[look->seat_count++] = best;
}

static void take_a_look(const struct image *image, const struct voters_input *input, struct look *look)
{
    size_t hosts = 0, witnesses = 0;

    look->input = input;
    look->image = image;
    look->seat_count = 0;
    for (size_t i = 0; i < image_broker_count(image); i++)
        *(image_broker_at(image, i)->is_witness ? &witnesses : &hosts) += 1;
    look->target = voters_target(hosts, witnesses != 0);
    for (size_t i = 0; i < image_broker_count(image); i++) {
        const struct image_broker *broker = image_broker_at(image, i);
        if (!broker->is_witness) fill_seat(input, broker, &look->seats[look->seat_count++]);
    }
    if (hosts == 2) seat_witness(look); /* more brokers have votes enough of their own */
}

static struct seat *seat_of(struct look *look, const struct raft_server *server)
{
    for (size_t i = 0; i < look->seat_count; i++) {
        if (raft_server_equal(&look->seats[i].server, server)) return &look->seats[i];
    }
    return NULL;
}

/* ---- who is to vote ---- */

/* Chosen ones in the same zone; brokers without a zone are everybody's neighbours and nobody's. */
static uint32_t neighbours(const struct look *look, const struct seat *seat)
{
    uint32_t count = 0;

    for (size_t i = 0; i < look->seat_count; i++)
        count += look->seats[i].is_chosen && &look->seats[i] != seat &&
                 strcmp(look->seats[i].broker->zone, seat->broker->zone) == 0;
    return count;
}

/* Of the seats that `may` says: data before the witness, then the one with the fewest chosen in its zone, then the lower node id. */
static struct seat *best_seat(struct look *look, bool (*may)(const struct look *look, const struct seat *seat))
{
    struct seat *best = NULL;

    for (size_t i = 0; i < look->seat_count; i++) {
        struct seat *seat = &look->seats[i];
        uint32_t mine, its;
        if (seat->is_chosen || !may(look, seat)) continue;
        mine = neighbours(look, seat);
        its = best == NULL ? UINT32_MAX : neighbours(look, best);
        if (best != NULL && best->broker->is_witness != seat->broker->is_witness) {
            if (best->broker->is_witness) best = seat;
        } else if (mine < its) {
            best = seat;
        }
    }
    return best;
}

static bool is_self(const struct look *look, const struct seat *seat)
{
    return raft_server_equal(&seat->server, &look->input->self) && seat->is_voter;
}

static bool is_living_voter(const struct look *look, const struct seat *seat)
{
    (void)look;
    return seat->is_voter && seat->is_alive && !seat->is_gone;
}

static bool is_silent_voter(const struct look *look, const struct seat *seat)
{
    (void)look;
    return seat->is_voter && !seat->is_gone;
}

static bool is_ready(const struct look *look, const struct seat *seat)
{
    (void)look;
    return seat->is_ready && !seat->is_voter;
}

static bool is_any_voter(const struct look *look, const struct seat *seat)
{
    (void)look;
    return seat->is_voter;
}

static bool may_be_ready_soon(const struct look *look, const struct seat *seat)
{
    (void)look;
    return !seat->is_voter && seat->is_alive && !seat->broker->is_draining;
}

/* Takes seats until `limit` are chosen. */
static void choose_until(struct look *look, uint32_t *count, uint32_t limit, bool (*may)(const struct look *, const struct seat *))
{
    struct seat *seat;

    while (*count < limit && (seat = best_seat(look, may)) != NULL) {
        seat->is_chosen = true;
        (*count)++;
    }
}

/* A voter without a seat whose broker is registered all the same: on a disk that it lost, or a witness that is needed no more. It goes
 * when another takes its place, not before; one that was removed from the mesh goes at once. */
static bool is_leftover(struct look *look, const struct raft_server *server)
{
    return seat_of(look, server) == NULL && image_find_broker_by_uuid(look->image, &server->broker) != NULL;
}

/* Chooses the voters; *ret_leftovers of those without a seat stay. Failures never shrink the set: the gone and the leftovers fill the places
 * that nobody else takes, up to the number of now. */
static uint32_t choose_voters(struct look *look, uint32_t *ret_leftovers)
{
    uint32_t count = 0, now = look->input->config->voter_count, limit = now < look->target ? now : look->target, leftovers = 0;

    choose_until(look, &count, look->target, is_self);
    choose_until(look, &count, look->target, is_living_voter);
    choose_until(look, &count, look->target, is_silent_voter);
    choose_until(look, &count, look->target, is_ready);
    /* An even number tolerates no more than the odd one below it: grow by pairs, unless the number is even already. */
    for (size_t i = look->seat_count; count > now && count % 2 == 0 && i > 0; i--) {
        if (!look->seats[i - 1].is_chosen || look->seats[i - 1].is_voter) continue;
        look->seats[i - 1].is_chosen = false;
        count--;
    }
    choose_until(look, &count, limit, is_any_voter);
    for (uint8_t i = 0; i < look->input->config->voter_count; i++)
        leftovers += is_leftover(look, &look->input->config->voters[i]);
    *ret_leftovers = limit > count ? limit - count : 0;
    if (*ret_leftovers > leftovers) *ret_leftovers = leftovers;
    return count + *ret_leftovers;
}

/* A voter changes places for the zones' sake: only when all is well. */
static void spread_over_zones(struct look *look, uint32_t count)
{
    struct seat *newcomer;

    if (count != look->input->config->voter_count || count != look->target) return;
    for (size_t i = 0; i < look->seat_count; i++) {
        if (look->seats[i].is_chosen != look->seats[i].is_voter || (look->seats[i].is_voter && !look->seats[i].is_alive)) return;
    }
    newcomer = best_seat(look, is_ready);
    if (newcomer == NULL || neighbours(look, newcomer) != 0) return;
    for (size_t i = look->seat_count; i > 0; i--) {
        struct seat *seat = &look->seats[i - 1];
        if (!seat->is_chosen || is_self(look, seat) || neighbours(look, seat) == 0) continue;
        seat->is_chosen = false;
        newcomer->is_chosen = true;
        return;
    }
}

/* ---- the configuration that follows ---- */

/* Voters in their old order first, so that an unchanged set is an unchanged list. */
static void write_voters(struct look *look, uint32_t leftovers, struct raft_config *wanted)
{
    const struct raft_config *config = look->input->config;

    for (uint8_t i = 0; i < config->voter_count; i++) {
        const struct seat *seat = seat_of(look, &config->voters[i]);
        bool is_kept = seat != NULL && seat->is_chosen;
        if (leftovers > 0 && is_leftover(look, &config->voters[i])) {
            leftovers--;
            is_kept = true;
        }
        if (is_kept) wanted->voters[wanted->voter_count++] = config->voters[i];
    }
    for (size_t i = 0; i < look->seat_count; i++) {
        if (look->seats[i].is_chosen && !look->seats[i].is_voter)
            wanted->voters[wanted->voter_count++] = look->seats[i].server;
    }
}

static bool is_any(const struct seat *seat)
{
    (void)seat;
    return true;
}

static bool is_steady(const struct seat *seat)
{
    return seat->is_steady;
}

static bool is_not_gone(const struct seat *seat)
{
    return !seat->is_gone;
}

/* Learners of now that `may` says, until there are `limit`. From here on is_chosen means: has a place of some kind. */
static void keep_learners(struct look *look, uint32_t limit, bool (*may)(const struct seat *seat), struct raft_config *wanted)
{
    const struct raft_config *config = look->input->config;

    for (uint8_t i = 0; i < config->learner_count && wanted->learner_count < limit; i++) {
        struct seat *seat = seat_of(look, &config->learners[i]);
        if (seat == NULL || seat->is_chosen || !may(seat)) continue;
        seat->is_chosen = true;
        wanted->learners[wanted->learner_count++] = seat->server;
    }
}

/* Learners: as many as places are free, and one more to stand by. Those that are there and well stay. */
static void write_learners(struct look *look, bool is_voters_change, struct raft_config *wanted)
{
    uint32_t living = 0, limit;

    for (size_t i = 0; i < look->seat_count; i++)
        living += look->seats[i].is_chosen && !look->seats[i].is_gone;
    limit = (living < look->target ? look->target - living : 0) + 1;
    keep_learners(look, is_voters_change ? RAFT_SERVERS_MAX : limit, is_voters_change ? is_any : is_steady, wanted);
    while (!is_voters_change && wanted->learner_count < limit && wanted->learner_count < RAFT_SERVERS_MAX) {
        struct seat *seat = best_seat(look, may_be_ready_soon);
        if (seat == NULL) break;
        seat->is_chosen = true;
        wanted->learners[wanted->learner_count++] = seat->server;
    }
    if (!is_voters_change) keep_learners(look, limit, is_not_gone, wanted);
}

static bool has_living_majority(struct look *look, const struct raft_config *config)
{
    uint32_t living = 0;

    for (uint8_t i = 0; i < config->voter_count; i++) {
        const struct seat *seat = seat_of(look, &config->voters[i]);
        const struct image_broker *broker = image_find_broker_by_uuid(look->image, &config->voters[i].broker);
        const struct voter_facts *facts = facts_of(look->input, &config->voters[i].broker);
        bool is_heard = facts != NULL && facts->alive_us != 0;
        /* one that was removed, or has no vote in this size of mesh, may be alive all the same; one on another disk is not it */
        living += seat != NULL ? seat->is_alive
                               : is_heard && (broker == NULL || uuid_equal(&broker->dir_id, &config->voters[i].dir));
    }
    return living * 2 > config->voter_count;
}

static bool lists_equal(const struct raft_server *a, uint8_t a_count, const struct raft_server *b, uint8_t b_count)
{
    for (uint8_t i = 0; i < a_count && a_count == b_count; i++) {
        if (!list_has(b, b_count, &a[i])) return false;
    }
    return a_count == b_count;
}

static void say(struct voters_choice *choice, const struct look *look, const char *text)
{
    snprintf(choice->why, sizeof(choice->why), "%s (%u vote%s now, %u wanted)", text, look->input->config->voter_count,
             look->input->config->voter_count == 1 ? "" : "s", look->target);
}

static void judge(struct look *look, struct voters_choice *choice)
{
    const struct raft_config *config = look->input->config, *wanted = &choice->wanted;

    if (lists_equal(wanted->voters, wanted->voter_count, config->voters, config->voter_count)) {
        choice->is_wanted = !lists_equal(wanted->learners, wanted->learner_count, config->learners, config->learner_count);
        if (choice->is_wanted)
            say(choice, look, "a broker follows consensus, to vote when it is needed");
        else if (config->voter_count != look->target)
            say(choice, look, "the votes are to change when enough brokers have been up, and caught up, for a while");
        return;
    }
    if (wanted->voter_count == 0 || !has_living_majority(look, config) || !has_living_majority(look, wanted)) {
        say(choice, look, "the votes cannot change while a majority of the old or of the new ones is not heard");
        return;
    }
    choice->is_wanted = true;
    if (wanted->voter_count > config->voter_count)
        say(choice, look, "the mesh has grown: more brokers vote");
    else if (wanted->voter_count < config->voter_count)
        say(choice, look, "brokers were removed from the mesh: fewer vote");
    else
        say(choice, look, "a vote moves to another broker: its holder is gone or was removed, or another zone gets one");
}

void voters_choose(const struct image *image, const struct voters_input *input, struct voters_choice *ret_choice)
{
    struct look look;
    uint32_t leftovers, count;

    memset(ret_choice, 0, sizeof(*ret_choice));
    ret_choice->wanted = *input->config;
    if (input->config->voter_count == 0 || input->config->old_voter_count != 0) {
        snprintf(ret_choice->why, sizeof(ret_choice->why), "%s",
                 input->config->voter_count == 0 ? "nobody votes yet" : "a change of votes is under way");
        return;
    }
    memset(&ret_choice->wanted, 0, sizeof(ret_choice->wanted));
    take_a_look(image, input, &look);
    count = choose_voters(&look, &leftovers);
    spread_over_zones(&look, count);
    write_voters(&look, leftovers, &ret_choice->wanted);
    write_learners(&look, !lists_equal(ret_choice->wanted.voters, ret_choice->wanted.voter_count, input->config->voters,
                                       input->config->voter_count),
                   &ret_choice->wanted);
    judge(&look, ret_choice);
    if (!ret_choice->is_wanted) ret_choice->wanted = *input->config;
}
