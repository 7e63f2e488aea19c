/* Every allocation of a group's life fails once: MESH_ENOMEM each time, nothing leaks, nothing is read that is not there. */
#include "replication/groups/classic.h"

#include "support/failing_alloc.h"
#include "support/run_suite.h"

#define TEXT(string) slice_of_string(string)

static const struct uuid topic_id = {{7}};
static const struct group_topic topic = {{{7}}, {(const uint8_t *)"orders", 6}, 40, NULL};

static bool find(void *arg, const struct uuid *id, struct group_topic *ret_topic)
{
    (void)arg;
    *ret_topic = topic;
    return uuid_equal(id, &topic_id);
}

static bool find_by_name(void *arg, struct slice name, struct group_topic *ret_topic)
{
    (void)arg;
    *ret_topic = topic;
    return slice_equal(name, topic.name);
}

static bool next(void *arg, size_t *cursor, struct group_topic *ret_topic)
{
    (void)arg;
    *ret_topic = topic;
    return (*cursor)++ == 0;
}

static uint16_t zone_number(void *arg, struct slice zone)
{
    (void)arg;
    (void)zone;
    return 1;
}

static const struct group_catalog catalog = {find, find_by_name, next, zone_number, NULL, NULL};

static struct group_caller caller_of(const char *id)
{
    static uint64_t sequence;

    return (struct group_caller){.group = TEXT("g"), .member = TEXT(id), .epoch_plus_one = 2, .sequence = ++sequence};
}

static int join(struct group_lead *lead, const char *id, const char *pattern)
{
    struct group_member_info info = {.id = TEXT(id), .pattern = TEXT(pattern), .session_timeout_ms = 10000, .processing_limit_ms = 1000};
    struct group_caller caller = caller_of(id);
    struct group_reply reply;
    uint64_t deadline;
    int err;

    if (pattern[0] == '\0') {
        info.names = slice_of("\6orders", 7);
        info.name_count = 1;
    }
    err = group_lead_join(lead, 1, 1, &caller, &info, &reply);
    return err != 0 ? err : group_lead_tick(lead, 1, 1, NULL, NULL, &deadline);
}

static int claim_and_commit(struct group_lead *lead, const char *id)
{
    struct group_claim claims[40];
    struct group_commit_cell cells[40];
    struct group_caller caller = caller_of(id);
    struct group_commit commit = {caller, 2, GROUP_RESET_EPOCH_ANY, cells, 0};
    struct group_cursor cursor = {0};
    struct group_work work;
    struct group_reply reply;
    size_t count = 0;
    int err;

    while (group_lead_work(lead, TEXT("g"), TEXT(id), &cursor, &work)) {
        cells[count] = (struct group_commit_cell){.topic = work.topic, .partition = work.partition, .offset = 9, .metadata = TEXT("text")};
        claims[count++] = (struct group_claim){.topic = work.topic, .partition = work.partition};
    }
    commit.cell_count = count;
    err = group_lead_claim(lead, 1, &caller, 2, claims, count, &reply);
    commit.caller = caller_of(id);
    return err != 0 ? err : group_lead_commit(lead, 1, 1, &commit, &reply);
}

static int join_classic(struct group_lead *lead, const char *id, struct group_classic_reply *reply)
{
    const struct group_classic_protocol protocols[] = {{TEXT("range"), TEXT("what it can")}, {TEXT("sticky"), TEXT("")}};
    const struct group_classic_join join = {.group = TEXT("classic"),
                                            .instance = TEXT("instance"),
                                            .new_id = TEXT(id),
                                            .protocol_type = TEXT("consumer"),
                                            .protocols = protocols,
                                            .protocol_count = 2,
                                            .session_timeout_ms = 10000,
                                            .rebalance_timeout_ms = 1000};

    return group_lead_classic_join(lead, 1, 1, &join, reply);
}

/* A static member, and its next life, in a group of the classic protocol. */
static int live_classic(struct group_lead *lead)
{
    struct group_classic_caller caller = {TEXT("classic"), TEXT("x"), TEXT("instance"), 1};
    struct group_classic_assignment assignment = {TEXT("x"), TEXT("everything")};
    struct group_classic_reply reply;
    int err = join_classic(lead, "x", &reply);

    if (err == 0) err = group_lead_classic_sync(lead, 1, 1, &caller, TEXT(""), TEXT(""), &assignment, 1, &reply);
    return err != 0 ? err : join_classic(lead, "y", &reply);
}

/* A leader takes over what another one has left. */
static int take_over(struct groups *groups, const struct group_limits *limits)
{
    struct group_lead *lead = NULL;
    int err = group_lead_new(groups, &catalog, limits, 2, groups_next_lsn(groups), false, 1, &lead);
    struct group_classic_caller caller = {TEXT("classic"), TEXT("y"), TEXT("instance"), 1};
    struct group_classic_reply reply;

    if (err == 0) err = group_lead_classic_heartbeat(lead, 1, &caller, &reply);
    group_lead_free(lead);
    return err;
}

/* The leader's life; then that of a replica which starts from its log. */
static int live(void)
{
    struct groups *groups = NULL, *other = NULL;
    struct group_limits limits;
    struct group_lead *lead = NULL;
    struct slice record;
    size_t cursor = 0;
    uint64_t deadline;
    int err = groups_new(0, &groups);

    group_limits_init(&limits);
    limits.checkpoint_bytes_min = 100;
    limits.classic_gather_ms = 0;
    if (err == 0) err = group_lead_new(groups, &catalog, &limits, 1, 0, false, 1, &lead);
    if (err == 0) err = join(lead, "a", "");
    if (err == 0) err = join(lead, "b", "ord.*");
    if (err == 0) err = claim_and_commit(lead, "a");
    if (err == 0) err = claim_and_commit(lead, "b");
    if (err == 0) err = live_classic(lead);
    for (int i = 0; i < 3 && err == 0; i++)
        err = group_lead_tick(lead, 1, 1, NULL, NULL, &deadline);
    if (err == 0) err = groups_new(1, &other); /* begins late: all comes from the checkpoint */
    for (uint64_t lsn = 0; err == 0 && group_lead_next_record(lead, &cursor, &record); lsn++)
        if (lsn > 0) err = groups_apply(other, 1, lsn, record);
    if (err == 0 && groups_hash(groups) != groups_hash(other)) err = MESH_ECORRUPT;
    group_lead_free(lead);
    if (err == 0) err = take_over(other, &limits);
    groups_free(groups);
    groups_free(other);
    return err;
}

START_TEST(every_allocation_may_fail)
{
    int err = 0;

    failing_alloc_each(n)
    {
        failing_alloc_arm(n);
        err = live();
        if (!failing_alloc_disarm()) break;
        if (err != MESH_ENOMEM) ck_abort_msg("allocation %u: %s", n, mesh_error_name(err));
    }
    ck_assert_int_eq(err, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("group_memory");
    TCase *tcase = tcase_create("all");

    tcase_add_test(tcase, every_allocation_may_fail);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
