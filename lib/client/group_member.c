#include "client/group_member_internal.h"

#include "base/assert.h"
#include "base/error.h"

#include <stdlib.h>
#include <string.h>

/* ---- making ---- */

void member_new_id(struct consumer_member *member)
{
    uint8_t bytes[UUID_SIZE];
    struct uuid uuid;

    for (size_t i = 0; i < UUID_SIZE; i += 8) {
        uint64_t word = random_next(&member->random);
        memcpy(bytes + i, &word, 8);
    }
    uuid = uuid_from_random(bytes);
    uuid_format(&uuid, member->id);
}

int consumer_member_new(const struct consumer_member_terms *terms, uint64_t seed, uint64_t now_ms, struct consumer_member **ret_member)
{
    struct consumer_member *member = calloc(1, sizeof(*member));

    if (member == NULL) return MESH_ENOMEM;
    member->terms = *terms;
    random_init(&member->random, seed);
    member_new_id(member);
    member->wants_join = true;
    member->retry_ms = now_ms;
    for (int state = 0; state < PART_STATES; state++)
        list_init(&member->parts[state]);
    list_init(&member->changes);
    list_init(&member->refusals);
    *ret_member = member;
    return 0;
}

void consumer_member_free(struct consumer_member *member)
{
    if (member == NULL) return;
    member_free_parts(member);
    free(member->cells);
    free(member->asked);
    free(member);
}

/* ---- which request is next ---- */

/* Something that was let go is to be committed before it is released. What else is dirty waits: it gets dirty again all the time. */
static bool is_letting_go_dirty(const struct consumer_member *member)
{
    list_for_each(node, &member->parts[PART_LETTING_GO])
        if (container_of(node, struct part, node)->is_dirty) return true;
    return false;
}

static bool is_commit_wanted(struct consumer_member *member, uint64_t now_ms)
{
    if (member->dirty_count == 0) return false;
    if (member->ticket > member->done_ticket || member->is_leaving || is_letting_go_dirty(member)) return true;
    if (member->terms.commit_interval_ms == 0) return false;
    if (member->commit_due_ms == 0) member->commit_due_ms = now_ms + member->terms.commit_interval_ms;
    return now_ms >= member->commit_due_ms;
}

void member_finish_tickets(struct consumer_member *member)
{
    if (member->ticket == member->done_ticket || member->dirty_count > 0 || member->is_under_way) return;
    member->done_ticket = member->ticket;
    if (member->done_error == 0) member->done_error = member->commit_error;
    member->commit_error = 0;
}

/* Heartbeats prove the lease; where they do not get through, the member asks for itself: it may have been expelled, and nobody else would tell. */
static uint64_t proof_due_ms(const struct consumer_member *member)
{
    uint64_t again_ms = member->sent_ms + member->terms.session_timeout_ms / 4, early_ms = member->terms.session_timeout_ms / 5;

    return member->lease_until_ms > again_ms + early_ms ? member->lease_until_ms - early_ms : again_ms;
}

/* False: nothing is to be sent. In order: to be a member; to know where one stands; to commit before anything is released; then the rest. */
static bool choose(struct consumer_member *member, uint64_t now_ms, enum consumer_member_request_kind *ret_kind)
{
    member_finish_tickets(member);
    if (member->is_leaving && !member->is_joined) {
        member->end = MEMBER_LEFT_DONE;
        return false;
    }
    if (!member->is_joined)
        *ret_kind = CONSUMER_MEMBER_JOIN;
    else if (member->epoch == 0 || member->must_sync || now_ms >= proof_due_ms(member))
        *ret_kind = CONSUMER_MEMBER_WORK;
    else if (member->wants_join)
        *ret_kind = CONSUMER_MEMBER_JOIN;
    else if (is_commit_wanted(member, now_ms))
        *ret_kind = CONSUMER_MEMBER_COMMIT;
    else if (member->is_leaving && (member->leaves_for_good || !member->terms.is_static))
        *ret_kind = CONSUMER_MEMBER_LEAVE;
    else if (member->is_leaving) {
        member->end = MEMBER_LEFT_DONE;
        return false;
    } else if (member->counts[PART_LETTING_GO] > 0)
        *ret_kind = CONSUMER_MEMBER_RELEASE;
    else if (member->wants_work)
        *ret_kind = CONSUMER_MEMBER_WORK;
    else if (member->counts[PART_CLAIMING] > 0)
        *ret_kind = CONSUMER_MEMBER_CLAIM;
    else
        return false;
    return true;
}

