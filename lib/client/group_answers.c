/* What answers bring about. */
#include "client/group_member_internal.h"

#include "base/assert.h"
#include "base/error.h"
#include "client/backoff.h"

static const struct backoff member_backoff = {40, 500};

static void fail(struct consumer_member *member, int error)
{
    member_drop_all(member);
    member->is_joined = false;
    member->end = error;
    member->trouble = error;
}

/* The group does not know the member: whatever it claimed is another's by now. Its next life has another id. */
static void forget_membership(struct consumer_member *member)
{
    member_drop_all(member);
    member->is_joined = member->must_sync = member->wants_work = member->is_waiting = false;
    member->generation = member->worked_generation = 0;
    member->lease_until_ms = member->informed_ms = member->unproved[0].sent_ms = 0;
    member_new_id(member);
}

static void try_later(struct consumer_member *member, uint64_t now_ms)
{
    member->retry_ms = now_ms + backoff_ms(&member_backoff, member->failures++, random_unit(&member->random));
}

/* Nobody else is given what is claimed here before the session is over, counted from the sending of a request that is proved. */
static void extend_lease(struct consumer_member *member, uint64_t sent_ms)
{
    uint64_t until_ms = sent_ms + (uint64_t)member->terms.session_timeout_ms * 9 / 10;

    if (until_ms > member->lease_until_ms) member->lease_until_ms = until_ms;
}

static void note_unproved(struct consumer_member *member, uint64_t sent_ms, const struct consumer_member_answer *answer)
{
    bool is_first = member->unproved[0].sent_ms == 0;

    /* Of another leader's counting, or of its next life's. */
    if (answer->epoch != member->unproved_epoch || answer->heard_us < member->unproved[0].heard_us) is_first = true;
    if (!is_first && answer->heard_us <= member->unproved[1].heard_us) return;
    member->unproved_epoch = answer->epoch;
    member->unproved[1].sent_ms = sent_ms;
    member->unproved[1].heard_us = answer->heard_us;
    if (is_first) member->unproved[0] = member->unproved[1];
}

/* What was heard before `proved_us` is proved, too, wherever its answer said less. */
static void learn_proof(struct consumer_member *member, uint64_t sent_ms, const struct consumer_member_answer *answer)
{
    uint64_t behind_us = answer->proof_behind_us, proved_us = behind_us > answer->heard_us ? 0 : answer->heard_us + 1 - behind_us;

    if (behind_us == 0) extend_lease(member, sent_ms);
    if (answer->epoch == 0 || answer->epoch < member->unproved_epoch) return;
    if (behind_us > 0) note_unproved(member, sent_ms, answer);
    if (answer->epoch != member->unproved_epoch || member->unproved[0].sent_ms == 0 || member->unproved[0].heard_us >= proved_us) return;
    extend_lease(member, member->unproved[0].sent_ms);
    member->unproved[0] = member->unproved[1];
    if (member->unproved[1].heard_us >= proved_us) return;
    extend_lease(member, member->unproved[1].sent_ms);
    member->unproved[0].sent_ms = 0;
}

/* What the leader asked for before sent_ms is known: it told all, or that there is nothing new. */
static void note_informed(struct consumer_member *member, uint64_t sent_ms)
{
    if (sent_ms > member->informed_ms) member->informed_ms = sent_ms;
}

/* Answers may pass one another, and come from a leader of before: what is older is not learned. */
static void learn(struct consumer_member *member, const struct consumer_member_answer *answer)
{
    if (answer->epoch > member->epoch) member->epoch = answer->epoch;
    if (answer->generation > member->generation) member->generation = answer->generation;
}

static bool owes(const struct consumer_member *member)
{
    return member->counts[PART_ASKED_BACK] + member->counts[PART_LETTING_GO] > 0;
}

/* While partitions are on their way out the leader always has work to tell, and it is the same every time. Where it has none then, they were taken away. */
static bool is_worth_asking(const struct consumer_member *member, uint64_t now_ms, const struct consumer_member_answer *answer)
{
    if (member->generation != member->worked_generation) return true;
    if (!answer->has_work && !owes(member)) return false;
    return !owes(member) || now_ms >= member->worked_ms + MEMBER_WORK_AGAIN_MS;
}

/* ---- work ---- */

static void hold(struct consumer_member *member, struct part *part)
{
    if (part->state == PART_ASKED_BACK) part_may_stay(member, part);
}

static void give_back(struct consumer_member *member, struct part *part)
{
    if (part->state == PART_CLAIMING) member_move_part(member, part, PART_LETTING_GO);
    if (part->state == PART_OWNED) part_ask_back(member, part);
}

