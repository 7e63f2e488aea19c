#include "sim/gossip_watch.h"

#include "base/assert.h"
#include "base/bytes.h"
#include "sim/gossip_keys.h"
#include "sim/sim_sometimes.h"

#include <stdlib.h>

#define IDENTITIES_MAX   64 /* of one host: each wiped disk makes one */
#define QUEUE_BYTES_MAX  (4u << 20)
#define VALUE_SIZE       24

/* What an identity has really said. */
struct truth {
    struct uuid id;
    uint64_t incarnation_max, frontier_max, soft_max;
    bool is_twin; /* two processes have, or had, this identity */
};

/* What a broker believed of another when last looked at. */
struct belief {
    struct uuid id;
    uint64_t incarnation;
    enum gossip_state state;
    uint64_t soft[WATCH_KEYS_CHURN];
    uint64_t forgotten_us; /* 0: it is in the table */
    uint32_t round;
};

struct view {
    struct gossip_process *process;
    uint32_t boot, belief_count, belief_capacity, round, events;
    uint64_t hash;
    struct belief *beliefs;
};

struct gossip_watch {
    struct sim *sim;
    uint64_t false_deaths, twins_told;
    uint64_t false_deaths_by[SIM_HOSTS_MAX], false_deaths_about[SIM_HOSTS_MAX];
    struct truth truths[SIM_HOSTS_MAX][IDENTITIES_MAX];
    uint8_t truth_counts[SIM_HOSTS_MAX];
    struct view views[SIM_HOSTS_MAX];
};

struct gossip_watch *gossip_watch_new(void)
{
    struct gossip_watch *watch = calloc(1, sizeof(*watch));

    MESH_ASSERT(watch != NULL);
    return watch;
}

void gossip_watch_free(struct gossip_watch *watch)
{
    for (uint32_t i = 0; i < SIM_HOSTS_MAX; i++)
        free(watch->views[i].beliefs);
    free(watch);
}

void gossip_watch_reset(struct gossip_watch *watch, struct sim *sim)
{
    watch->sim = sim;
    watch->false_deaths = watch->twins_told = 0;
    memset(watch->false_deaths_by, 0, sizeof(watch->false_deaths_by));
    memset(watch->false_deaths_about, 0, sizeof(watch->false_deaths_about));
    memset(watch->truth_counts, 0, sizeof(watch->truth_counts));
    for (uint32_t i = 0; i < sim_host_count(sim); i++) {
        watch->views[i].process = NULL;
        watch->views[i].belief_count = 0;
    }
}

uint64_t gossip_watch_false_deaths(const struct gossip_watch *watch)
{
    return watch->false_deaths;
}

uint64_t gossip_watch_false_deaths_by(const struct gossip_watch *watch, uint32_t host)
{
    return watch->false_deaths_by[host];
}

uint64_t gossip_watch_false_deaths_about(const struct gossip_watch *watch, uint32_t host)
{
    return watch->false_deaths_about[host];
}

uint64_t gossip_watch_twins_told(const struct gossip_watch *watch)
{
    return watch->twins_told;
}

/* ---- truth ---- */

/* The host that this identity belongs to, and what is known of it; NULL: nobody has it. Stand-ins name their host. */
static struct truth *truth_at(struct gossip_watch *watch, uint32_t host, const struct uuid *id)
{
    for (unsigned i = watch->truth_counts[host]; i-- > 0;) {
        if (uuid_equal(&watch->truths[host][i].id, id)) return &watch->truths[host][i];
    }
    return NULL;
}

static struct truth *find_truth(struct gossip_watch *watch, const struct uuid *id, uint32_t *ret_host)
{
    uint32_t count = sim_host_count(watch->sim), first = le_load32(id->bytes);

    for (uint32_t i = 0; i <= count; i++) {
        uint32_t host = i == 0 ? first : i - 1;
        struct truth *truth = host >= count ? NULL : truth_at(watch, host, id);
        if (truth == NULL) continue;
        *ret_host = host;
        return truth;
    }
    return NULL;
}

static struct truth *truth_of(struct gossip_watch *watch, const struct uuid *id)
{
    uint32_t host;

