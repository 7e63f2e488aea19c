#include "sim/consensus_watch.h"

#include "base/assert.h"
#include "replication/consensus/message.h"
#include "sim/consensus_configs.h"
#include "sim/consensus_cuts.h"
#include "sim/consensus_shadow.h"
#include "sim/consensus_trace.h"
#include "sim/sim_sometimes.h"

#include <stdarg.h>
#include <stdlib.h>

#define SERVERS_MAX 256 /* disks that ever were */
#define NOBODY      UINT32_MAX

/* A life, and the most that it can have told anybody. */
struct life_note {
    struct raft_claim said;
    bool is_forgetful; /* it began on a disk that knew less than was said of it before */
};

/* A disk, and what is durable on it. */
struct server {
    struct raft_server id;
    bool has_started, is_damaged, is_restored;
    /* A life of it was forgetful: what it said before still counts, as of a disk that is lost, and what it says from then on is heeded by
     * nobody (look_at_others()). So its log, term and vote stay here as they were told. */
    bool is_frozen;
    unsigned damages; /* since it was last read as a whole */
    uint64_t term;
    struct raft_server vote;
    struct shadow_log durable;
    struct life_note *lives;
    size_t life_count, life_capacity;
    uint64_t changing_from; /* a store under way may change entries from here on */
};

/* A process, as last seen. */
struct view {
    struct consensus_process *process; /* NULL: none was seen since the last start */
    struct server *server;
    uint64_t term, stored_term, committed, leader_term;
    uint64_t committed_before; /* when it was elected */
    struct raft_server stored_vote;
    enum raft_role role;
    struct shadow_log log; /* in memory */
    struct consensus_cuts cuts; /* of it */
    uint64_t config_index; /* of the last configuration that it appended as leader */
    struct raft_config config;
    struct raft_claim past[RAFT_PAST_MAX]; /* the lives before, as the disk had them at its start */
    size_t past_count;
    struct raft_other known[CONSENSUS_HOSTS_MAX]; /* what it was last seen to know of each host */
};

struct committed {
    uint64_t mark, sum, term; /* sum: of the machine, if has_sum; term: of the leader that committed it, or a later one */
    bool has_sum;
};

/* Entries that were seen anywhere, by index: one chain for each (index, term). */
struct seen {
    uint64_t term, mark;
    uint32_t next;
};

struct consensus_watch {
    struct sim *sim;
    const char *excuse;
    bool has_copies; /* some disk was set back or copied */
    struct server servers[SERVERS_MAX];
    uint32_t server_count;
    struct view views[CONSENSUS_HOSTS_MAX];
    struct committed *committed; /* by index */
    size_t committed_capacity;
    uint64_t committed_last;
    struct raft_config config;
    struct raft_server *leaders; /* by term */
    size_t leader_capacity;
    uint64_t leader_term, leader_count;
    uint32_t *heads; /* by index, into seen; 0: none */
    size_t head_capacity, head_used;
    struct seen *seen;
    uint32_t seen_count, seen_capacity;
};

struct consensus_watch *consensus_watch_new(void)
{
    struct consensus_watch *watch = calloc(1, sizeof(*watch));

    MESH_ASSERT(watch != NULL);
    return watch;
}

void consensus_watch_free(struct consensus_watch *watch)
{
    for (uint32_t i = 0; i < SERVERS_MAX; i++)
        shadow_deinit(&watch->servers[i].durable), free(watch->servers[i].lives);
    for (uint32_t i = 0; i < CONSENSUS_HOSTS_MAX; i++)
        shadow_deinit(&watch->views[i].log);
    free(watch->committed);
    free(watch->leaders);
    free(watch->heads);
    free(watch->seen);
    free(watch);
}

void consensus_watch_reset(struct consensus_watch *watch, struct sim *sim)
{
    watch->sim = sim;
    watch->excuse = NULL;
    watch->has_copies = false;
    watch->server_count = 0;
    for (uint32_t i = 0; i < CONSENSUS_HOSTS_MAX; i++)
        watch->views[i].process = NULL;
    watch->committed_last = 0;
    watch->config = (struct raft_config){.voter_count = 0};
    if (watch->leader_capacity > 0) memset(watch->leaders, 0, watch->leader_capacity * sizeof(watch->leaders[0]));
    watch->leader_term = watch->leader_count = 0;
    if (watch->head_used > 0) memset(watch->heads, 0, watch->head_used * sizeof(watch->heads[0]));
    watch->head_used = 0;
    watch->seen_count = 1;
}