/* It is free for this member. What was claimed before is claimed no more, by an operator's reset for example. */
static int take(struct consumer_member *member, struct part *part, const struct consumer_member_work *work)
{
    if (part != NULL && part->state == PART_CLAIMING) return 0;
    if (part != NULL) member_drop_part(member, part, CONSUMER_MEMBER_LOST);
    return member_add_part(member, &work->topic, work->partition, PART_CLAIMING, &part);
}

static int do_work(struct consumer_member *member, const struct consumer_member_work *work)
{
    struct part *part = member_find_part(member, &work->topic, work->partition);
    int err = 0;

    if (work->kind == CONSUMER_MEMBER_WAIT) { /* another has it: seen, if at all, as what is gone */
        member->is_waiting = true;
        return 0;
    }
    if (work->kind == CONSUMER_MEMBER_TAKE)
        err = take(member, part, work);
    else if (part == NULL) /* the answer to the claim was lost: claiming again tells where to begin */
        err = member_add_part(member, &work->topic, work->partition, work->kind == CONSUMER_MEMBER_HOLD ? PART_CLAIMING : PART_LETTING_GO, &part);
    else if (work->kind == CONSUMER_MEMBER_HOLD)
        hold(member, part);
    else
        give_back(member, part);
    if (err != 0) return err;
    member_find_part(member, &work->topic, work->partition)->is_seen = true;
    return 0;
}

/* The list is all that concerns the member: what is not in it is not the member's. */
static void drop_unseen(struct consumer_member *member)
{
    for (int state = 0; state < PART_STATES; state++)
        list_for_each_safe(node, &member->parts[state])
        {
            struct part *part = container_of(node, struct part, node);
            if (part->is_seen) part->is_seen = false;
            else member_drop_part(member, part, CONSUMER_MEMBER_LOST); /* it may be gone afterwards */
        }
}

static int on_work(struct consumer_member *member, uint64_t now_ms, const struct consumer_member_answer *answer)
{
    member->is_waiting = false;
    if (member->is_leaving) {
        member->must_sync = member->wants_work = false;
        return 0;
    }
    for (size_t i = 0; i < answer->work_count; i++) {
        int err = do_work(member, &answer->work[i]);
        if (err != 0) return err; /* the rest when it is asked for again */
    }
    drop_unseen(member);
    member->must_sync = member->wants_work = false;
    note_informed(member, member->sent_ms);
    member->worked_generation = answer->generation;
    member->worked_ms = now_ms;
    return 0;
}

/* ---- claims, releases, commits ---- */

static int item_error(const struct consumer_member_answer *answer, size_t index)
{
    return answer->items == NULL ? 0 : answer->items[index].error;
}

static void on_claim(struct consumer_member *member, const struct consumer_member_answer *answer)
{
    for (size_t i = 0; i < member->cell_count; i++) {
        struct part *part = member->asked[i];
        int err = item_error(answer, i);

        if (part == NULL || part->state != PART_CLAIMING) continue;
        if (err == 0 && answer->items != NULL) {
            part_claimed(member, part, answer->items[i].offset, answer->items[i].record_epoch);
            continue;
        }
        if (err == MESH_EBUSY) member->is_waiting = true;
        if (err != MESH_EBUSY) member->wants_work = true;
        member_drop_part(member, part, CONSUMER_MEMBER_LOST);
    }
}

/* Whether it was released or was not this member's any more: it is gone. */
static void on_release(struct consumer_member *member)
{
    for (size_t i = 0; i < member->cell_count; i++)
        if (member->asked[i] != NULL && member->asked[i]->state == PART_LETTING_GO) member_drop_part(member, member->asked[i], CONSUMER_MEMBER_RELEASED);
}

static void on_commit(struct consumer_member *member, const struct consumer_member_answer *answer)
{
    for (size_t i = 0; i < member->cell_count; i++) {
        struct part *part = member->asked[i];
        int err = item_error(answer, i);

        if (err != 0 && member->commit_error == 0) member->commit_error = err;
        if (part == NULL) continue;
        if (err == MESH_ENOT_OWNER || err == MESH_ESTALE_GENERATION) {
            member->wants_work = true;
            member_drop_part(member, part, CONSUMER_MEMBER_LOST);
            continue;
        }
        if (err != 0) part_refused(member, part, err);
        if (part->is_sent) part_clean(member, part);
    }
    member->commit_due_ms = 0;
    if (member->ticket == member->done_ticket) member->commit_error = 0; /* nobody waits: changes have told it */
    if (member->sent_ticket == member->done_ticket) return;
    member->done_ticket = member->sent_ticket;
    if (member->done_error == 0) member->done_error = member->commit_error;
    member->commit_error = 0;
}

/* ---- answers ---- */

