#include "sim/founding_adversary.h"

#include "sim/sim_net.h"
#include "sim/sim_sometimes.h"

#define TURN_US 1000000 /* after the first knows the mesh: those that hear each other do, too */

static void set_cut(struct founding_adversary *adversary, uint32_t from, uint32_t to, bool is_cut)
{
    if (from == to || adversary->cuts[from][to] == is_cut) return;
    adversary->cuts[from][to] = is_cut;
    (is_cut ? sim_net_cut : sim_net_join)(adversary->sim, from, to, SIM_NET_ALL);
}

void founding_adversary_end(struct founding_adversary *adversary)
{
    for (uint32_t from = 0; from < sim_host_count(adversary->sim); from++)
        for (uint32_t to = 0; to < sim_host_count(adversary->sim); to++)
            set_cut(adversary, from, to, false);
    adversary->kind = FOUNDING_ADVERSARY_NONE;
}

static bool is_late(const struct founding_adversary *adversary)
{
    return sim_now_us(adversary->sim) > adversary->last_us;
}

/* ---- a minority that hears nothing ---- */

static bool knows_value(const struct founding_watch *watch, uint32_t host)
{
    return watch->seen[host].state.phase == FOUNDING_MEMBER || watch->seen[host].state.accepted.round != 0;
}

static void deafen(struct founding_adversary *adversary, uint32_t proposer)
{
    uint32_t left = (adversary->watch->expect - 1) / 2, count = sim_host_count(adversary->sim);

    for (uint32_t step = 1; step < count && left > 0; step++) {
        uint32_t deaf = (proposer + step) % count;
        if (!adversary->watch->takes_part[deaf]) continue;
        for (uint32_t from = 0; from < count; from++)
            set_cut(adversary, from, deaf, true);
        left--;
    }
}

/* Those that know the mesh lose their disks, as many as may; the others of them are cut off; the deaf hear again. */
static void turn(void *user, uint64_t argument)
{
    struct founding_adversary *adversary = user;
    uint32_t count = sim_host_count(adversary->sim), wiped = 0;
    bool is_knowing[FOUNDING_HOSTS_MAX] = {false}, is_wiped[FOUNDING_HOSTS_MAX] = {false};

    (void)argument;
    if (adversary->kind != FOUNDING_ADVERSARY_FORGETS || is_late(adversary)) return;
    for (uint32_t i = 0; i < count; i++)
        is_knowing[i] = knows_value(adversary->watch, i);
    for (uint32_t i = 0; i < count; i++) {
        if (!is_knowing[i] || !adversary->watch->takes_part[i] || wiped >= (adversary->watch->expect - 1) / 2) continue;
        if (!founding_watch_wipe(adversary->watch, i, &adversary->configs[i].marker)) continue;
        sim_trace(adversary->sim, sim_host_at(adversary->sim, i), "loses its disk to the adversary");
        sim_host_kill(sim_host_at(adversary->sim, i), SIM_STOP_POWER);
        sim_host_wipe_disk(sim_host_at(adversary->sim, i));
        is_wiped[i] = true;
        wiped++;
    }
    SIM_SOMETIMES_IF(wiped > 0, "the adversary wipes founders and hides the others");
    for (uint32_t from = 0; from < count; from++)
        for (uint32_t to = 0; to < count; to++)
            set_cut(adversary, from, to, (is_knowing[from] && !is_wiped[from]) != (is_knowing[to] && !is_wiped[to]));
    for (uint32_t i = 0; i < count; i++)
        if (is_wiped[i]) sim_host_start(sim_host_at(adversary->sim, i));
}

/* ---- a directory of before ---- */

static void back_up(struct founding_adversary *adversary, uint32_t host)
{
    const struct founding_seen *seen = &adversary->watch->seen[host];

    if (adversary->has_backup[host] || !adversary->watch->takes_part[host] || seen->state.phase != FOUNDING_BLANK) return;
    if (seen->state.stamps.number == 0) return;
    sim_host_back_up_disk(sim_host_at(adversary->sim, host));
    adversary->has_backup[host] = true;
    adversary->backups[host] = seen->state.stamps;
}

