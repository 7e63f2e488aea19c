/* groups/group_turn.c - the order of things: log, lead, records, answers. */
#include "cmd/broker/groups/group_turn.h"

#include "base/assert.h"

#define ELECTION_MAX_US 2000000 /* a leader may have been replaced this long before its broker's session ends (PROTOCOLS 2.3) */
#define YOUNG_US        100000  /* LEASE_BY_CLOCK: so young a proof counts as none older; less than what a member leaves of its session */

void group_part_init(struct group_part *part, const struct group_terms *terms)
{
    *part = (struct group_part){.terms = terms};
    list_init(&part->arrivals);
    list_init(&part->waiting);
    list_init(&part->proving);
}

#ifdef MESH_TEST_SWITCHES
void group_part_bring_back(struct group_part *part, enum group_part_defect defect)
{
    part->defects = defect == GROUP_PART_DEFECT_NONE ? 0 : part->defects | 1u << defect;
}
#endif

/* ---- who waits ---- */

/* done() may bring new waiters: those are not of this round. */
static void answer_all(struct list_node *list, int error)
{
    struct list_node round, *node;

    list_init(&round);
    while ((node = list_pop_front(list)) != NULL)
        list_push_back(&round, node);
    while ((node = list_pop_front(&round)) != NULL) {
        struct group_waiter *waiter = container_of(node, struct group_waiter, node);

        waiter->done(waiter, error);
    }
}

static void answer_arrivals(struct group_part *part, int error)
{
    part->arrival_count = 0;
    answer_all(&part->arrivals, error);
}

static void answer_waiting(struct group_part *part, int error)
{
    part->waiting_count = 0;
    answer_all(&part->waiting, error);
    answer_all(&part->proving, error);
}

void group_part_deinit(struct group_part *part, int error)
{
    answer_waiting(part, error);
    answer_arrivals(part, error);
    group_lead_free(part->lead);
    groups_free(part->state);
    part->lead = NULL;
    part->state = NULL;
}

/* ---- the end of a lead, and of a state ---- */

static void drop_state(struct group_part *part)
{
    groups_free(part->state);
    part->state = NULL;
}

/* The state goes with the lead if it knows records that the log does not have. */
static void end_lead(struct group_part *part)
{
    bool is_in_log = part->lead == NULL || (part->cursor == group_lead_outbox_size(part->lead) && !group_lead_is_broken(part->lead));

    if (part->lead == NULL) return;
    group_lead_free(part->lead);
    part->lead = NULL;
    part->phase = GROUP_PART_TAILING;
    part->cursor = part->cursor_next = 0;
    part->marks[0].end = part->marks[1].end = 0;
    part->proved = 0;
    part->is_full = part->is_proof_wanted = false;
    if (!is_in_log) drop_state(part);
}

void group_part_cease(struct group_part *part)
{
    end_lead(part);
    answer_waiting(part, MESH_EUNCOMMITTED);
}

void group_part_cut(struct group_part *part)
{
    group_part_cease(part);
    if (part->phase == GROUP_PART_STOPPED) part->phase = GROUP_PART_TAILING; /* what stopped it may be what is cut away */
    if (!GROUP_PART_DEFECT(part, CUT_KEEPS_STATE)) drop_state(part);
}

static void fail(struct group_part *part, const struct group_facts *facts, int error)
{
    group_part_cease(part);
    drop_state(part);
    if (error == MESH_ENOMEM) {
        part->retry_ms = facts->now_ms + GROUP_PART_RETRY_MS;
        return;
    }
    part->phase = GROUP_PART_STOPPED;
    part->stopped_by = error;
    part->stopped_at = part->applied;
    answer_arrivals(part, MESH_ENOT_LEADER);
}

/* ---- following the log ---- */

