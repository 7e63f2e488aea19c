/* metadata/recovery.c - a mesh whose majority of voters is gone for good: replication/recover decides whose log goes on; here it hears what this
 * broker's log holds, and a new history begins with it. */
#include "replication/metadata/node_internal.h"

#include "base/error.h"
#include "replication/metadata/switches.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- what this broker knows ---- */

static void look(void *user, struct recover_facts *ret_facts)
{
    const struct node *node = user;
    struct raft_status status;

    raft_get_status(node->raft, &status);
    *ret_facts = (struct recover_facts){
        .history = status.last.term >> 32,
        .begun = status.committed.term >> 32,
        .term = status.term,
        .last = status.last,
        .committed = status.committed,
        .is_voter = status.is_voter,
        .is_damaged = status.damaged_until != 0,
    };
}

static bool holds(void *user, const struct raft_position *position)
{
    const struct node *node = user;
    struct raft_status status;
    struct raft_entry entry;

    raft_get_status(node->raft, &status);
    if (raft_get_entry(node->raft, position->index, &entry)) return memcmp(entry.chain, position->chain, RAFT_CHAIN_SIZE) == 0;
    if (position->index == status.snapshot.index) return memcmp(status.snapshot.chain, position->chain, RAFT_CHAIN_SIZE) == 0;
    return position->index <= status.committed.index; /* in a snapshot */
}

const char *node_broker_name(const struct node *node, const struct uuid *id, char text[UUID_STRING_SIZE])
{
    const struct image_broker *broker = image_find_broker_by_uuid(node->image, id);

    return broker != NULL ? broker->name : uuid_format(id, text);
}

/* ---- what speaks against it ---- */

static bool is_lost(const struct recover_party *party, const struct uuid *id)
{
    const struct recover_broker *broker = party == NULL ? NULL : recover_party_find(party, id);

    return broker != NULL && broker->is_lost;
}

static const struct uuid *find_unnamed(const struct node *node, const struct recover_party *party)
{
    const struct raft_config *config = raft_get_config(node->raft);

    for (size_t i = 0; i < image_broker_count(node->image); i++)
        if (recover_party_find(party, &image_broker_at(node->image, i)->broker_id) == NULL) return &image_broker_at(node->image, i)->broker_id;
    for (size_t i = 0; i < config->voter_count; i++)
        if (recover_party_find(party, &config->voters[i].broker) == NULL) return &config->voters[i].broker;
    return NULL;
}

/* What was declared lost stays lost while that binds: who must agree only becomes fewer (replication/recover/README.md). */
static const struct uuid *find_returned(const struct recover_party *party, const struct recover_party *bound)
{
    for (size_t i = 0; bound != NULL && i < party->count; i++)
        if (!party->brokers[i].is_lost && is_lost(bound, &party->brokers[i].id)) return &party->brokers[i].id;
    return NULL;
}

bool node_hears(const struct node *node, const struct uuid *broker)
{
    const struct peer *peer = node_peer_find(node, broker);

    if (peer == NULL || peer->is_gone) return false;
    return peer->has_state ? peer->state <= NODE_MEMBER_SUSPECT : peer->is_linked;
}

/* Who is shut out already has been declared lost before. */
static const struct uuid *find_alive(const struct node *node, const struct recover_party *party, const struct recover_party *bound)
{
    for (size_t i = 0; i < party->count; i++) {
        const struct recover_broker *broker = &party->brokers[i];

        if (broker->is_lost && !is_lost(bound, &broker->id) && node_hears(node, &broker->id)) return &broker->id;
    }
    return NULL;
}

static size_t count_left(const struct raft_server *voters, size_t count, const struct recover_party *party)
{
    size_t left = 0;

    for (size_t i = 0; i < count; i++)
        left += !is_lost(party, &voters[i].broker);
    return left;
}

bool node_leaves_majority(const struct node *node, const struct recover_party *party)
{
    const struct raft_config *config = raft_get_config(node->raft);

    return count_left(config->voters, config->voter_count, party) > config->voter_count / 2u &&
           (config->old_voter_count == 0 || count_left(config->old_voters, config->old_voter_count, party) > config->old_voter_count / 2u);
}

static bool objects(void *user, const struct recover_party *party, const struct recover_party *bound, char text[RECOVER_TEXT_SIZE])
{
    const struct node *node = user;
    const struct uuid *other = find_unnamed(node, party);
    struct node_status status;
    char id[UUID_STRING_SIZE];

    node_get_status(node, &status);
    if (node->has_failed) {
        snprintf(text, RECOVER_TEXT_SIZE, "its metadata have failed: %.450s", node->failure);
    } else if (other != NULL) {
        snprintf(text, RECOVER_TEXT_SIZE, "broker %s belongs to the mesh, too: start it, or name it as lost", node_broker_name(node, other, id));
    } else if ((other = find_returned(party, bound)) != NULL) {
        snprintf(text, RECOVER_TEXT_SIZE, "broker %s was declared lost in a recovery that is not finished: name it, too",
                 node_broker_name(node, other, id));
    } else if ((other = find_alive(node, party, bound)) != NULL) {
        snprintf(text, RECOVER_TEXT_SIZE, "broker %s, which would be given up, is alive: let it take part, or stop it and wait until 'mesh members' calls "
                 "it dead", node_broker_name(node, other, id));
    } else if (bound == NULL && status.has_session) {
        snprintf(text, RECOVER_TEXT_SIZE, "a coordinator is there, %s, so no recovery is needed: 'mesh remove' takes single brokers out for good",
                 node_broker_name(node, &status.coordinator, id));
    } else if (bound == NULL && node_leaves_majority(node, party)) {
        snprintf(text, RECOVER_TEXT_SIZE, "more than half of those that vote would be left, so no recovery is needed: start them, and they find a "
                 "coordinator");
    } else {
        return false;
    }
    return true;
}