/* One of those that know the mesh is set back, and the others of them are cut off; the deaf hear again. */
static void turn_back(void *user, uint64_t argument)
{
    struct founding_adversary *adversary = user;
    uint32_t count = sim_host_count(adversary->sim), back = UINT32_MAX;
    bool is_knowing[FOUNDING_HOSTS_MAX] = {false};

    (void)argument;
    if (adversary->kind != FOUNDING_ADVERSARY_RESTORES || is_late(adversary)) return;
    for (uint32_t i = 0; i < count; i++)
        is_knowing[i] = knows_value(adversary->watch, i);
    for (uint32_t i = 0; i < count && back == UINT32_MAX; i++) {
        if (is_knowing[i] && adversary->has_backup[i] && founding_watch_restore(adversary->watch, i, &adversary->backups[i])) back = i;
    }
    if (back == UINT32_MAX) return;
    SIM_SOMETIMES("the adversary sets a founder back and hides the others");
    sim_trace(adversary->sim, sim_host_at(adversary->sim, back), "is set back by the adversary");
    sim_host_kill(sim_host_at(adversary->sim, back), SIM_STOP_POWER);
    sim_host_restore_disk(sim_host_at(adversary->sim, back));
    is_knowing[back] = false;
    for (uint32_t from = 0; from < count; from++)
        for (uint32_t to = 0; to < count; to++)
            set_cut(adversary, from, to, is_knowing[from] != is_knowing[to]);
    sim_host_start(sim_host_at(adversary->sim, back));
}

static void forget(struct founding_adversary *adversary, uint32_t host)
{
    const struct founding_state *state = &adversary->watch->seen[host].state;

    if (adversary->stage == 0 && state->promised.round != 0) {
        adversary->stage = 1;
        deafen(adversary, founding_host_of(&state->promised.proposer.broker));
    } else if (adversary->stage == 1 && state->phase == FOUNDING_MEMBER) {
        adversary->stage = 2;
        sim_at(adversary->sim, sim_now_us(adversary->sim) + TURN_US,
               adversary->kind == FOUNDING_ADVERSARY_RESTORES ? turn_back : turn, adversary, 0);
    }
}

/* ---- a proposer that dies ---- */

static void bury(struct founding_adversary *adversary, uint32_t host)
{
    const struct founding_state *state = &adversary->watch->seen[host].state;
    uint32_t proposer = founding_host_of(&state->promised.proposer.broker);

    if (state->promised.round == 0 || state->phase == FOUNDING_MEMBER || proposer == host || proposer == adversary->spared) return;
    SIM_SOMETIMES("the adversary buries a proposer");
    adversary->buried = proposer;
    sim_trace(adversary->sim, sim_host_at(adversary->sim, proposer), "is buried by the adversary");
    adversary->kind = FOUNDING_ADVERSARY_NONE;
}

static void keep_buried(void *user, uint64_t argument)
{
    struct founding_adversary *adversary = user;

    if (adversary->buried != UINT32_MAX) sim_host_kill(sim_host_at(adversary->sim, adversary->buried), SIM_STOP_POWER);
    sim_at(adversary->sim, sim_now_us(adversary->sim) + 50000, keep_buried, adversary, argument);
}

/* ---- two halves ---- */

static bool all_know_all(const struct founding_adversary *adversary)
{
    const struct founding_watch *watch = adversary->watch;

    for (uint32_t i = 0; i < sim_host_count(adversary->sim); i++) {
        if (!watch->takes_part[i]) continue;
        for (uint32_t j = 0; j < sim_host_count(adversary->sim); j++)
            if (i != j && watch->takes_part[j] && !founding_watch_knows(watch, i, j)) return false;
    }
    return true;
}

static void part(struct founding_adversary *adversary)
{
    uint32_t count = sim_host_count(adversary->sim), founders = 0;
    bool is_left[FOUNDING_HOSTS_MAX] = {false};

    if (!all_know_all(adversary)) return;
    for (uint32_t i = 0; i < count; i++) {
        is_left[i] = founders % 2 == 0;
        founders += adversary->watch->takes_part[i];
    }
    for (uint32_t from = 0; from < count; from++)
        for (uint32_t to = 0; to < count; to++)
            set_cut(adversary, from, to, is_left[from] != is_left[to]);
    adversary->stage = 1;
}

/* ---- */

void founding_adversary_begin(struct founding_adversary *adversary)
{
    adversary->stage = 0;
    adversary->buried = UINT32_MAX;
    memset(adversary->cuts, 0, sizeof(adversary->cuts));
    memset(adversary->has_backup, 0, sizeof(adversary->has_backup));
    if (adversary->kind == FOUNDING_ADVERSARY_BURIES) sim_at(adversary->sim, 1, keep_buried, adversary, 0);
}

void founding_adversary_event(struct founding_adversary *adversary, struct sim_host *host)
{
    if (adversary->kind == FOUNDING_ADVERSARY_NONE || is_late(adversary)) return;
    if (adversary->kind == FOUNDING_ADVERSARY_RESTORES) back_up(adversary, sim_host_index(host));
    if (adversary->kind == FOUNDING_ADVERSARY_FORGETS || adversary->kind == FOUNDING_ADVERSARY_RESTORES) forget(adversary, sim_host_index(host));
    if (adversary->kind == FOUNDING_ADVERSARY_BURIES) bury(adversary, sim_host_index(host));
    if (adversary->kind == FOUNDING_ADVERSARY_PARTS && adversary->stage == 0) part(adversary);
}