    return find_truth(watch, id, &host);
}

static uint32_t host_of(struct gossip_watch *watch, const struct uuid *id)
{
    uint32_t host = UINT32_MAX;

    (void)find_truth(watch, id, &host);
    return host;
}

/* A process says who it is. */
static struct truth *note_identity(struct gossip_watch *watch, uint32_t host, const struct uuid *id)
{
    struct truth *truth = truth_of(watch, id); /* also of another host, whose disk was copied */

    if (truth != NULL || watch->truth_counts[host] == IDENTITIES_MAX) return truth;
    truth = &watch->truths[host][watch->truth_counts[host]++];
    *truth = (struct truth){.id = *id};
    return truth;
}

void gossip_watch_note_twin(struct gossip_watch *watch, const struct uuid *id)
{
    struct truth *truth = truth_of(watch, id);

    if (truth != NULL) truth->is_twin = true;
}

void gossip_watch_stopping(void *user, struct sim_host *host, struct gossip_process *process)
{
    struct gossip_watch *watch = user;
    const struct gossip_member *self = gossip_find(gossip_process_core(process), gossip_process_id(process));
    struct truth *truth = note_identity(watch, sim_host_index(host), gossip_process_id(process));

    if (truth != NULL && self != NULL && self->self.incarnation > truth->incarnation_max)
        truth->incarnation_max = self->self.incarnation;
}

void gossip_watch_delete_soft(struct gossip_watch *watch, struct sim_host *host, unsigned key)
{
    struct gossip_process *process = sim_host_process(host);
    uint8_t name[2] = {'k', (uint8_t)('0' + key)};

    (void)watch;
    gossip_soft_delete(gossip_process_core(process), sim_host_now_us(host), slice_of(name, 2));
    gossip_process_drain(process);
}

void gossip_watch_set_soft(struct gossip_watch *watch, struct sim_host *host, unsigned key)
{
    struct gossip_process *process = sim_host_process(host);
    struct truth *truth = truth_of(watch, gossip_process_id(process));
    uint8_t value[VALUE_SIZE], name[2] = {'k', (uint8_t)('0' + key)};

    if (truth == NULL) return;
    memcpy(value, truth->id.bytes, UUID_SIZE);
    le_store64(value + UUID_SIZE, ++truth->soft_max);
    gossip_soft_set(gossip_process_core(process), sim_host_now_us(host), slice_of(name, 2), slice_of(value, VALUE_SIZE));
    gossip_process_drain(process);
}

void gossip_watch_churn_soft(struct gossip_watch *watch, struct sim_host *host)
{
    for (unsigned key = WATCH_KEYS; key < WATCH_KEYS_CHURN && sim_host_is_running(host); key++) {
        gossip_watch_set_soft(watch, host, key);
        if (sim_host_is_running(host)) gossip_watch_delete_soft(watch, host, key);
    }
}

void gossip_watch_set_frontier(struct gossip_watch *watch, struct sim_host *host)
{
    struct gossip_process *process = sim_host_process(host);
    struct truth *truth = truth_of(watch, gossip_process_id(process));
    struct gossip_frontier frontier = {.term = 1};

    if (truth == NULL) return;
    frontier.index = ++truth->frontier_max;
    frontier.chain = sim_mix(1, frontier.index);
    gossip_set_frontier(gossip_process_core(process), &frontier);
    gossip_process_drain(process);
}

/* ---- beliefs ---- */

static struct belief *belief_of(struct view *view, const struct uuid *id, uint32_t hint)
{
    if (hint < view->belief_count && uuid_equal(&view->beliefs[hint].id, id)) return &view->beliefs[hint];
    for (uint32_t i = 0; i < view->belief_count; i++) {
        if (uuid_equal(&view->beliefs[i].id, id)) return &view->beliefs[i];
    }
    return NULL;
}

static struct belief *add_belief(struct view *view, const struct uuid *id)
{
    if (view->belief_count == view->belief_capacity) {
        view->belief_capacity = view->belief_capacity == 0 ? 16 : view->belief_capacity * 2;
        view->beliefs = realloc(view->beliefs, view->belief_capacity * sizeof(view->beliefs[0]));
        MESH_ASSERT(view->beliefs != NULL);
    }
    view->beliefs[view->belief_count] = (struct belief){.id = *id};
    return &view->beliefs[view->belief_count++];
}

