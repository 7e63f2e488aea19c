#include "replication/groups/lead_internal.h"

#include "base/assert.h"

#include <stdlib.h>

#define CONTROL_BATCH_BYTES 100 /* about */

void group_limits_init(struct group_limits *limits)
{
    *limits = (struct group_limits){
        .session_timeout_min_ms = 6000,
        .session_timeout_max_ms = 30 * 60 * 1000,
        .processing_limit_max_ms = 24 * 60 * 60 * 1000,
        .metadata_size_max = GROUP_METADATA_SIZE_MAX,
        .members_max = GROUP_MEMBERS_MAX,
        .groups_max = 100000,
        .classic_gather_ms = 1000,
        .cells_max = 4000000,
        .retention_ms = 7ull * 24 * 60 * 60 * 1000,
        .checkpoint_bytes_min = 1024 * 1024,
        .checkpoint_piece_bytes = 256 * 1024,
    };
}

/* What is soft begins anew: whatever an earlier time of leadership left behind counts no more, and every member has all its time again. */
static int take_over(struct group_lead *lead, struct group *group, uint64_t now_ms)
{
    int err = 0;

    group->is_dirty = false;
    group->imaged_in = lead->groups->checkpoint;
    /* The leader before may have died between a join, or a topic's growth, and the generation that it would have brought. A look that finds all as it
     * should be writes nothing. */
    if (group_member_count(group) > 0) lead_mark(lead, group);
    for (struct group_member *member = group_first_member(group); member != NULL && err == 0; member = member->next) {
        member->looked_at = 0;
        member->watched_ms = 0;
        member->release_by_ms = 0;
        member->heard_ms = now_ms;
        member->sequence = 0;
        member->lives[0] = member->lives[1] = 0;
        lead_note_session(lead, member);
        if (!GROUP_DEFECT(lead->groups, TIMERS_FORGOTTEN)) err = lead_watch(lead, member, now_ms);
    }
    if (err == 0 && group->protocol == GROUP_PROTOCOL_CLASSIC && group_classic_count(group) > 0) {
        err = classic_restore(lead, group, now_ms);
        if (err == MESH_EFULL) err = 0; /* by limits of today: they join anew */
    }
    return err != 0 || group_member_count(group) == 0 ? err : lead_ask_back(lead, group, now_ms);
}

int group_lead_new(struct groups *groups, const struct group_catalog *catalog, const struct group_limits *limits, uint32_t epoch, uint64_t log_end,
                   bool is_unclean, uint64_t now_ms, struct group_lead **ret_lead)
{
    struct group_lead *lead = calloc(1, sizeof(*lead));
    int err = 0;

    if (lead == NULL) return MESH_ENOMEM;
    MESH_ASSERT(log_end >= groups->next_lsn && groups->broken == 0);
    lead->groups = groups;
    lead->catalog = catalog;
    lead->limits = *limits;
    lead->epoch = epoch;
    lead->next_lsn = lead->first_lsn = lead->settled_lsn = log_end;
    lead->began_ms = now_ms;
    lead->classic.due_ms = UINT64_MAX;
    /* A checkpoint that was under way is begun again when there is reason. */
    lead->assigns_anew = GROUP_DEFECT(groups, FAILOVER_REBALANCES);
    lead->bytes_since_checkpoint = groups->has_log_start ? 0 : limits->checkpoint_bytes_min / 2;
    lead->is_salvaged = groups->is_salvaging = groups->is_restoring;
    if (lead->is_salvaged)
        err = lead_emit(lead, &(struct group_record){.kind = GROUP_SALVAGED, .losses = groups->losses});
    else if (is_unclean)
        err = lead_emit(lead, &(struct group_record){.kind = GROUP_FENCED, .losses = groups->losses});
    for (struct group *group = state_next_group(groups, NULL); group != NULL && err == 0; group = state_next_group(groups, group))
        err = take_over(lead, group, now_ms);
    if (err != 0) {
        group_lead_free(lead);
        return err;
    }
    *ret_lead = lead;
    return 0;
}

int group_lead_made_up(struct group_lead *lead, uint32_t losses)
{
    return lead_emit(lead, &(struct group_record){.kind = GROUP_FENCED, .losses = losses});
}

void group_lead_free(struct group_lead *lead)
{
    if (lead == NULL) return;
    classic_free_all(lead);
    buffer_deinit(&lead->outbox);
    buffer_deinit(&lead->items);
    buffer_deinit(&lead->members);
    free(lead->watches);
    free(lead);
}