/* ---- judging ---- */

void consensus_watch_excuse(struct consensus_watch *watch, const char *why)
{
    if (watch->excuse != NULL) return;
    sim_trace(watch->sim, NULL, "from now on all is excused: %s", why);
    watch->excuse = why;
}

const char *consensus_watch_excused(const struct consensus_watch *watch)
{
    return watch->excuse;
}

void consensus_watch_fail(struct consensus_watch *watch, const char *what, const char *format, ...)
{
    char text[320];
    va_list arguments;

    if (watch->excuse != NULL) return;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    sim_fail(watch->sim, what, "%s", text);
}

static uint32_t host_of(const struct consensus_process *process)
{
    return sim_host_index(consensus_process_host(process));
}

static struct view *view_of(struct consensus_watch *watch, const struct consensus_process *process)
{
    return &watch->views[host_of(process)];
}

static struct server *find_server(struct consensus_watch *watch, const struct raft_server *id)
{
    for (uint32_t i = watch->server_count; i-- > 0;) {
        if (raft_server_equal(&watch->servers[i].id, id)) return &watch->servers[i];
    }
    return NULL;
}

static struct server *server_of(struct consensus_watch *watch, const struct raft_server *id)
{
    struct server *server = find_server(watch, id);
    static const struct raft_position beginning;

    if (server != NULL) return server;
    MESH_ASSERT(watch->server_count < SERVERS_MAX);
    server = &watch->servers[watch->server_count++];
    server->id = *id;
    server->has_started = server->is_damaged = server->is_restored = server->is_frozen = false;
    server->damages = 0;
    server->life_count = 0;
    server->term = 0;
    server->vote = (struct raft_server){.broker = {{0}}};
    server->changing_from = UINT64_MAX;
    shadow_begin(&server->durable, &beginning);
    return server;
}

void consensus_watch_damaged(struct consensus_watch *watch, const struct raft_server *id)
{
    struct server *server = server_of(watch, id);

    server->is_damaged = true;
    server->damages++;
}

/* ---- lives ---- */

#define is_life(a, b) ((a)->boot == (b)->boot && (a)->nonce == (b)->nonce)

/* What was said of a disk, and what the disk itself remembers to have held. */
static bool is_remembered(const struct view *view, const struct raft_claim *said)
{
    if (view->past_count == RAFT_PAST_MAX && said->life.boot < view->past[0].life.boot) return true;
    for (size_t i = 0; i < view->past_count; i++) {
        const struct raft_claim *left = &view->past[i];
        if (!is_life(&left->life, &said->life)) continue;
        return said->term < left->term ||
               (said->term == left->term && said->durable <= left->durable && (left->has_voted || !said->has_voted));
    }
    return said->term == 0;
}

static struct life_note *find_life(struct server *server, const struct raft_life *life)
{
    for (size_t i = server->life_count; i-- > 0;) {
        if (is_life(&server->lives[i].said.life, life)) return &server->lives[i];
    }
    return NULL;
}

static void begin_life(struct view *view, const struct raft_recovered *recovered)
{
    struct server *server = view->server;
    struct life_note note = {.said = {.life = recovered->life}};

    view->past_count = recovered->past_count;
    if (recovered->past_count > 0) memcpy(view->past, recovered->past, recovered->past_count * sizeof(view->past[0]));
    memset(view->known, 0, sizeof(view->known));
    for (size_t i = 0; i < recovered->other_count; i++)
        view->known[consensus_host_of(&recovered->others[i].server.broker)] = recovered->others[i];
    for (size_t i = 0; i < server->life_count; i++)
        note.is_forgetful |= !is_remembered(view, &server->lives[i].said);
    if (server->life_count == server->life_capacity) {
        server->life_capacity = server->life_capacity == 0 ? 8 : server->life_capacity * 2;
        server->lives = realloc(server->lives, server->life_capacity * sizeof(server->lives[0]));
        MESH_ASSERT(server->lives != NULL);
    }
    server->lives[server->life_count++] = note;
    server->is_frozen |= note.is_forgetful;
    SIM_SOMETIMES_IF(note.is_forgetful, "a disk came back that had forgotten what it told others");
}

