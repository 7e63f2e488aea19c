#include "sim/founding_watch.h"

#include "sim/sim_sometimes.h"

void founding_watch_reset(struct founding_watch *watch, struct sim *sim)
{
    memset(watch, 0, sizeof(*watch));
    watch->sim = sim;
}

/* ---- what is never taken back ---- */

static bool knows(const struct founding_state *state, const struct raft_server *server)
{
    for (size_t i = 0; i < state->known_count; i++)
        if (raft_server_equal(&state->known[i], server)) return true;
    return false;
}

bool founding_watch_knows(const struct founding_watch *watch, uint32_t host, uint32_t other)
{
    return watch->seen[other].has_started && knows(&watch->seen[host].state, &watch->seen[other].server);
}

static bool forgets(const struct founding_state *before, const struct founding_state *after)
{
    if (after->phase == FOUNDING_MEMBER || (before->expect != after->expect && before->promised.round == 0)) return false;
    for (size_t i = 0; i < before->known_count; i++)
        if (!knows(after, &before->known[i])) return true;
    return false;
}

static void check_kept(struct founding_watch *watch, uint32_t host, const struct founding_state *before, const struct founding_state *after)
{
    if (before->phase == FOUNDING_MEMBER && (after->phase != FOUNDING_MEMBER || !uuid_equal(&before->value.cluster, &after->value.cluster)))
        sim_fail(watch->sim, "S13 nobody leaves its mesh", "h%u", host);
    if (founding_ballot_compare(&after->promised, &before->promised) < 0)
        sim_fail(watch->sim, "S13 promises are kept", "h%u promised round %llu, now %llu", host, (unsigned long long)before->promised.round,
                 (unsigned long long)after->promised.round);
    if (after->phase != FOUNDING_MEMBER && founding_ballot_compare(&after->accepted, &before->accepted) < 0)
        sim_fail(watch->sim, "S13 acceptances are kept", "h%u accepted round %llu, now %llu", host,
                 (unsigned long long)before->accepted.round, (unsigned long long)after->accepted.round);
    if (forgets(before, after)) sim_fail(watch->sim, "S13 who took part is remembered", "h%u forgot one of %zu", host, before->known_count);
}

/* ---- one mesh ---- */

static void check_mesh(struct founding_watch *watch, uint32_t host, const struct founding_value *value)
{
    char here[UUID_STRING_SIZE], there[UUID_STRING_SIZE];
    uint32_t origin = founding_host_of(&value->cluster);

    if (uuid_is_zero(&watch->mesh.cluster)) {
        unsigned voters = founding_voters(watch->expect);
        watch->mesh = *value;
        watch->founded_us = sim_now_us(watch->sim);
        if (origin >= FOUNDING_HOSTS_MAX || !watch->takes_part[origin])
            sim_fail(watch->sim, "S13 who only joins founds nothing", "the mesh comes from h%u", origin);
        if (value->founder_count > voters || value->founder_count % 2 != 1)
            sim_fail(watch->sim, "S13 first voters", "%u of them, with %u expected", value->founder_count, watch->expect);
        SIM_SOMETIMES_IF(value->founder_count < voters, "fewer voters than expected: not all were there");
        return;
    }
    if (!founding_value_equal(&watch->mesh, value))
        sim_fail(watch->sim, "S13 one mesh", "h%u is in %s, with %u first voters; others are in %s, with %u", host,
                 uuid_format(&value->cluster, here), value->founder_count, uuid_format(&watch->mesh.cluster, there), watch->mesh.founder_count);
}

/* One ballot, one value. */
static void check_proposal(struct founding_watch *watch, uint32_t host, const struct founding_state *state)
{
    SIM_SOMETIMES_IF(founding_host_of(&state->value.cluster) != founding_host_of(&state->accepted.proposer.broker),
                     "a broker proposes what another one began");
    for (size_t i = 0; i < watch->proposal_count; i++) {
        if (!founding_ballot_equal(&watch->proposals[i].ballot, &state->accepted)) continue;
        if (!founding_value_equal(&watch->proposals[i].value, &state->value))
            sim_fail(watch->sim, "S13 one ballot has one value", "h%u accepted another one", host);
        return;
    }
    SIM_SOMETIMES_IF(watch->proposal_count > 0, "a second ballot was accepted by somebody");
    if (watch->proposal_count == sizeof(watch->proposals) / sizeof(watch->proposals[0])) return;
    watch->proposals[watch->proposal_count].ballot = state->accepted;
    watch->proposals[watch->proposal_count++].value = state->value;
}