bool group_part_wants_log(struct group_part *part, const struct group_facts *facts, uint64_t *ret_from)
{
    if (part->phase == GROUP_PART_STOPPED || part->lead != NULL || facts->is_cutting) return false;
    if (part->retry_ms != 0 && facts->now_ms < part->retry_ms) return false;
    if (GROUP_PART_DEFECT(part, CUT_KEEPS_STATE) && part->applied > facts->log_end) part->applied = facts->log_end;
    /* The log was emptied, or gave up what is not read yet. */
    if (part->state != NULL && (part->applied < facts->log_start || part->applied > facts->log_end)) drop_state(part);
    if (part->state == NULL) {
        if (groups_new(facts->log_start, &part->state) != 0) {
            part->retry_ms = facts->now_ms + GROUP_PART_RETRY_MS;
            return false;
        }
        part->applied = facts->log_start;
        part->trimmed = 0;
        part->rebuilds++;
    }
    part->retry_ms = 0;
    *ret_from = part->applied;
    return part->applied < facts->log_end;
}

static int take_records(struct group_part *part, struct slice batch, const struct record_batch_header *header)
{
    struct record_iterator iterator;
    struct record record;
    int err = header->attributes & RECORD_ATTRIBUTE_COMPRESSION ? MESH_ECORRUPT : record_iterator_init(&iterator, batch, NULL, 0);

    while (err == 0) {
        int more = record_iterator_next(&iterator, &record);

        if (more <= 0) return more;
        if ((uint64_t)record.offset < part->applied) continue;
        if (!record.key_is_null || record.value_is_null || record.header_count > 0) return MESH_ECORRUPT;
        err = groups_apply(part->state, (uint32_t)header->leader_epoch, (uint64_t)record.offset, record.value);
        part->rebuilt_records++;
    }
    return err;
}

int group_part_take(struct group_part *part, const struct group_facts *facts, struct slice batches)
{
    while (batches.size > 0) {
        struct record_batch_header header;
        struct slice batch;
        int err = record_batch_parse_header(batches, &header);

        if (err != 0 || header.size > batches.size) return MESH_EAGAIN;
        batch = slice_of(batches.data, header.size);
        batches = slice_of(batches.data + header.size, batches.size - header.size);
        if ((uint64_t)record_batch_last_offset(&header) < part->applied) continue;
        if ((uint64_t)header.base_offset > part->applied) return MESH_EAGAIN; /* a hole: it will be mended */
        if (record_batch_verify(batch, &header) != 0) return MESH_EAGAIN;
        if ((header.attributes & RECORD_ATTRIBUTE_CONTROL) == 0) err = take_records(part, batch, &header);
        if (err != 0) {
            fail(part, facts, err);
            return err;
        }
        part->applied = (uint64_t)record_batch_last_offset(&header) + 1;
    }
    return 0;
}

/* ---- leading ---- */

static bool is_ready_to_lead(const struct group_part *part, const struct group_facts *facts)
{
    return part->lead == NULL && facts->may_lead && part->phase == GROUP_PART_TAILING && part->state != NULL && part->applied == facts->log_end;
}

static void begin(struct group_part *part, const struct group_facts *facts)
{
    const struct group_terms *terms = part->terms;
    bool is_owed = groups_losses(part->state) < facts->losses;
    int err;

    if (is_owed && terms->may_begin != NULL && !terms->may_begin(terms->user, part, facts)) return;
    err = group_lead_new(part->state, &terms->catalog, &terms->limits, facts->epoch, facts->log_end, facts->is_unclean || is_owed, facts->now_ms, &part->lead);
    if (err != 0) {
        fail(part, facts, err);
        return;
    }
    part->phase = GROUP_PART_LEADING;
    part->lead_epoch = facts->epoch;
    part->cursor = part->cursor_next = 0;
    part->tick_ms = facts->now_ms;
    if (terms->begun != NULL) err = terms->begun(terms->user, part, facts);
    if (err == 0 && is_owed) err = group_lead_made_up(part->lead, facts->losses);
    if (err != 0) fail(part, facts, err);
    else answer_arrivals(part, 0);
}

static void told(void *arg, const struct group_event *event)
{
    struct group_part *part = arg;

    if (part->terms->told != NULL) part->terms->told(part->terms->user, part, event);
}

