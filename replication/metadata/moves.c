/* metadata/moves.c - the coordinator looks after replicas: those that move or should, and partitions that only reports can give a leader
 * (coordinator/decide_replicas.h decides). */
#include "replication/metadata/node_internal.h"

#include "base/error.h"

#define LOOK_US    10000000 /* between two looks while nothing moves */
#define STEP_US    1000000  /* while something does */
#define RECOVER_US 1000000  /* while reports wait for others */
#define RECOVER_MAX 256     /* partitions of one decision */

void node_moves_begin(struct node *node)
{
    node->movement = (struct movement)MOVEMENT_INIT;
    node->moves_due_us = earlier(node->moves_due_us == 0 ? NODE_NEVER : node->moves_due_us, node->now_us + STEP_US);
}

static int propose(struct node *node, struct decision *decision)
{
    return decision->change_count == 0 ? MESH_EAGAIN : node_decisions_propose(node, decision);
}

static int move_on(struct node *node, const struct image *image)
{
    struct decide_facts facts;
    struct decide_moves request = {
        .movement = &node->movement,
        .moves_per_broker = node->options.moves_per_broker,
        .spread_quiet_us = node->options.spread_quiet_us,
        .now_us = node->now_us,
        .facts = &facts,
    };
    struct decision decision;
    int err;

    decision_init(&decision);
    node_facts_init(node, image, &facts);
    err = decide_moves(image, &request, &decision);
    if (err == 0) err = propose(node, &decision);
    node->moves_due_us = node->now_us + (node->movement.is_pending || err == 0 ? STEP_US : LOOK_US);
    node_facts_deinit(&facts);
    decision_deinit(&decision);
    return err;
}

/* ---- reports ---- */

int node_moves_report(struct node *node, const struct uuid *topic_id, uint32_t partition, const struct replica_report *report)
{
    int err = node->reports == NULL ? reports_new(&node->reports) : 0;

    if (err == 0) err = reports_put(node->reports, topic_id, partition, report, node->now_us);
    if (err == 0) node->recover_due_us = node->now_us;
    return err;
}

struct recover_walk {
    struct node *node;
    const struct image *image;
    struct decide_facts facts;
    struct decision decision;
};

static int recover_one(void *user, const struct reports_place *place)
{
    struct recover_walk *walk = user;
    const struct node *node = walk->node;
    struct decide_recover request = {
        .topic_id = place->topic_id,
        .partition = place->partition,
        .reports = place->list,
        .report_count = place->count,
        .is_overdue = node->now_us - place->since_us >= node->options.unclean_wait_us,
        .facts = &walk->facts,
    };
    int err = decide_recover(walk->image, &request, &walk->decision);

    return err == 0 && walk->decision.change_count >= RECOVER_MAX ? MESH_EFULL : err;
}

static int recover(struct node *node, const struct image *image)
{
    struct recover_walk walk = {.node = node, .image = image};
    int err;

    reports_prune(node->reports, image);
    node->recover_due_us = node->now_us + RECOVER_US;
    decision_init(&walk.decision);
    node_facts_init(node, image, &walk.facts);
    err = reports_each(node->reports, recover_one, &walk);
    if (err == MESH_EFULL) node->recover_due_us = node->now_us; /* the others at once */
    if (err == 0 || err == MESH_EFULL) err = propose(node, &walk.decision);
    node_facts_deinit(&walk.facts);
    decision_deinit(&walk.decision);
    return err;
}

/* ---- all ---- */

static bool has_reports(const struct node *node)
{
    return node->reports != NULL && reports_count(node->reports) != 0;
}

bool node_moves_run(struct node *node)
{
    bool wants_move = node->options.moves_per_broker != 0 && node->now_us >= node->moves_due_us;
    bool wants_leaders = has_reports(node) && node->now_us >= node->recover_due_us;
    const struct image *image;

    if (!node->is_coordinating) {
        if (has_reports(node)) reports_clear(node->reports); /* they were told to this coordinator; the next one hears them again */
        return false;
    }
    if (!wants_move && !wants_leaders) return false;
    image = node_decisions_image(node);
    if (image == NULL) {
        if (wants_move) node->moves_due_us = node->now_us + STEP_US;
        if (wants_leaders) node->recover_due_us = node->now_us + RECOVER_US;
        return false;
    }
    if (wants_leaders && recover(node, image) == 0) return true;
    return wants_move && move_on(node, image) == 0;
}

uint64_t node_moves_due_us(const struct node *node)
{
    uint64_t due = node->options.moves_per_broker == 0 ? NODE_NEVER : node->moves_due_us;

    if (!node->is_coordinating) return NODE_NEVER;
    return has_reports(node) ? earlier(due, node->recover_due_us) : due;
}

/* ---- its terms ---- */

void node_set_terms(struct node *node, uint64_t now_us, const struct node_terms *terms)
{
    node_enter(node, now_us);
    node->options.defaults.partition_count = terms->partition_count_default;
    node->options.moves_per_broker = terms->moves_per_broker;
    node->options.replace_us = terms->replace_us;
    node->options.spread_quiet_us = terms->spread_quiet_us;
    node->moves_due_us = now_us;
}