/* ---- what happens ---- */

static bool is_unchanged(const struct founding_state *a, const struct founding_state *b)
{
    return a->phase == b->phase && a->expect == b->expect && a->known_count == b->known_count &&
           a->stamps.number == b->stamps.number && a->is_set_back == b->is_set_back &&
           founding_ballot_equal(&a->promised, &b->promised) && founding_ballot_equal(&a->accepted, &b->accepted);
}

static void look(struct founding_watch *watch, uint32_t host, const struct founding_state *state)
{
    struct founding_seen *seen = &watch->seen[host];

    if (is_unchanged(&seen->state, state)) return;
    check_kept(watch, host, &seen->state, state);
    if (state->is_set_back && !seen->was_set_back)
        sim_fail(watch->sim, "S13 a good disk is not taken for an old one", "h%u believes that it was set back", host);
    SIM_SOMETIMES_IF(state->is_set_back && !seen->state.is_set_back, "a founder finds that its disk was set back");
    SIM_SOMETIMES_IF(state->phase == FOUNDING_MEMBER && seen->state.phase == FOUNDING_PROMISED && seen->state.accepted.round == 0,
                     "a broker that only promised hears of the mesh");
    seen->state = *state;
    if (state->phase == FOUNDING_MEMBER)
        check_mesh(watch, host, &state->value);
    else if (state->accepted.round != 0)
        check_proposal(watch, host, state);
}

void founding_watch_started(void *user, struct sim_host *host, struct founding_process *process)
{
    struct founding_watch *watch = user;
    struct founding_seen *seen = &watch->seen[sim_host_index(host)];
    const struct raft_server *server = founding_process_server(process);
    const struct founding_state *state = founding_get_state(founding_process_core(process));

    SIM_SOMETIMES_IF(seen->has_started && state->phase == FOUNDING_PROMISED, "a broker that promised comes back");
    if (!raft_server_equal(&seen->server, server)) seen->was_set_back = false;
    if (!seen->has_started || !raft_server_equal(&seen->server, server) || seen->begins_anew) seen->state = (struct founding_state){.phase = FOUNDING_BLANK};
    seen->has_started = true;
    seen->begins_anew = false;
    seen->server = *server;
    seen->is_done = false;
    look(watch, sim_host_index(host), state);
}

void founding_watch_event(void *user, struct sim_host *host)
{
    struct founding_watch *watch = user;
    struct founding_process *process = sim_host_process(host);

    if (process != NULL) look(watch, sim_host_index(host), founding_get_state(founding_process_core(process)));
}

void founding_watch_output(void *user, struct sim_host *host, struct founding_process *process, const struct founding_output *output)
{
    struct founding_watch *watch = user;
    struct founding_seen *seen = &watch->seen[sim_host_index(host)];

    look(watch, sim_host_index(host), founding_get_state(founding_process_core(process)));
    if (output->type != FOUNDING_OUTPUT_DONE) return;
    if (seen->is_done) sim_fail(watch->sim, "S13 done is said once", "h%u", sim_host_index(host));
    seen->is_done = true;
    check_mesh(watch, sim_host_index(host), &output->value);
    if (output->is_founder != founding_value_has(&watch->mesh, &seen->server))
        sim_fail(watch->sim, "S13 founders know that they are", "h%u", sim_host_index(host));
}

/* ---- disks that may go ---- */

/* Enough others are members: whoever founds anew would need one of them. */
static bool survivors_veto(const struct founding_watch *watch, uint32_t host)
{
    unsigned members = 0;

    for (uint32_t i = 0; i < FOUNDING_HOSTS_MAX; i++)
        members += i != host && watch->takes_part[i] && watch->seen[i].state.phase == FOUNDING_MEMBER;
    return members >= watch->expect - watch->expect / 2;
}