static void look_at_others(struct consensus_watch *watch, struct view *view, bool is_first)
{
    for (uint32_t i = 0; i < sim_host_count(watch->sim); i++) {
        struct server *server = watch->views[i].server;
        struct raft_claim before = {.term = 0}, now;
        const struct life_note *note;
        bool is_refused;
        if (watch->views[i].process == NULL || server == view->server ||
            !raft_get_claim(consensus_process_raft(view->process), &server->id, &now, &is_refused))
            continue;
        if (raft_server_equal(&view->known[i].server, &server->id)) before = view->known[i].claim;
        view->known[i] = (struct raft_other){server->id, now};
        SIM_SOMETIMES_IF(is_refused, "a life that continues no known one was refused");
        note = find_life(server, &now.life);
        if (is_first || is_life(&before.life, &now.life) || note == NULL) continue;
        if (before.life.boot != 0 && note == &server->lives[server->life_count - 1] && !is_remembered(&watch->views[i], &before))
            consensus_watch_fail(watch, "who met what a disk has forgotten does not heed it", "h%u heeds h%u", host_of(view->process), i);
        if (note->is_forgetful) consensus_watch_excuse(watch, "a copy of a disk met one that could not know what it had forgotten");
    }
}

/* It told nobody more than this, if anybody. */
static void note_claim(struct consensus_watch *watch, struct view *view, const struct raft_brief *status)
{
    struct raft_claim claim = raft_get_own_claim(consensus_process_raft(view->process));
    struct life_note *note = find_life(view->server, &claim.life);

    if (note == NULL) return;
    if (claim.term > note->said.term) {
        note->said = claim;
    } else if (claim.term == note->said.term) {
        note->said.has_voted |= claim.has_voted;
        if (claim.durable > note->said.durable) note->said.durable = claim.durable;
    }
    if (status->damaged_until != RAFT_SET_BACK) return;
    SIM_SOMETIMES("a server found that its disk was set back");
    if (!note->is_forgetful && !view->server->is_damaged)
        consensus_watch_fail(watch, "a good disk is not taken for an old one", "h%u believes that it was set back", host_of(view->process));
}

void consensus_watch_restored(struct consensus_watch *watch, const struct raft_server *id)
{
    server_of(watch, id)->is_restored = true;
    for (uint32_t i = 0; !watch->has_copies && i < sim_host_count(watch->sim); i++) {
        if (watch->views[i].process != NULL && sim_host_process(sim_host_at(watch->sim, i)) == watch->views[i].process)
            look_at_others(watch, &watch->views[i], true);
    }
    watch->has_copies = true;
}

bool consensus_watch_is_damaged(struct consensus_watch *watch, const struct raft_server *id)
{
    const struct server *server = find_server(watch, id);

    return server != NULL && server->is_damaged;
}

uint64_t consensus_watch_committed(const struct consensus_watch *watch)
{
    return watch->committed_last;
}

uint64_t consensus_watch_mark(const struct consensus_watch *watch, uint64_t index)
{
    return index == 0 || index > watch->committed_last ? 0 : watch->committed[index].mark;
}

uint64_t consensus_watch_term(const struct consensus_watch *watch)
{
    return watch->leader_term;
}

uint64_t consensus_watch_leaders(const struct consensus_watch *watch)
{
    return watch->leader_count;
}

const struct raft_config *consensus_watch_config(const struct consensus_watch *watch)
{
    return &watch->config;
}

uint32_t consensus_watch_leader(const struct consensus_watch *watch)
{
    uint32_t leader = NOBODY;
    uint64_t term = 0;

    for (uint32_t i = 0; i < sim_host_count(watch->sim); i++) {
        const struct view *view = &watch->views[i];
        if (!sim_host_is_running(sim_host_at(watch->sim, i)) || view->process == NULL || view->role != RAFT_LEADER) continue;
        if (view->term < term) continue;
        term = view->term;
        leader = i;
    }
    return leader;
}

/* ---- entries ---- */