static void note_death(struct gossip_watch *watch, struct sim_host *host, const struct gossip_member *member)
{
    uint32_t number = host_of(watch, &member->self.id);
    struct sim_host *subject = number == UINT32_MAX ? NULL : sim_host_at(watch->sim, number);
    struct gossip_process *process = subject == NULL ? NULL : sim_host_process(subject);

    if (process == NULL || !uuid_equal(gossip_process_id(process), &member->self.id) ||
        gossip_process_boot(process) != member->self.incarnation >> 32)
        return;
    watch->false_deaths++;
    watch->false_deaths_by[sim_host_index(host)]++;
    watch->false_deaths_about[sim_host_index(subject)]++;
    sim_trace(watch->sim, host, "holds h%u dead, which lives", sim_host_index(subject));
}

/* Some broker that runs, other than `except`, holds it alive or suspect. */
static bool is_live_to_another(struct gossip_watch *watch, uint32_t except, const struct uuid *id)
{
    for (uint32_t i = 0; i < sim_host_count(watch->sim); i++) {
        struct belief *belief = watch->views[i].process == NULL || i == except ? NULL : belief_of(&watch->views[i], id, 0);
        if (belief != NULL && belief->forgotten_us == 0 && belief->state <= GOSSIP_SUSPECT) return true;
    }
    return false;
}

/* Who was forgotten comes back alive only from those that hold it so, itself included; from a tombstone it comes back dead. But
 * for packets that the network kept for longer than a tombstone lasts: what they revive is suspected in its turn. */
static void check_return(struct gossip_watch *watch, struct sim_host *host, const struct belief *belief,
                         const struct gossip_member *member)
{
    if (member->state >= GOSSIP_DEAD) {
        SIM_SOMETIMES("a tombstone that was forgotten was told of again");
        return;
    }
    if (sim_get_stats(watch->sim)->replayed > 0 || member->self.incarnation > belief->incarnation ||
        is_live_to_another(watch, sim_host_index(host), &belief->id))
        return;
    sim_fail(watch->sim, "S15 no tombstone revives anybody", "h%u: h%u came back as state %d", sim_host_index(host),
             host_of(watch, &belief->id), member->state);
}

static void check_member(struct gossip_watch *watch, struct sim_host *host, struct view *view, uint32_t index,
                         const struct gossip_member *member)
{
    struct belief *belief = belief_of(view, &member->self.id, index);
    struct truth *truth = truth_of(watch, &member->self.id);
    uint32_t self = sim_host_index(host), subject = host_of(watch, &member->self.id);
    uint64_t incarnation = member->self.incarnation;

    if (truth == NULL) {
        sim_fail(watch->sim, "S14 nothing is believed that was not said", "h%u holds a broker that nobody is", self);
        return;
    }
    if (member->is_self && incarnation > truth->incarnation_max) truth->incarnation_max = incarnation;
    if (incarnation > truth->incarnation_max)
        sim_fail(watch->sim, "S14 nothing is believed that was not said", "h%u holds h%u in incarnation %llx, which it never had",
                 self, subject, (unsigned long long)incarnation);
    if (belief == NULL) {
        belief = add_belief(view, &member->self.id);
    } else if (belief->forgotten_us != 0) {
        check_return(watch, host, belief, member);
        *belief = (struct belief){.id = belief->id};
    } else {
        if (incarnation < belief->incarnation ||
            (incarnation == belief->incarnation && member->state < belief->state))
            sim_fail(watch->sim, "S15 the member table is monotone", "h%u: h%u went from %llx state %d to %llx state %d", self,
                     subject, (unsigned long long)belief->incarnation, belief->state, (unsigned long long)incarnation,
                     member->state);
        if (belief->state == GOSSIP_LEFT && member->state != GOSSIP_LEFT && incarnation >> 32 == belief->incarnation >> 32)
            sim_fail(watch->sim, "S15 who left stays gone for that boot", "h%u: h%u", self, subject);
    }
    if (belief->state != member->state || belief->incarnation != incarnation) {
        sim_trace(watch->sim, host, "holds h%u %s, incarnation %llx", subject,
                  (const char *const[]){"alive", "suspect", "dead", "left"}[member->state], (unsigned long long)incarnation);
        if (member->state == GOSSIP_DEAD && belief->state != GOSSIP_DEAD) note_death(watch, host, member);
        SIM_SOMETIMES_IF(belief->state == GOSSIP_SUSPECT && member->state == GOSSIP_ALIVE, "an accusation was refuted");
        SIM_SOMETIMES_IF(belief->state == GOSSIP_DEAD && member->state == GOSSIP_ALIVE, "the dead came back");
        SIM_SOMETIMES_IF(belief->state == GOSSIP_LEFT && member->state == GOSSIP_ALIVE, "who had left came back");
        SIM_SOMETIMES_IF(member->state == GOSSIP_DEAD, "a member was declared dead");
        SIM_SOMETIMES_IF(member->state == GOSSIP_LEFT, "a member left");
    }
    belief->incarnation = incarnation;
    belief->state = member->state;
    belief->round = view->round;
    belief->forgotten_us = 0;
}