static const struct recover_hooks hooks = {look, holds, objects};

int node_recovery_open(struct node *node, uint64_t now_us)
{
    const struct recover_options options = {
        .self = node->options.self.broker,
        .seed = random_next(&node->random),
        .retry_us = node->options.recover_retry_us,
        .resume_us = node->options.recover_resume_us,
        .hooks = &hooks,
        .user = node,
    };
    int err = recover_new(&options, node->options.recovery, now_us, &node->recover);

    if (err == 0 && recover_get_state(node->recover)->is_removed) node_removed(node, recover_get_state(node->recover)->removed_history);
    return err;
}

/* ---- asking ---- */

static int add_servers(struct recover_party *party, const struct raft_server *servers, size_t count)
{
    int err = 0;

    for (size_t i = 0; i < count && err == 0; i++)
        err = recover_party_add(party, &servers[i].broker, false);
    return err;
}

int node_recover(struct node *node, uint64_t now_us, const struct uuid *lost, size_t count, bool is_dry, uint64_t timeout_us, uint64_t cookie)
{
    const struct raft_config *config = raft_get_config(node->raft);
    struct recover_party *party = calloc(1, sizeof(*party));
    int err = party == NULL ? MESH_ENOMEM : 0;

    node_enter(node, now_us);
    for (size_t i = 0; err == 0 && i < image_broker_count(node->image); i++)
        err = recover_party_add(party, &image_broker_at(node->image, i)->broker_id, false);
    if (err == 0) err = add_servers(party, config->voters, config->voter_count);
    if (err == 0) err = add_servers(party, config->old_voters, config->old_voter_count);
    for (size_t i = 0; err == 0 && i < count; i++)
        err = recover_party_add(party, &lost[i], true);
    if (err == 0) err = recover_ask(node->recover, now_us, party, is_dry, timeout_us, cookie);
    free(party);
    return err;
}

/* ---- the new history ---- */

/* What the lost have is taken from them, one after the other: each decision rests on the image after the one before. */
struct beginning {
    struct node *node;
    uint64_t term;
    struct image *image; /* after all entries so far */
    struct buffer *bodies;
    size_t count, capacity;
};

static int take_entry(struct beginning *beginning, const struct raft_entry *entry)
{
    struct image *next;
    int err = image_apply(beginning->image, entry, 1, &next);

    if (err != 0) return err;
    image_unref(beginning->image);
    beginning->image = next;
    return 0;
}

static int read_log(struct beginning *beginning, uint64_t last)
{
    struct raft_entry entry;
    int err = 0;

    while (err == 0 && image_applied_index(beginning->image) < last)
        err = raft_get_entry(beginning->node->raft, image_applied_index(beginning->image) + 1, &entry) ? take_entry(beginning, &entry) : MESH_EAGAIN;
    return err;
}

static int add_decision(struct beginning *beginning, const struct decision *decision)
{
    struct raft_entry entry = {.index = image_applied_index(beginning->image) + 1, .term = beginning->term, .type = RAFT_ENTRY_COMMAND};
    struct buffer *body = &beginning->bodies[beginning->count];
    struct slice command;

    if (decision->change_count == 0) return 0;
    if (beginning->count == beginning->capacity) return MESH_EFULL;
    command = decision_command(decision);
    if (buffer_append(body, command.data, command.size) != 0) return MESH_ENOMEM;
    beginning->count++;
    entry.body = buffer_slice(body);
    metadata_chain(image_chain(beginning->image), &entry, entry.chain);
    return take_entry(beginning, &entry);
}

typedef int decide_fn(const struct image *image, const struct uuid *id, const struct decide_facts *facts, struct decision *decision);

static int retire(const struct image *image, const struct uuid *id, const struct decide_facts *facts, struct decision *decision)
{
    const struct decide_broker_retire request = {.broker_id = *id, .accepts_loss = true, .is_alive_ok = true, .facts = facts};

    return decide_broker_retire(image, &request, decision);
}

