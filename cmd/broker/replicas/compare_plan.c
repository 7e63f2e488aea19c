/* replicas/compare_plan.c - see the header. */
#include "cmd/broker/replicas/compare_plan.h"

#include "base/error.h"

static struct compare_step step_of(enum compare_act act, uint64_t to)
{
    return (struct compare_step){.act = act, .to = to};
}

struct compare_step compare_plan_window(struct compare_plan *plan, uint64_t from, uint64_t committed)
{
    *plan = (struct compare_plan){.phase = COMPARE_WINDOW, .from = from, .to = committed};
    return step_of(COMPARE_READ, committed);
}

struct compare_step compare_plan_vote(struct compare_plan *plan, uint64_t from, uint64_t to)
{
    *plan = (struct compare_plan){.phase = COMPARE_VOTE, .from = from, .to = to};
    return step_of(COMPARE_READ, to);
}

static struct compare_step vote(struct compare_plan *plan)
{
    plan->phase = COMPARE_VOTE;
    return step_of(COMPARE_READ, plan->to);
}

/* [from, to) differs, and has that many bytes here. */
static struct compare_step halve(struct compare_plan *plan, uint64_t bytes)
{
    uint64_t middle = plan->from + (plan->to - plan->from) / 2;

    if (middle == plan->from || bytes <= COMPARE_SMALL_BYTES) return vote(plan);
    plan->phase = COMPARE_SPLIT;
    plan->whole = bytes;
    return step_of(COMPARE_READ, middle);
}

struct compare_step compare_plan_read(struct compare_plan *plan, int error, uint64_t next_offset, uint64_t bytes)
{
    struct compare_step step = step_of(COMPARE_READ, plan->to);

    if (plan->phase == COMPARE_SPLIT && error == MESH_EOFFSET_OUT_OF_RANGE) {
        plan->phase = COMPARE_SPLIT_FIRST;
        step.is_one = true;
        return step;
    }
    /* The leader has a batch that ends where none does here. Other errors are damage, and the scrubber's, which was sent there. */
    if (error != 0) return step_of(error == MESH_EOFFSET_OUT_OF_RANGE ? COMPARE_STUCK : COMPARE_LATER, plan->from);
    plan->split = next_offset;
    if (plan->phase == COMPARE_WINDOW && plan->reach == 0) plan->reach = next_offset;
    plan->bytes = bytes;
    if (plan->phase == COMPARE_VOTE) return step_of(next_offset == plan->to ? COMPARE_JUDGE : COMPARE_LATER, plan->to);
    if (plan->phase == COMPARE_SPLIT_FIRST && next_offset >= plan->to) { /* it is one batch */
        plan->phase = COMPARE_VOTE;
        return step_of(COMPARE_JUDGE, plan->to);
    }
    return step_of(COMPARE_ASK, next_offset);
}

/* The leader's batches do not end where ours do. Halves: all of the range differs then. A window: less of it may do. */
static struct compare_step heard_less(struct compare_plan *plan, uint64_t next_offset)
{
    if (plan->phase != COMPARE_WINDOW) return vote(plan);
    if (next_offset <= plan->from) return step_of(COMPARE_STUCK, plan->from);
    plan->to = next_offset;
    return step_of(COMPARE_READ, next_offset);
}

struct compare_step compare_plan_heard(struct compare_plan *plan, int error, uint64_t next_offset, bool is_equal)
{
    if (error == MESH_EOFFSET_OUT_OF_RANGE) return heard_less(plan, plan->from);
    if (error == MESH_ECORRUPT || error == MESH_EIO) return step_of(COMPARE_STUCK, plan->from);
    if (error != 0 || next_offset > plan->split) return step_of(COMPARE_LATER, plan->from);
    if (next_offset < plan->split) return heard_less(plan, next_offset);
    if (!is_equal) {
        plan->to = plan->split;
        return halve(plan, plan->bytes);
    }
    if (plan->phase == COMPARE_WINDOW) return step_of(COMPARE_EQUAL, plan->split);
    plan->from = plan->split; /* it is the other half */
    return halve(plan, plan->whole - plan->bytes);
}