void lead_note_session(struct group_lead *lead, const struct group_member *member)
{
    uint32_t session_ms = member->info.session_timeout_ms;

    if (lead->groups->members.count == 1 || lead->session_min_ms == 0 || session_ms < lead->session_min_ms) lead->session_min_ms = session_ms;
}

/* ---- records ---- */

/* Whether who belongs to a group, and who owns or shall own what, may be another after it. Images repeat what is known, but where that was lost. */
static bool is_settling(const struct group_lead *lead, enum group_record_kind kind)
{
    if (kind == GROUP_COMMITTED) return false;
    return kind < GROUP_CHECKPOINT_BEGAN || kind == GROUP_CLASSIC || kind == GROUP_SALVAGED || lead->is_salvaged;
}

int lead_emit(struct group_lead *lead, const struct group_record *record)
{
    size_t at = lead->outbox.size, size;
    uint8_t length[4] = {0};
    int err = lead->broken;

    if (err == 0) err = buffer_append(&lead->outbox, length, sizeof(length));
    if (err == 0) err = group_record_encode(record, &lead->outbox);
    if (err == MESH_ETOOLARGE) {
        lead->outbox.size = at;
        return err;
    }
    if (err == 0) {
        size = lead->outbox.size - at - sizeof(length);
        le_store32(lead->outbox.data + at, (uint32_t)size);
        lead->bytes_since_checkpoint += size;
        err = groups_apply(lead->groups, lead->epoch, lead->next_lsn, slice_of(lead->outbox.data + at + sizeof(length), size));
        MESH_ASSERT(err == 0 || err == MESH_ENOMEM); /* what is decided here can follow what was decided before */
    }
    if (err != 0) {
        lead->outbox.size = at;
        lead->broken = err;
        return err;
    }
    lead->next_lsn++;
    if (is_settling(lead, record->kind)) lead->settled_lsn = lead->next_lsn;
    return 0;
}

struct group_items_writer lead_items(struct group_lead *lead, enum group_item_form form)
{
    buffer_clear(&lead->items);
    return group_items_write(&lead->items, form);
}

int lead_emit_items(struct group_lead *lead, struct group_record *record, struct group_items_writer *writer)
{
    if (writer->writer.error != 0) return writer->writer.error;
    if (writer->count == 0) return 0;
    record->items = buffer_slice(&lead->items);
    return lead_emit(lead, record);
}

void lead_reply(const struct group_lead *lead, const struct group *group, struct group_reply *ret_reply)
{
    *ret_reply = (struct group_reply){.generation = group == NULL ? 0 : group->generation, .barrier = lead->next_lsn};
}

void lead_tell(struct group_lead *lead, const struct group_event *event)
{
    if (lead->told != NULL) lead->told(lead->told_arg, event);
}

/* ---- the outbox ---- */

uint64_t group_lead_first_lsn(const struct group_lead *lead)
{
    return lead->first_lsn;
}

uint64_t group_lead_barrier(const struct group_lead *lead)
{
    return lead->next_lsn;
}

bool group_lead_next_record(const struct group_lead *lead, size_t *cursor, struct slice *ret_record)
{
    if (*cursor == lead->outbox.size) return false;
    *ret_record = slice_of(lead->outbox.data + *cursor + 4, le_load32(lead->outbox.data + *cursor));
    *cursor += 4 + ret_record->size;
    return true;
}

size_t group_lead_outbox_size(const struct group_lead *lead)
{
    return lead->outbox.size;
}

void group_lead_appended(struct group_lead *lead, uint64_t log_end)
{
    MESH_ASSERT(log_end >= lead->next_lsn);
    /* Control batches fill the log, too: without these a partition that is proved for years would never be trimmed. */
    lead->bytes_since_checkpoint += (log_end - lead->next_lsn) * CONTROL_BATCH_BYTES;
    buffer_clear(&lead->outbox);
    lead->next_lsn = lead->first_lsn = log_end;
}

bool group_lead_is_due(const struct group_lead *lead)
{
    return lead->dirty != NULL || lead->classic.is_stirred || lead_wants_checkpoint(lead);
}

bool group_lead_is_broken(const struct group_lead *lead)
{
    return lead->broken != 0;
}

uint32_t group_lead_session_min_ms(const struct group_lead *lead)
{
    uint32_t ours = lead->groups->members.count == 0 ? 0 : lead->session_min_ms;
    uint32_t classic = lead->classic.by_name.count == 0 ? 0 : lead->classic.session_min_ms;

    return ours == 0 || (classic != 0 && classic < ours) ? classic : ours;
}