/* ---- what it carries ---- */

static int reserve_cells(struct consumer_member *member, size_t count)
{
    struct consumer_member_cell *cells;
    struct part **asked;

    if (count <= member->cell_room) return 0;
    cells = realloc(member->cells, count * sizeof(*cells));
    if (cells == NULL) return MESH_ENOMEM;
    member->cells = cells;
    asked = realloc(member->asked, count * sizeof(struct part *));
    if (asked == NULL) return MESH_ENOMEM;
    member->asked = asked;
    member->cell_room = count;
    return 0;
}

static void put_cell(struct consumer_member *member, struct part *part)
{
    member->asked[member->cell_count] = part;
    member->cells[member->cell_count++] =
        (struct consumer_member_cell){.topic = part->topic,
                                      .partition = part->partition,
                                      .record_epoch = part->record_epoch,
                                      .offset = part->offset,
                                      .metadata = slice_of(part->metadata, part->metadata_size)};
    part->asked_at = member->cell_count;
}

/* The first of a state go along; what is put goes to the end of its list, so that all have their turn. */
static int fill_cells(struct consumer_member *member, enum part_state state)
{
    size_t count = member->counts[state] < CONSUMER_MEMBER_CELLS_MAX ? member->counts[state] : CONSUMER_MEMBER_CELLS_MAX;
    int err = reserve_cells(member, count);

    for (size_t i = 0; i < count && err == 0; i++) {
        struct part *part = container_of(list_pop_front(&member->parts[state]), struct part, node);
        list_push_back(&member->parts[state], &part->node);
        put_cell(member, part);
    }
    return err;
}

static int fill_commit(struct consumer_member *member)
{
    size_t room = member->dirty_count < CONSUMER_MEMBER_CELLS_MAX ? member->dirty_count : CONSUMER_MEMBER_CELLS_MAX, metadata = 0;
    int err = reserve_cells(member, room);

    for (int state = PART_OWNED; state < PART_STATES && err == 0; state++)
        for (size_t left = member->counts[state]; left > 0 && member->cell_count < room && metadata < MEMBER_METADATA_SUM_MAX; left--) {
            struct part *part = container_of(list_pop_front(&member->parts[state]), struct part, node);
            list_push_back(&member->parts[state], &part->node);
            if (!part->is_dirty) continue;
            metadata += part->metadata_size;
            put_cell(member, part);
            part->is_sent = true;
        }
    /* Not all fits: nobody's commit is done by this request. */
    member->sent_ticket = member->cell_count == member->dirty_count ? member->ticket : member->done_ticket;
    return err;
}

static uint32_t patience_ms(const struct consumer_member *member, enum consumer_member_request_kind kind)
{
    uint32_t patience = member->terms.session_timeout_ms / 4;

    if (kind == CONSUMER_MEMBER_JOIN) return MEMBER_JOIN_MS;
    if (patience < MEMBER_REQUEST_MS_MIN) return MEMBER_REQUEST_MS_MIN;
    return patience < MEMBER_REQUEST_MS_MAX ? patience : MEMBER_REQUEST_MS_MAX;
}