/* Who is in no table any more must have been dead or gone. */
static void check_forgotten(struct gossip_watch *watch, struct sim_host *host, struct view *view)
{
    for (uint32_t i = 0; i < view->belief_count; i++) {
        struct belief *belief = &view->beliefs[i];
        if (belief->round == view->round || belief->forgotten_us != 0) continue;
        if (belief->state != GOSSIP_DEAD && belief->state != GOSSIP_LEFT)
            sim_fail(watch->sim, "S15 only the dead and the left are forgotten", "h%u forgot h%u in state %d",
                     sim_host_index(host), host_of(watch, &belief->id), belief->state);
        belief->forgotten_us = sim_now_us(watch->sim);
    }
}

static void check_table(struct gossip_watch *watch, struct sim_host *host, struct view *view, const struct gossip *gossip)
{
    size_t count = gossip_member_count(gossip);

    view->round++;
    if (count > GOSSIP_MEMBERS_MAX) sim_fail(watch->sim, "S18 bounds", "%zu members", count);
    for (size_t i = 0; i < count; i++)
        check_member(watch, host, view, (uint32_t)i, gossip_member_at(gossip, i));
    if (view->belief_count > count) check_forgotten(watch, host, view);
}

static void check_bounds(struct gossip_watch *watch, struct sim_host *host, const struct gossip *gossip)
{
    struct gossip_stats stats;

    gossip_get_stats(gossip, &stats);
    if (stats.queued_bytes > QUEUE_BYTES_MAX)
        sim_fail(watch->sim, "S18 bounds", "h%u: %u bytes wait to be spread", sim_host_index(host), stats.queued_bytes);
    SIM_SOMETIMES_IF(stats.fast_deaths > 0, "a vanished process was declared dead at once");
    SIM_SOMETIMES_IF(stats.stalls > 0, "a stall was noticed");
    SIM_SOMETIMES_IF(stats.syncs > 0, "two tables were synchronised in full");
    SIM_SOMETIMES_IF(stats.indirect_acks > 0, "an indirect probe was answered");
    SIM_SOMETIMES_IF(stats.soft_resets > 0, "a broker was told to begin anew with another's soft state");
    SIM_SOMETIMES_IF(stats.nacks > 0, "a helper said that it heard nothing either");
    SIM_SOMETIMES_IF(stats.old_boot > 0, "a packet of an earlier boot was dropped");
    SIM_SOMETIMES_IF(stats.wrong_target > 0, "a packet meant for another broker was dropped");
}