/* Log matching: one chain for each (index, term), wherever it is seen. */
static void note_entry(struct consensus_watch *watch, uint32_t host, uint64_t index, uint64_t term, uint64_t mark)
{
    if (index >= watch->head_capacity) {
        size_t capacity = watch->head_capacity == 0 ? 1024 : watch->head_capacity;
        while (capacity <= index)
            capacity *= 2;
        watch->heads = realloc(watch->heads, capacity * sizeof(watch->heads[0]));
        MESH_ASSERT(watch->heads != NULL);
        memset(watch->heads + watch->head_capacity, 0, (capacity - watch->head_capacity) * sizeof(watch->heads[0]));
        watch->head_capacity = capacity;
    }
    if (index >= watch->head_used) watch->head_used = (size_t)index + 1;
    for (uint32_t i = watch->heads[index]; i != 0; i = watch->seen[i].next) {
        if (watch->seen[i].term != term) continue;
        if (watch->seen[i].mark != mark)
            consensus_watch_fail(watch, "log matching", "h%u: entry %llu of term %llu has another past than elsewhere", host,
                                 (unsigned long long)index, (unsigned long long)term);
        return;
    }
    if (watch->seen_count + 1 >= watch->seen_capacity) {
        watch->seen_capacity = watch->seen_capacity == 0 ? 4096 : watch->seen_capacity * 2;
        watch->seen = realloc(watch->seen, watch->seen_capacity * sizeof(watch->seen[0]));
        MESH_ASSERT(watch->seen != NULL);
    }
    watch->seen[watch->seen_count] = (struct seen){term, mark, watch->heads[index]};
    watch->heads[index] = watch->seen_count++;
}

/* ---- restarts ---- */

/* What had been durable, and was not being changed when the process died, is there again, or its loss is known. */
static void check_recovered_log(struct consensus_watch *watch, struct server *server, const struct raft_recovered *recovered,
                                uint32_t host)
{
    const struct shadow_log *durable = &server->durable;
    uint64_t last = recovered->snapshot.index + recovered->entry_count, upto = durable->last;
    bool is_lost = false;

    if (upto >= server->changing_from) upto = server->changing_from - 1;
    if (upto > last && upto > recovered->damaged_until) is_lost = true;
    if (server->changing_from == UINT64_MAX && last > durable->last && !server->is_restored)
        consensus_watch_fail(watch, "R14 what was cut stays cut", "h%u comes back with entries up to %llu; it had %llu", host,
                             (unsigned long long)last, (unsigned long long)durable->last);
    for (size_t i = 0; i < recovered->entry_count && !is_lost; i++) {
        const struct raft_entry *entry = &recovered->entries[i];
        if (entry->index >= durable->first && entry->index <= upto &&
            durable->entries[entry->index].mark != consensus_chain_mark(entry->chain))
            is_lost = true;
    }
    if (!is_lost || server->is_restored) return;
    /* Every entry is vouched for twice: it takes two damages at once to make it look as if it had never been there. */
    if (server->damages > 1) {
        consensus_watch_excuse(watch, "several damages may have taken both");
        return;
    }
    consensus_watch_fail(watch, "S1 what was stored stays stored", "h%u comes back with entries up to %llu; up to %llu were durable",
                         host, (unsigned long long)last, (unsigned long long)upto);
}

static void check_recovered_state(struct consensus_watch *watch, const struct server *server,
                                  const struct raft_recovered *recovered, uint32_t host)
{
    bool has_vote = !uuid_is_zero(&server->vote.broker);

    if (recovered->term > server->term || server->is_restored) return;
    if (recovered->term < server->term)
        consensus_watch_fail(watch, "term and vote never go back", "h%u comes back in term %llu; %llu was durable", host,
                             (unsigned long long)recovered->term, (unsigned long long)server->term);
    else if (has_vote && !raft_server_equal(&recovered->voted_for, &server->vote))
        consensus_watch_fail(watch, "term and vote never go back", "h%u has forgotten its vote of term %llu", host,
                             (unsigned long long)server->term);
}

static void begin_logs(struct consensus_watch *watch, struct view *view, const struct raft_recovered *recovered, uint32_t host)
{
    shadow_begin(&view->log, &recovered->snapshot);
    if (!view->server->is_frozen) shadow_begin(&view->server->durable, &recovered->snapshot);
    for (size_t i = 0; i < recovered->entry_count; i++) {
        const struct raft_entry *entry = &recovered->entries[i];
        shadow_append(&view->log, entry);
        if (!view->server->is_frozen) shadow_append(&view->server->durable, entry);
        note_entry(watch, host, entry->index, entry->term, consensus_chain_mark(entry->chain));
    }
}