/* Every disk that takes part now has been heard of by all that were never wiped: every quorum to come reckons with these N, since it has
 * one of those in it. That stays so. */
static bool all_know_all(struct founding_watch *watch, uint32_t wiped)
{
    if (watch->do_all_know_all) return true;
    for (uint32_t i = 0; i < FOUNDING_HOSTS_MAX; i++) {
        const struct founding_seen *seen = &watch->seen[i];
        if (!watch->takes_part[i]) continue;
        if (!seen->has_started) return false;
        if (i == wiped || seen->wipes > 0 || seen->state.phase == FOUNDING_MEMBER) continue;
        for (uint32_t j = 0; j < FOUNDING_HOSTS_MAX; j++) {
            if (i != j && watch->takes_part[j] && !founding_watch_knows(watch, i, j)) return false;
        }
    }
    return watch->do_all_know_all = true;
}

static bool has_accepted(const struct founding_seen *seen)
{
    return seen->state.phase == FOUNDING_MEMBER || seen->state.accepted.round != 0;
}

static bool may_wipe(struct founding_watch *watch, uint32_t host, const struct uuid *marker)
{
    const struct founding_seen *seen = &watch->seen[host];

    if (!watch->takes_part[host]) return true;
    /* Its promise is known to others, and a new disk that promises from another address would be one more. */
    if (watch->are_moving && (seen->state.promised.round != 0 || seen->state.phase == FOUNDING_MEMBER)) return false;
    if (survivors_veto(watch, host)) return true;
    if (watch->has_restored) return false; /* who remembers is needed */
    if (watch->keeps_markers && !uuid_is_zero(marker)) return true;
    if (seen->wipes > 0 || watch->wipes >= (watch->expect - 1) / 2) return false; /* a minority, each once */
    return !has_accepted(seen) || all_know_all(watch, host);
}

bool founding_watch_wipe(struct founding_watch *watch, uint32_t host, const struct uuid *marker)
{
    struct founding_seen *seen = &watch->seen[host];
    bool is_veto = survivors_veto(watch, host);

    if (!may_wipe(watch, host, marker)) return false;
    if (watch->takes_part[host]) {
        SIM_SOMETIMES_IF(has_accepted(seen) && !is_veto, "a disk that has accepted is lost before enough know the mesh");
        SIM_SOMETIMES_IF(!has_accepted(seen), "a disk is lost before it has accepted");
        SIM_SOMETIMES_IF(is_veto, "a founder is lost after the founding");
    }
    seen->wipes++;
    watch->wipes += watch->takes_part[host];
    seen->state = (struct founding_state){.phase = FOUNDING_BLANK};
    return true;
}

/* ---- disks that may be set back ---- */

static bool remembers_more(const struct founding_seen *seen, const struct raft_server *of, const struct founding_stamps *backup)
{
    const struct founding_state *state = &seen->state;

    if (state->phase == FOUNDING_MEMBER) return true; /* who asks it hears of the mesh */
    for (size_t i = 0; i < state->known_count; i++)
        if (raft_server_equal(&state->known[i], of)) return founding_stamps_judge(backup, &state->heard[i]) == FOUNDING_BOND_AHEAD;
    return false;
}

bool founding_watch_restore(struct founding_watch *watch, uint32_t host, const struct founding_stamps *backup)
{
    unsigned remember = 0;

    if (watch->has_restored || watch->wipes != 0 || watch->seen[host].wipes != 0) return false;
    for (uint32_t i = 0; i < FOUNDING_HOSTS_MAX; i++)
        remember += i != host && watch->takes_part[i] && watch->seen[i].has_started && remembers_more(&watch->seen[i], &watch->seen[host].server, backup);
    if (remember < watch->expect - watch->expect / 2) return false;
    watch->has_restored = true;
    watch->seen[host].was_set_back = watch->seen[host].begins_anew = true;
    return true;
}