bool consumer_member_next_request(struct consumer_member *member, uint64_t now_ms, struct consumer_member_request *ret_request)
{
    enum consumer_member_request_kind kind;
    int err = 0;

    if (member->end != 0 || member->is_under_way || now_ms < member->retry_ms) return false;
    if (!choose(member, now_ms, &kind)) return false;
    member->cell_count = 0;
    if (kind == CONSUMER_MEMBER_COMMIT) err = fill_commit(member);
    if (kind == CONSUMER_MEMBER_CLAIM) err = fill_cells(member, PART_CLAIMING);
    if (kind == CONSUMER_MEMBER_RELEASE) err = fill_cells(member, PART_LETTING_GO);
    if (err != 0) { /* no memory: nothing was put; again soon */
        member->trouble = err;
        member->retry_ms = now_ms + MEMBER_MEMORY_MS;
        return false;
    }
    member->is_under_way = true;
    member->kind = kind;
    if (kind == CONSUMER_MEMBER_JOIN) member->wants_join = false; /* what is subscribed to meanwhile is joined for anew */
    member->sent_ms = now_ms;
    member->sequence++;
    *ret_request = (struct consumer_member_request){.kind = kind,
                                                    .sequence = member->sequence,
                                                    .member = slice_of(member->id, strlen(member->id)),
                                                    .epoch = member->epoch,
                                                    .generation = member->generation,
                                                    .timeout_ms = patience_ms(member, kind),
                                                    .cells = member->cells,
                                                    .cell_count = member->cell_count};
    return true;
}

uint64_t consumer_member_deadline_ms(const struct consumer_member *member)
{
    bool is_wanted = !member->is_joined || member->wants_join || member->epoch == 0 || member->must_sync || member->wants_work ||
                     member->is_leaving || member->counts[PART_LETTING_GO] > 0 || member->counts[PART_CLAIMING] > 0 ||
                     member->ticket > member->done_ticket;

    uint64_t due_ms = proof_due_ms(member);

    if (member->end != 0 || member->is_under_way) return CONSUMER_MEMBER_NEVER;
    if (member->dirty_count > 0 && member->terms.commit_interval_ms > 0 && member->commit_due_ms < due_ms) due_ms = member->commit_due_ms;
    return is_wanted || due_ms < member->retry_ms ? member->retry_ms : due_ms;
}

/* ---- what the application wants ---- */

uint64_t consumer_member_commit(struct consumer_member *member)
{
    member->ticket++;
    member_finish_tickets(member);
    return member->ticket;
}

void consumer_member_subscribe(struct consumer_member *member)
{
    member->wants_join = true;
}

void consumer_member_leave(struct consumer_member *member, bool for_good)
{
    member->is_leaving = true;
    member->leaves_for_good = member->leaves_for_good || for_good;
    member->wants_join = false;
    list_for_each_safe(node, &member->parts[PART_CLAIMING])
        member_drop_part(member, container_of(node, struct part, node), CONSUMER_MEMBER_RELEASED);
    list_for_each_safe(owned, &member->parts[PART_OWNED])
        member_move_part(member, container_of(owned, struct part, node), PART_LETTING_GO);
    list_for_each_safe(asked, &member->parts[PART_ASKED_BACK])
        member_move_part(member, container_of(asked, struct part, node), PART_LETTING_GO);
}

/* ---- views ---- */

bool consumer_member_may_handle(const struct consumer_member *member, uint64_t now_ms)
{
    return now_ms < consumer_member_handle_until_ms(member);
}

uint64_t consumer_member_handle_until_ms(const struct consumer_member *member)
{
    uint64_t informed_until_ms = member->informed_ms + (uint64_t)member->terms.processing_limit_ms * 9 / 10;

    if (!member->is_joined || member->end != 0) return 0;
    return member->lease_until_ms < informed_until_ms ? member->lease_until_ms : informed_until_ms;
}

struct consumer_member_view consumer_member_view(const struct consumer_member *member)
{
    return (struct consumer_member_view){.id = slice_of(member->id, strlen(member->id)),
                                         .is_joined = member->is_joined && member->end == 0,
                                         .is_waiting = member->is_waiting,
                                         .epoch = member->epoch,
                                         .generation = member->generation,
                                         .heartbeat_ms = member->heartbeat_ms,
                                         .owned = (uint32_t)(member->counts[PART_OWNED] + member->counts[PART_ASKED_BACK]),
                                         .lease_until_ms = member->lease_until_ms,
                                         .trouble = member->trouble};
}