void consensus_watch_started(struct consensus_watch *watch, struct consensus_process *process,
                             const struct raft_recovered *recovered, const struct raft_store_report *report)
{
    struct view *view = view_of(watch, process);
    struct server *server = server_of(watch, consensus_process_self(process));
    uint32_t host = host_of(process);

    SIM_SOMETIMES_IF(report->torn_bytes > 0, "a torn tail was cut");
    SIM_SOMETIMES_IF(recovered->damaged_until > 0, "a server came back with a hole in its log");
    SIM_SOMETIMES_IF(report->used_older_snapshot, "an older snapshot replaced a damaged one");
    SIM_SOMETIMES_IF(report->vote_slot_damaged, "one of the two vote slots was damaged");
    if (server->has_started && !server->is_frozen) {
        check_recovered_log(watch, server, recovered, host);
        check_recovered_state(watch, server, recovered, host);
    }
    server->has_started = true;
    server->is_restored = false;
    server->damages = 0;
    server->changing_from = UINT64_MAX;
    *view = (struct view){.process = process,
                          .server = server,
                          .term = recovered->term,
                          .stored_term = recovered->term,
                          .stored_vote = recovered->voted_for,
                          .log = view->log};
    begin_life(view, recovered);
    if (!server->is_frozen) {
        server->term = recovered->term;
        server->vote = recovered->voted_for;
    } else if (raft_get_config(consensus_process_raft(process))->voter_count <= 1) {
        consensus_watch_excuse(watch, "a copy of a disk asks nobody else");
    }
    begin_logs(watch, view, recovered, host);
    sim_trace(watch->sim, consensus_process_host(process), "starts in term %llu with entries %llu..%llu, hole until %llu",
              (unsigned long long)recovered->term, (unsigned long long)recovered->snapshot.index + 1,
              (unsigned long long)(recovered->snapshot.index + recovered->entry_count),
              (unsigned long long)recovered->damaged_until);
}

/* A snapshot that does not continue the log replaces it. */
static void install(struct view *view, const struct raft_position *position)
{
    struct raft_status status;

    raft_get_status(consensus_process_raft(view->process), &status);
    if (view->log.last > position->index) consensus_cuts_note(&view->cuts, status.term, position->index + 1, &view->log, &view->server->durable);
    shadow_install(&view->log, position);
}

void consensus_watch_doing(struct consensus_watch *watch, struct consensus_process *process, const struct consensus_job *job,
                           bool is_done)
{
    struct view *view = view_of(watch, process);
    struct server *server = view->server;

    if (is_done && job->type == CONSENSUS_JOB_CHUNK && job->is_last) install(view, &job->position);
    if (server->is_frozen) return;
    switch (job->type) {
    case CONSENSUS_JOB_STATE:
        if (!is_done) break;
        server->term = job->term;
        server->vote = job->voted_for;
        break;
    case CONSENSUS_JOB_ENTRIES:
        if (is_done)
            server->changing_from = UINT64_MAX;
        else if (job->entries[0].index < server->changing_from) /* the first one of a run */
            server->changing_from = job->entries[0].index;
        for (size_t i = 0; is_done && i < job->entry_count; i++)
            shadow_append(&server->durable, &job->entries[i]);
        break;
    case CONSENSUS_JOB_CHUNK:
        if (!job->is_last) break;
        server->changing_from = is_done ? UINT64_MAX : 1;
        if (is_done) shadow_install(&server->durable, &job->position);
        break;
    default: break;
    }
}

/* ---- configurations ---- */

/* The leader has appended a configuration. */
static void check_change(struct consensus_watch *watch, struct view *view, uint64_t index, const struct raft_brief *status)
{
    const struct raft_config *config = raft_get_config(consensus_process_raft(view->process));

    consensus_trace_config(watch->sim, consensus_process_host(view->process), config, "voters are to be");
    SIM_SOMETIMES_IF(config->old_voter_count > 0, "two majorities were needed");
    if (view->config_index > status->committed && view->config_index < index)
        consensus_watch_fail(watch, "one configuration change at a time", "h%u appends one at %llu; that at %llu is not committed",
                             host_of(view->process), (unsigned long long)index, (unsigned long long)view->config_index);
    if (view->config.voter_count > 0 && !consensus_configs_are_neighbours(&view->config, config))
        consensus_watch_fail(watch, "quorums of neighbouring configurations meet", "h%u: %u voters, then %u (old %u)",
                             host_of(view->process), view->config.voter_count, config->voter_count, config->old_voter_count);
    view->config_index = index;
    view->config = *config;
}

/* ---- leaders ---- */

static void check_complete(struct consensus_watch *watch, struct view *view, uint64_t term)
{
    uint64_t index = watch->committed_last;

    while (index > 0 && watch->committed[index].term >= term)
        index--;
    if (index == 0 || shadow_holds(&view->log, index, watch->committed[index].mark)) return;
    consensus_watch_fail(watch, "S4 leader completeness", "h%u leads in term %llu without entry %llu, committed in term %llu (log ends at %llu)",
                         host_of(view->process), (unsigned long long)term, (unsigned long long)index,
                         (unsigned long long)watch->committed[index].term, (unsigned long long)view->log.last);
}