/* Nothing is decided by time while nobody could commit it, or the log takes nothing: who cannot be heard is not silent. */
static void tick(struct group_part *part, const struct group_facts *facts)
{
    int err;

    if (facts->is_below_min || part->is_full || group_lead_outbox_size(part->lead) - part->cursor >= GROUP_PART_OUTBOX_MAX) {
        part->tick_ms = facts->now_ms + GROUP_PART_RETRY_MS;
        return;
    }
    if (facts->now_ms < part->tick_ms && !group_lead_is_due(part->lead)) return;
    err = group_lead_tick(part->lead, facts->now_ms, facts->wall_ms, told, part, &part->tick_ms);
    if (err != 0) fail(part, facts, err);
}

static uint64_t expire(struct list_node *list, uint32_t *count, const struct group_facts *facts)
{
    uint64_t next = GROUP_PART_NEVER;
    struct list_node due;

    list_init(&due);
    list_for_each_safe(node, list)
    {
        struct group_waiter *waiter = container_of(node, struct group_waiter, node);

        if (waiter->due_ms > facts->now_ms) {
            if (waiter->due_ms < next) next = waiter->due_ms;
            continue;
        }
        list_remove(node);
        list_push_back(&due, node);
        --*count;
    }
    answer_all(&due, MESH_ETIMEDOUT);
    return next;
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* When a control batch is to be appended; NEVER: something else is the proof, or nothing can be. */
static uint64_t proof_due_ms(const struct group_part *part, const struct group_facts *facts)
{
    uint32_t session_ms = group_lead_session_min_ms(part->lead);

    if (GROUP_PART_DEFECT(part, LEASE_UNPROVED)) return GROUP_PART_NEVER;
    if (session_ms == 0 || facts->is_alone || facts->is_below_min || part->is_full || part->marks[0].end != 0) return GROUP_PART_NEVER;
    if (group_lead_outbox_size(part->lead) > 0) return GROUP_PART_NEVER;
    return part->is_proof_wanted || part->proved == 0 ? facts->now_ms : part->proved / 1000 + session_ms / 4;
}

void group_part_turn(struct group_part *part, const struct group_facts *facts, uint64_t *ret_deadline_ms)
{
    uint64_t deadline = GROUP_PART_NEVER;

    if (part->lead != NULL && (!facts->may_lead || part->lead_epoch != facts->epoch)) group_part_cease(part);
    if (part->lead != NULL && group_lead_is_broken(part->lead)) fail(part, facts, MESH_ENOMEM);
    if (is_ready_to_lead(part, facts)) begin(part, facts);
    if (part->lead == NULL && !facts->may_lead && !facts->is_to_lead && part->arrival_count > 0) answer_arrivals(part, MESH_ENOT_LEADER);
    if (part->lead != NULL) tick(part, facts);
    deadline = sooner(deadline, expire(&part->arrivals, &part->arrival_count, facts));
    deadline = sooner(deadline, expire(&part->waiting, &part->waiting_count, facts));
    deadline = sooner(deadline, expire(&part->proving, &part->waiting_count, facts));
    if (part->retry_ms != 0) deadline = sooner(deadline, part->retry_ms);
    if (part->lead != NULL) deadline = sooner(deadline, part->tick_ms);
    if (part->lead != NULL && !list_is_empty(&part->proving)) group_part_committed(part, facts); /* the coordinator may be the proof by now */
    if (part->lead != NULL) deadline = sooner(deadline, proof_due_ms(part, facts));
    *ret_deadline_ms = deadline;
}

int group_part_ready(const struct group_part *part, const struct group_facts *facts, bool is_change)
{
    if (part->phase == GROUP_PART_STOPPED || (!facts->may_lead && !facts->is_to_lead)) return MESH_ENOT_LEADER;
    if (!facts->may_lead || part->lead == NULL || part->lead_epoch != facts->epoch || group_lead_is_broken(part->lead)) return MESH_EAGAIN;
    if (part->waiting_count >= GROUP_PART_WAITING_MAX) return MESH_EBUSY;
    if (!is_change) return 0;
    if (facts->is_below_min) return MESH_ENOT_ENOUGH_REPLICAS;
    if (part->is_full) return MESH_EFULL;
    return group_lead_outbox_size(part->lead) - part->cursor >= GROUP_PART_OUTBOX_MAX ? MESH_EBUSY : 0;
}

bool group_part_await(struct group_part *part, const struct group_facts *facts, struct group_waiter *waiter)
{
    if (part->arrival_count >= GROUP_PART_ARRIVALS_MAX) return false;
    waiter->due_ms = sooner(waiter->due_ms, facts->now_ms + GROUP_PART_ARRIVAL_MS);
    list_push_back(&part->arrivals, &waiter->node);
    part->arrival_count++;
    return true;
}

/* ---- proofs, and answers that leave ---- */

/* The next number: above all before it, and not below the clock. */
static uint64_t count(struct group_part *part, const struct group_facts *facts)
{
    part->counted = facts->clock_us > part->counted ? facts->clock_us : part->counted + 1;
    return part->counted;
}

uint64_t group_part_proof_behind(const struct group_part *part, const struct group_facts *facts, uint64_t heard)
{
    uint64_t proved = part->proved;

    if (facts->is_alone || GROUP_PART_DEFECT(part, LEASE_UNPROVED)) return 0;
    if (facts->is_below_min && facts->coordinator_us > proved + ELECTION_MAX_US) proved = facts->coordinator_us - ELECTION_MAX_US;
    if (proved == 0) return GROUP_PART_NO_PROOF;
    if (GROUP_PART_DEFECT(part, LEASE_BY_CLOCK) && proved + YOUNG_US > heard) return 0;
    return proved > heard ? 0 : heard + 1 - proved;
}

static bool is_committed(const struct group_part *part, const struct group_facts *facts, const struct group_waiter *waiter)
{
    (void)part; /* but for its switches */
    return waiter->barrier <= facts->high_watermark || GROUP_PART_DEFECT(part, ANSWERS_EARLY);
}

static bool is_proved(const struct group_part *part, const struct group_facts *facts, const struct group_waiter *waiter)
{
    return waiter->session_ms == 0 || group_part_proof_behind(part, facts, waiter->heard) <= (uint64_t)waiter->session_ms * 500;
}

/* By barrier: what a heartbeat rests on lies before commits that came before it. */
static void put_in_order(struct list_node *waiting, struct group_waiter *waiter)
{
    struct list_node *position = waiting;

    while (position->previous != waiting && container_of(position->previous, struct group_waiter, node)->barrier > waiter->barrier)
        position = position->previous;
    list_insert_before(position, &waiter->node);
}

void group_part_wait(struct group_part *part, const struct group_facts *facts, struct group_waiter *waiter)
{
    bool is_good = is_committed(part, facts, waiter);

    waiter->heard = count(part, facts);
    if (is_good && is_proved(part, facts, waiter)) {
        waiter->done(waiter, 0);
        return;
    }
    if (is_good) list_push_back(&part->proving, &waiter->node);
    else put_in_order(&part->waiting, waiter);
    part->waiting_count++;
    part->is_proof_wanted = part->is_proof_wanted || is_good;
}

static void note_proof(struct group_part *part, const struct group_facts *facts)
{
    if (part->marks[1].end != 0 && part->marks[1].end <= facts->high_watermark) {
        part->proved = part->marks[1].at;
        part->marks[0].end = part->marks[1].end = 0;
    } else if (part->marks[0].end != 0 && part->marks[0].end <= facts->high_watermark) {
        part->proved = part->marks[0].at;
        part->marks[0] = part->marks[1];
    }
}

void group_part_committed(struct group_part *part, const struct group_facts *facts)
{
    struct list_node ready, *node;

    if (part->lead == NULL || part->lead_epoch != facts->epoch) return;
    note_proof(part, facts);
    list_init(&ready);
    list_for_each_safe(at, &part->proving)
    {
        if (!is_proved(part, facts, container_of(at, struct group_waiter, node))) continue;
        list_remove(at);
        list_push_back(&ready, at);
    }
    while (!list_is_empty(&part->waiting)) {
        struct group_waiter *waiter = container_of(part->waiting.next, struct group_waiter, node);

        if (!is_committed(part, facts, waiter)) break;
        node = list_pop_front(&part->waiting);
        list_push_back(is_proved(part, facts, waiter) ? &ready : &part->proving, node);
    }
    part->is_proof_wanted = !list_is_empty(&part->proving);
    list_for_each(at, &ready) part->waiting_count--;
    answer_all(&ready, 0);
}

void group_part_below_min(struct group_part *part, const struct group_facts *facts)
{
    struct list_node lost;

    list_init(&lost);
    list_for_each_safe(node, &part->waiting)
    {
        if (is_committed(part, facts, container_of(node, struct group_waiter, node))) continue;
        list_remove(node);
        list_push_back(&lost, node);
        part->waiting_count--;
    }
    answer_all(&lost, MESH_EUNCOMMITTED);
}

/* ---- the outbox ---- */

int group_part_next_batch(struct group_part *part, const struct group_facts *facts, struct slice *ret_batch)
{
    static const struct record_batch_producer nobody = {-1, -1, -1};
    struct record_batch_builder *builder = part->terms->builder;
    size_t cursor = part->cursor, before = cursor;
    struct slice bytes;
    int err = 0;

    *ret_batch = slice_of(NULL, 0);
    if (part->lead == NULL || group_lead_is_broken(part->lead)) return 0;
    record_batch_builder_clear(builder);
    while (err == 0 && group_lead_next_record(part->lead, &cursor, &bytes)) {
        struct record record = {.timestamp_ms = (int64_t)facts->wall_ms, .value = bytes, .key_is_null = true};

        if (builder->record_count > 0 && builder->bytes.size + record_batch_record_size_max(&record) > GROUP_PART_BATCH_BYTES) break;
        err = record_batch_builder_add(builder, &record);
        if (err == 0) before = cursor;
    }
    if (err == 0 && builder->record_count == 0) return 0;
    part->cursor_next = before;
    part->batch_records = (uint32_t)builder->record_count;
    return err != 0 ? err : record_batch_builder_finish(builder, &nobody, 0, RECORD_COMPRESSION_NONE, NULL, ret_batch);
}

static void mark(struct group_part *part, const struct group_facts *facts, uint64_t end)
{
    part->marks[1].end = end;
    part->marks[1].at = count(part, facts);
    if (part->marks[0].end == 0) part->marks[0] = part->marks[1];
}

void group_part_appended(struct group_part *part, const struct group_facts *facts, uint64_t log_end)
{
    MESH_ASSERT(part->lead != NULL && log_end == part->applied + part->batch_records); /* nobody else appends to this log */
    part->cursor = part->cursor_next;
    part->applied = log_end;
    part->is_full = false;
    mark(part, facts, log_end);
    if (part->cursor < group_lead_outbox_size(part->lead)) return;
    group_lead_appended(part->lead, log_end);
    part->cursor = part->cursor_next = 0;
}

void group_part_not_appended(struct group_part *part, const struct group_facts *facts)
{
    (void)facts;
    part->is_full = true;
}

bool group_part_wants_proof(const struct group_part *part, const struct group_facts *facts)
{
    return part->lead != NULL && proof_due_ms(part, facts) <= facts->now_ms;
}

void group_part_proof_appended(struct group_part *part, const struct group_facts *facts, uint64_t log_end)
{
    MESH_ASSERT(part->lead != NULL && group_lead_outbox_size(part->lead) == 0 && log_end == part->applied + 1);
    part->applied = log_end;
    mark(part, facts, log_end);
    group_lead_appended(part->lead, log_end);
}

/* ---- trimming ---- */

bool group_part_may_trim(struct group_part *part, const struct group_facts *facts, uint64_t *ret_start)
{
    uint64_t start, end;

    if (part->lead == NULL || !groups_log_may_start(part->state, &start, &end) || start <= part->trimmed) return false;
    if (facts->high_watermark < end && !GROUP_PART_DEFECT(part, TRIM_EARLY)) return false;
    part->trimmed = start;
    *ret_start = start;
    return start > facts->log_start;
}