void gossip_watch_event(void *user, struct sim_host *host)
{
    struct gossip_watch *watch = user;
    struct gossip_process *process = sim_host_process(host);
    struct view *view = &watch->views[sim_host_index(host)];
    const struct gossip *gossip;
    uint64_t hash;

    if (process == NULL) {
        view->process = NULL;
        return;
    }
    gossip = gossip_process_core(process);
    hash = gossip_members_hash(gossip);
    if (view->process != process || view->boot != gossip_process_boot(process)) {
        view->process = process;
        view->boot = gossip_process_boot(process);
        view->belief_count = 0;
        (void)note_identity(watch, sim_host_index(host), gossip_process_id(process));
    } else if (hash == view->hash) {
        if (++view->events % 256 == 0) check_bounds(watch, host, gossip);
        return;
    }
    view->hash = hash;
    check_table(watch, host, view, gossip);
}

/* ---- outputs ---- */

static void check_frontier(struct gossip_watch *watch, struct sim_host *host, const struct gossip_output *output)
{
    const struct gossip *gossip = gossip_process_core(sim_host_process(host));
    const struct gossip_member *member = gossip_find(gossip, &output->peer);
    struct truth *truth = truth_of(watch, &output->peer);

    SIM_SOMETIMES("a broker learnt of a further frontier");
    if (member != NULL && truth != NULL && member->frontier.index > truth->frontier_max)
        sim_fail(watch->sim, "S14 nothing is believed that was not said", "h%u believes a frontier of h%u that it never had",
                 sim_host_index(host), host_of(watch, &output->peer));
}

static void check_soft(struct gossip_watch *watch, struct sim_host *host, const struct gossip_output *output)
{
    const struct gossip *gossip = gossip_process_core(sim_host_process(host));
    struct truth *truth = truth_of(watch, &output->peer);
    struct belief *belief = belief_of(&watch->views[sim_host_index(host)], &output->peer, 0);
    uint64_t number;
    struct slice value;
    unsigned key;

    if (!gossip_soft_get(gossip, &output->peer, output->key, &value) || truth == NULL) return;
    if (truth->is_twin || slice_equal(output->key, slice_of_string(GOSSIP_KEYS_SOFT))) return; /* judged by gossip_keys.h */
    key = output->key.size == 2 ? (unsigned)(output->key.data[1] - '0') : WATCH_KEYS_CHURN;
    if (value.size != VALUE_SIZE || memcmp(value.data, truth->id.bytes, UUID_SIZE) != 0 || key >= WATCH_KEYS_CHURN ||
        le_load64(value.data + UUID_SIZE) > truth->soft_max) {
        sim_fail(watch->sim, "S14 nothing is believed that was not said", "h%u has a soft value of h%u that it never set",
                 sim_host_index(host), host_of(watch, &output->peer));
        return;
    }
    number = le_load64(value.data + UUID_SIZE);
    if (belief == NULL) return;
    if (number < belief->soft[key])
        sim_fail(watch->sim, "S14 soft state does not go back", "h%u: value %llu of h%u after %llu", sim_host_index(host),
                 (unsigned long long)number, host_of(watch, &output->peer), (unsigned long long)belief->soft[key]);
    belief->soft[key] = number;
}

/* A faded tombstone is in no hash: its end shows here only. */
static void note_forgotten(struct gossip_watch *watch, struct sim_host *host, const struct uuid *id)
{
    struct belief *belief = belief_of(&watch->views[sim_host_index(host)], id, 0);

    if (belief != NULL && belief->state >= GOSSIP_DEAD) belief->forgotten_us = sim_now_us(watch->sim);
}

void gossip_watch_output(void *user, struct sim_host *host, const struct gossip_output *output)
{
    struct gossip_watch *watch = user;

    if (sim_host_process(host) == NULL) return; /* it is being started */
    switch (output->type) {
    case GOSSIP_OUTPUT_MESSAGE:
        if (output->bytes.size > GOSSIP_MESSAGE_MAX) sim_fail(watch->sim, "S18 bounds", "a message of %zu bytes", output->bytes.size);
        break;
    case GOSSIP_OUTPUT_TWIN:
        SIM_SOMETIMES("an identity that is used twice was told of");
        watch->twins_told++;
        break;
    case GOSSIP_OUTPUT_FORGOT: note_forgotten(watch, host, &output->peer); break;
    case GOSSIP_OUTPUT_FRONTIER: check_frontier(watch, host, output); break;
    case GOSSIP_OUTPUT_SOFT: check_soft(watch, host, output); break;
    default: break;
    }
}