static void note_leader(struct consensus_watch *watch, struct view *view, uint64_t term)
{
    const struct raft_server *self = consensus_process_self(view->process);

    if (view->leader_term == term) return;
    view->leader_term = term;
    view->committed_before = view->committed;
    view->config_index = 0;
    view->config = *raft_get_config(consensus_process_raft(view->process));
    if (term >= watch->leader_capacity) {
        size_t capacity = watch->leader_capacity == 0 ? 256 : watch->leader_capacity;
        while (capacity <= term)
            capacity *= 2;
        watch->leaders = realloc(watch->leaders, capacity * sizeof(watch->leaders[0]));
        MESH_ASSERT(watch->leaders != NULL);
        memset(watch->leaders + watch->leader_capacity, 0, (capacity - watch->leader_capacity) * sizeof(watch->leaders[0]));
        watch->leader_capacity = capacity;
    }
    if (uuid_is_zero(&watch->leaders[term].broker)) {
        watch->leaders[term] = *self;
        watch->leader_count++;
    } else if (!raft_server_equal(&watch->leaders[term], self)) {
        consensus_watch_fail(watch, "one leader for each term", "h%u and h%u lead in term %llu",
                             consensus_host_of(&watch->leaders[term].broker), host_of(view->process), (unsigned long long)term);
    }
    if (term > watch->leader_term) watch->leader_term = term;
    sim_trace(watch->sim, consensus_process_host(view->process), "leads in term %llu, log ends at %llu", (unsigned long long)term,
              (unsigned long long)view->log.last);
    check_complete(watch, view, term);
}

/* ---- outputs ---- */

static void check_state(struct consensus_watch *watch, struct view *view, const struct raft_output *output,
                        const struct raft_brief *status)
{
    bool had_vote = !uuid_is_zero(&view->stored_vote.broker), has_vote = !uuid_is_zero(&output->voted_for.broker);
    bool is_same_term = output->term == view->stored_term;

    if (output->term < view->stored_term ||
        (is_same_term && had_vote && !raft_server_equal(&output->voted_for, &view->stored_vote)))
        consensus_watch_fail(watch, "term and vote never go back", "h%u: term %llu after %llu%s", host_of(view->process),
                             (unsigned long long)output->term, (unsigned long long)view->stored_term,
                             is_same_term ? ", with another vote" : "");
    if (has_vote && status->damaged_until != 0 && !(is_same_term && had_vote))
        consensus_watch_fail(watch, "no vote by a server with a hole", "h%u votes in term %llu with a hole until %llu",
                             host_of(view->process), (unsigned long long)output->term, (unsigned long long)status->damaged_until);
    view->stored_term = output->term;
    view->stored_vote = output->voted_for;
}

static void check_entries(struct consensus_watch *watch, struct view *view, const struct raft_output *output,
                          const struct raft_brief *status)
{
    uint32_t host = host_of(view->process);
    bool is_leading = status->role == RAFT_LEADER && view->leader_term == status->term;

    if (output->entries[0].index <= view->log.last) {
        SIM_SOMETIMES("entries were replaced by others");
        consensus_cuts_note(&view->cuts, status->term, output->entries[0].index, &view->log, &view->server->durable);
        if (is_leading)
            consensus_watch_fail(watch, "leader append-only", "h%u cuts its log at %llu in term %llu", host,
                                 (unsigned long long)output->entries[0].index, (unsigned long long)status->term);
    }
    for (size_t i = 0; i < output->entry_count; i++) {
        const struct raft_entry *entry = &output->entries[i];
        if (!shadow_append(&view->log, entry))
            consensus_watch_fail(watch, "a log has no gaps", "h%u appends %llu to a log of %llu..%llu", host,
                                 (unsigned long long)entry->index, (unsigned long long)view->log.first,
                                 (unsigned long long)view->log.last);
        note_entry(watch, host, entry->index, entry->term, consensus_chain_mark(entry->chain));
        if (entry->type == RAFT_ENTRY_CONFIG && is_leading && entry->term == status->term)
            check_change(watch, view, entry->index, status);
    }
}