static void on_success(struct consumer_member *member, uint64_t now_ms, const struct consumer_member_answer *answer)
{
    int err = 0;

    member->failures = 0;
    member->trouble = 0;
    member->retry_ms = now_ms;
    learn(member, answer);
    learn_proof(member, member->sent_ms, answer);
    switch (member->kind) {
    case CONSUMER_MEMBER_JOIN:
        member->is_joined = true;
        member->wants_work = true;
        if (answer->heartbeat_ms > 0) member->heartbeat_ms = answer->heartbeat_ms;
        break;
    case CONSUMER_MEMBER_WORK: err = on_work(member, now_ms, answer); break;
    case CONSUMER_MEMBER_CLAIM: on_claim(member, answer); break;
    case CONSUMER_MEMBER_RELEASE: on_release(member); break;
    case CONSUMER_MEMBER_COMMIT: on_commit(member, answer); break;
    case CONSUMER_MEMBER_LEAVE:
        member_drop_all(member);
        member->is_joined = false;
        member->end = MEMBER_LEFT_DONE;
        break;
    }
    if (member->kind != CONSUMER_MEMBER_WORK && is_worth_asking(member, now_ms, answer)) member->wants_work = true;
    if (err == 0) return;
    member->trouble = err; /* no memory: all of it once more */
    member->must_sync = true;
    try_later(member, now_ms);
}

/* What a member that joins can do nothing about by trying again. */
static bool is_final(const struct consumer_member *member, int error)
{
    if (error == MESH_EFENCED_INSTANCE || error == MESH_EUNAUTHORIZED || error == MESH_EUNSUPPORTED) return true;
    if (member->kind != CONSUMER_MEMBER_JOIN) return false;
    return error == MESH_EINVALID_GROUP || error == MESH_EINVALID_SESSION_TIMEOUT || error == MESH_EINVALID_PATTERN || error == MESH_EINVALID_TOPIC ||
           error == MESH_EINVAL || error == MESH_EGROUP_NOT_EMPTY || error == MESH_EPROTO || error == MESH_EVERSION || error == MESH_ETOOLARGE;
}

static void on_error(struct consumer_member *member, uint64_t now_ms, const struct consumer_member_answer *answer)
{
    int error = answer->error;

    member->trouble = error;
    if (member->kind == CONSUMER_MEMBER_LEAVE && (error == MESH_EUNKNOWN_MEMBER || error == MESH_EFENCED_INSTANCE)) {
        member_drop_all(member);
        member->end = MEMBER_LEFT_DONE;
        return;
    }
    if (is_final(member, error)) {
        fail(member, error);
        return;
    }
    try_later(member, now_ms);
    if (member->kind == CONSUMER_MEMBER_JOIN && !member->is_leaving) member->wants_join = true;
    if (error == MESH_EUNKNOWN_MEMBER) forget_membership(member);
    if (error == MESH_ESTALE_GENERATION) member->must_sync = true;
    /* Another leads by now. Where the answer does not say in which epoch, a heartbeat asks; a leader of before says nothing new. */
    if (error == MESH_ESTALE_EPOCH && (answer->epoch > member->epoch || answer->epoch == 0)) member->epoch = answer->epoch;
}

void consumer_member_answered(struct consumer_member *member, uint64_t now_ms, uint64_t sequence, const struct consumer_member_answer *answer)
{
    if (!member->is_under_way || sequence != member->sequence || member->end != 0) return;
    member->is_under_way = false;
    if (answer->error == 0)
        on_success(member, now_ms, answer);
    else
        on_error(member, now_ms, answer);
    for (size_t i = 0; i < member->cell_count; i++) {
        if (member->asked[i] == NULL) continue;
        member->asked[i]->asked_at = 0;
        member->asked[i]->is_sent = false;
    }
    member->cell_count = 0;
    member_finish_tickets(member);
}

void consumer_member_heard(struct consumer_member *member, uint64_t now_ms, uint64_t sent_ms, struct slice id, const struct consumer_member_answer *answer)
{
    if (!member->is_joined || member->end != 0 || !slice_equal(id, slice_of(member->id, UUID_STRING_SIZE - 1))) return;
    if (answer->error == 0) {
        learn(member, answer);
        learn_proof(member, sent_ms, answer);
        if (is_worth_asking(member, now_ms, answer))
            member->wants_work = true;
        else if (!answer->has_work && !owes(member))
            note_informed(member, sent_ms);
        return;
    }
    /* Perhaps it was a leader of before that does not know the member: only an answer to a request decides. */
    if (answer->error == MESH_EUNKNOWN_MEMBER || answer->error == MESH_EFENCED_INSTANCE) member->must_sync = true;
}