/* All are fenced before the first is removed, so that nothing passes from one lost broker to the next. */
static int decide_for_all(struct beginning *beginning, const struct recover_party *party, decide_fn *decide)
{
    int err = 0;

    for (size_t i = 0; i < party->count && err == 0; i++) {
        struct decide_facts facts;
        struct decision decision;

        if (!party->brokers[i].is_lost || image_find_broker_by_uuid(beginning->image, &party->brokers[i].id) == NULL) continue;
        decision_init(&decision);
        node_facts_init(beginning->node, beginning->image, &facts);
        err = decide(beginning->image, &party->brokers[i].id, &facts, &decision);
        if (err == 0) err = add_decision(beginning, &decision);
        node_facts_deinit(&facts);
        decision_deinit(&decision);
    }
    return err;
}

static int force(struct beginning *beginning)
{
    struct slice *commands = calloc(beginning->count + 1, sizeof(commands[0]));
    int err = commands == NULL ? MESH_ENOMEM : 0;

    for (size_t i = 0; err == 0 && i < beginning->count; i++)
        commands[i] = buffer_slice(&beginning->bodies[i]);
    if (err == 0) err = raft_force(beginning->node->raft, beginning->node->now_us, beginning->term, commands, beginning->count);
    free(commands);
    return err;
}

/* Begun in an earlier life, or a moment ago: the rest is consensus' affair. */
static bool has_begun(const struct node *node, const struct raft_status *status, uint64_t term)
{
    const struct raft_config *config = raft_get_config(node->raft);

    return status->last.term >= term && config->voter_count == 1 && config->old_voter_count == 0 &&
           raft_server_equal(&config->voters[0], &node->options.self);
}

static int begin_history(struct node *node, const struct recover_value *value, const struct recover_party *party)
{
    struct beginning beginning = {.node = node, .term = value->history << 32, .capacity = 2 * party->count};
    struct raft_status status;
    int err;

    raft_get_status(node->raft, &status);
    if (has_begun(node, &status, beginning.term)) return 0;
    if (node->restores != 0) return MESH_EAGAIN;
    beginning.image = image_ref(node->image);
    beginning.bodies = calloc(beginning.capacity + 1, sizeof(beginning.bodies[0]));
    err = beginning.bodies == NULL ? MESH_ENOMEM : read_log(&beginning, status.last.index);
    if (err == 0) err = decide_for_all(&beginning, party, decide_broker_fence);
    if (err == 0) err = decide_for_all(&beginning, party, retire);
    if (err == 0) err = force(&beginning);
    for (size_t i = 0; i < beginning.count; i++)
        buffer_deinit(&beginning.bodies[i]);
    free(beginning.bodies);
    image_unref(beginning.image);
    return err;
}

void node_recovery_begin(struct node *node)
{
    const struct recover_state *state = recover_get_state(node->recover);
    int err = begin_history(node, &state->value, &state->party);

    if (err == 0)
        node_event(node, NODE_LEVEL_WARN, "the mesh is recovered: all survivors have accepted that this broker's log goes on, as history %llu",
                   (unsigned long long)state->value.history);
    else if (err != MESH_EAGAIN && err != MESH_EBUSY) /* it comes again */
        node_event(node, NODE_LEVEL_ERROR, "the mesh cannot be recovered with this broker's log (%s)", mesh_strerror(err));
}

/* ---- outputs ---- */

static bool send(struct node *node, const struct recover_output *from)
{
    struct node_message message = {.type = NODE_MESSAGE_RECOVER, .bytes = from->bytes};
    const struct peer *peer = node_peer_find(node, &from->to);

    if (peer != NULL) node_send(node, peer, &message);
    return false;
}

/* True: `output` is to be carried out. */
static bool convert(struct node *node, const struct recover_output *from, struct node_output *output)
{
    switch (from->type) {
    case RECOVER_OUTPUT_SEND: return send(node, from);
    case RECOVER_OUTPUT_STORE:
        output->type = NODE_OUTPUT_STORE_RECOVERY;
        output->store = node_store_give_recovery(node);
        output->bytes = from->bytes;
        return output->store != 0;
    case RECOVER_OUTPUT_BEGIN: node->wants_history = true; return false;
    case RECOVER_OUTPUT_REPORT:
        output->type = NODE_OUTPUT_RECOVERED;
        output->cookie = from->report.cookie;
        output->report = &node->report;
        node->report = from->report;
        return true;
    }
    return false;
}

bool node_recovery_next_output(struct node *node, struct node_output *output)
{
    struct recover_output from;

    while (recover_next_output(node->recover, node->now_us, &from))
        if (convert(node, &from, output)) return true;
    return false;
}

bool node_recovery_run(struct node *node)
{
    if (!node->wants_history) return false;
    node->wants_history = false;
    node_recovery_begin(node);
    return true;
}

/* Consensus with this broker, as far as a recovery that was accepted here allows: with the chosen one only, once that has begun. */
bool node_recovery_allows(const struct node *node, const struct uuid *peer)
{
    const struct recover_state *state = recover_get_state(node->recover);

    if (NODE_DEFECT(node, LOST_ARE_HEARD)) return true;
    return !recover_is_bound(node->recover) ||
           (uuid_equal(peer, &state->value.chosen) && !uuid_equal(&state->value.chosen, &node->options.self.broker));
}