/* How many of these disks hold the entry for good. */
static unsigned durable_count(struct consensus_watch *watch, const struct raft_server *servers, uint8_t count, uint64_t index,
                              uint64_t mark)
{
    unsigned holding = 0;

    for (uint8_t i = 0; i < count; i++) {
        const struct server *server = find_server(watch, &servers[i]);
        holding += server != NULL && shadow_holds(&server->durable, index, mark);
    }
    return holding;
}

/* A leader says that this is committed: is it where it has to be? */
static void check_majority(struct consensus_watch *watch, struct view *view, const struct raft_entry *entry)
{
    struct raft_status status;
    const struct raft_config *config = raft_get_config(consensus_process_raft(view->process));
    uint64_t mark = consensus_chain_mark(entry->chain);
    unsigned now = durable_count(watch, config->voters, config->voter_count, entry->index, mark);
    unsigned before = durable_count(watch, config->old_voters, config->old_voter_count, entry->index, mark);

    raft_get_status(consensus_process_raft(view->process), &status);
    if (status.committed.index > view->committed_before && status.committed.term != status.term)
        consensus_watch_fail(watch, "a leader counts entries of its own term only", "h%u commits %llu of term %llu in term %llu",
                             host_of(view->process), (unsigned long long)status.committed.index,
                             (unsigned long long)status.committed.term, (unsigned long long)status.term);
    if (now * 2 > config->voter_count && (config->old_voter_count == 0 || before * 2 > config->old_voter_count)) return;
    consensus_watch_fail(watch, "S1 what is committed is durable at a majority",
                         "h%u commits %llu, durable at %u of %u voters (old: %u of %u)", host_of(view->process),
                         (unsigned long long)entry->index, now, config->voter_count, before, config->old_voter_count);
}

static bool is_durable(const struct view *view, const struct message *message)
{
    return message->match <= view->log.last && shadow_holds(&view->server->durable, message->match, view->log.entries[message->match].mark);
}

/* What others will rely on is on the disk: the term, the vote, the entries that are said to be there. */
static void check_message(struct consensus_watch *watch, struct view *view, const struct raft_output *output)
{
    const struct server *server = view->server;
    struct message message;
    bool is_vote_given, is_vote_asked;

    if (message_decode(output->message, &message) != 0) {
        consensus_watch_fail(watch, "S18 what is said can be read", "h%u says something malformed", host_of(view->process));
        return;
    }
    is_vote_given = message.type == MESSAGE_VOTE_RESPONSE && (message.flags & MESSAGE_GRANTED) && !(message.flags & MESSAGE_PRE_VOTE);
    is_vote_asked = message.type == MESSAGE_VOTE_REQUEST && !(message.flags & MESSAGE_PRE_VOTE);
    if ((is_vote_given || is_vote_asked || message.type == MESSAGE_APPEND || message.type == MESSAGE_APPEND_RESPONSE) &&
        message.term > server->term)
        consensus_watch_fail(watch, "18 what is said is durable", "h%u speaks in term %llu, durable is %llu", host_of(view->process),
                             (unsigned long long)message.term, (unsigned long long)server->term);
    if (is_vote_given && message.term == server->term && !raft_server_equal(&server->vote, &output->to))
        consensus_watch_fail(watch, "18 what is said is durable", "h%u gives a vote of term %llu that is not durable",
                             host_of(view->process), (unsigned long long)message.term);
    if (message.type == MESSAGE_APPEND_RESPONSE && message.match > 0 && message.match >= view->log.first && !is_durable(view, &message) &&
        !consensus_cuts_cover(&view->cuts, message.term, message.match))
        consensus_watch_fail(watch, "20 what is acknowledged is durable", "h%u acknowledges %llu; its disk ends at %llu",
                             host_of(view->process), (unsigned long long)message.match, (unsigned long long)server->durable.last);
}

void consensus_watch_output(struct consensus_watch *watch, struct consensus_process *process, const struct raft_output *output)
{
    struct view *view = view_of(watch, process);
    struct raft_brief status;

    if (output->type == RAFT_OUTPUT_SEND) {
        if (!view->server->is_frozen) check_message(watch, view, output);
        return;
    }
    status = raft_get_brief(consensus_process_raft(process));
    switch (output->type) {
    case RAFT_OUTPUT_ROLE: consensus_trace_role(watch->sim, consensus_process_host(process), output); break;
    case RAFT_OUTPUT_STORE_STATE: check_state(watch, view, output, &status); break;
    case RAFT_OUTPUT_STORE_ENTRIES:
        if (status.role == RAFT_LEADER) note_leader(watch, view, status.term);
        check_entries(watch, view, output, &status);
        break;
    case RAFT_OUTPUT_COMMIT:
        if (status.role == RAFT_LEADER && output->entry_count > 0)
            check_majority(watch, view, &output->entries[output->entry_count - 1]);
        break;
    case RAFT_OUTPUT_RESTORE:
        SIM_SOMETIMES("a state was replaced by a leader's snapshot");
        install(view, &output->position);
        break;
    default: break;
    }
}

/* ---- what is applied ---- */

void consensus_watch_applying(struct consensus_watch *watch, struct consensus_process *process, const struct raft_entry *entry)
{
    const struct consensus_machine *machine = consensus_process_machine(process);
    uint64_t index = entry->index, mark = consensus_chain_mark(entry->chain);

    if (index != machine->at.index + 1)
        consensus_watch_fail(watch, "S12 applied without gaps", "h%u applies %llu after %llu", host_of(process),
                             (unsigned long long)index, (unsigned long long)machine->at.index);
    if (index <= watch->committed_last) {
        if (watch->committed[index].mark != mark)
            consensus_watch_fail(watch, "S12 what is applied is equal everywhere", "h%u applies another entry %llu, of term %llu",
                                 host_of(process), (unsigned long long)index, (unsigned long long)entry->term);
        return;
    }
    if (index > watch->committed_last + 1) return; /* excused, or found above */
    if (index >= watch->committed_capacity) {
        watch->committed_capacity = watch->committed_capacity == 0 ? 1024 : watch->committed_capacity * 2;
        watch->committed = realloc(watch->committed, watch->committed_capacity * sizeof(watch->committed[0]));
        MESH_ASSERT(watch->committed != NULL);
    }
    watch->committed[index] = (struct committed){.mark = mark, .term = raft_get_brief(consensus_process_raft(process)).term};
    watch->committed_last = index;
    if (entry->type != RAFT_ENTRY_CONFIG) return;
    watch->config = *raft_get_committed_config(consensus_process_raft(process));
    consensus_trace_config(watch->sim, consensus_process_host(process), &watch->config, "voters are committed");
}

void consensus_watch_applied(struct consensus_watch *watch, struct consensus_process *process)
{
    const struct consensus_machine *machine = consensus_process_machine(process);
    uint64_t index = machine->at.index;
    struct committed *committed;

    if (index == 0) return;
    if (index > watch->committed_last) {
        consensus_watch_fail(watch, "S12 what is applied is equal everywhere", "h%u has a state of %llu, which nobody committed",
                             host_of(process), (unsigned long long)index);
        return;
    }
    committed = &watch->committed[index];
    if (committed->mark != consensus_chain_mark(machine->at.chain) || (committed->has_sum && committed->sum != machine->sum))
        consensus_watch_fail(watch, "S12 states are equal everywhere", "h%u has another state at %llu", host_of(process),
                             (unsigned long long)index);
    committed->sum = machine->sum;
    committed->has_sum = true;
}

/* ---- after each event ---- */

void consensus_watch_event(void *user, struct sim_host *host)
{
    struct consensus_watch *watch = user;
    struct consensus_process *process = sim_host_process(host);
    struct view *view = &watch->views[sim_host_index(host)];
    struct raft_brief status;

    if (process == NULL || view->process != process) return;
    status = raft_get_brief(consensus_process_raft(process));
    if (status.committed < view->committed)
        consensus_watch_fail(watch, "committed indexes only rise", "h%u: from %llu to %llu", sim_host_index(host),
                             (unsigned long long)view->committed, (unsigned long long)status.committed);
    if (status.term < view->term)
        consensus_watch_fail(watch, "term and vote never go back", "h%u: from term %llu to %llu", sim_host_index(host),
                             (unsigned long long)view->term, (unsigned long long)status.term);
    if (status.role != view->role) {
        SIM_SOMETIMES_IF(view->role == RAFT_CANDIDATE && status.role == RAFT_FOLLOWER, "a candidate gave up");
        SIM_SOMETIMES_IF(view->role == RAFT_LEADER, "a leader stepped down");
    }
    view->committed = status.committed;
    view->term = status.term;
    view->role = status.role;
    note_claim(watch, view, &status);
    if (watch->has_copies) look_at_others(watch, view, false);
    if (status.role != RAFT_LEADER) return;
    if (status.damaged_until != 0)
        consensus_watch_fail(watch, "no vote by a server with a hole", "h%u leads with a hole", sim_host_index(host));
    note_leader(watch, view, status.term);
}
