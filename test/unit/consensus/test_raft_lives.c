/* Lives: a server that finds itself set back, whom it heeds, and what the disk remembers of lives. */
#include "base/error.h"
#include "replication/consensus/store.h"
#include "support/fs_mem.h"
#include "support/run_suite.h"
#include "unit/consensus/raft_rig.h"

#include <check.h>

static struct rig rig;
static const struct raft_life own = {7, 77};
/* What the lives before left: 3 is not there, because lives 1 to 3 were spent on another copy. */
static const struct raft_claim past[] = {
    {{4, 44}, 2, false, 0},
    {{5, 55}, 2, true, 3},
    {{6, 66}, 4, false, 5},
};
static const struct raft_claim of_b = {{1, 11}, 1, false, 1};

static void begin(void)
{
    rig_init_life(&rig, 0, &own, past, 3);
}

static struct message from_b(const struct raft_claim *claim)
{
    struct message message = rig_message(B, MESSAGE_PRESENCE, 1);

    message.flags = MESSAGE_HEARS_YOU;
    message.claim = *claim;
    return message;
}

static const struct {
    struct raft_claim known; /* of A, as B says */
    bool is_set_back;
} verdicts[] = {
    {{{0, 0}, 0, false, 0}, false},   /* nothing */
    {{{7, 77}, 9, true, 99}, false},  /* its own words, whatever they were */
    {{{6, 66}, 4, false, 5}, false},  /* exactly what was left */
    {{{6, 66}, 3, true, 90}, false},  /* of an older term: what came in it may have been replaced */
    {{{5, 55}, 2, true, 3}, false},
    {{{6, 66}, 5, false, 1}, true},   /* a term forgotten */
    {{{6, 66}, 4, true, 5}, true},    /* a vote */
    {{{6, 66}, 4, false, 6}, true},   /* an entry */
    {{{5, 55}, 2, true, 4}, true},
    {{{6, 67}, 1, false, 0}, true},   /* another copy, in its own life 6 */
    {{{7, 78}, 1, false, 0}, true},   /* another copy, now */
    {{{8, 88}, 1, false, 0}, true},   /* a later life */
    {{{3, 33}, 1, false, 0}, true},   /* one that this disk never had */
};

START_TEST(what_the_disk_does_not_remember_sets_it_back)
{
    struct message message = from_b(&of_b);

    begin();
    message.known = verdicts[_i].known;
    rig_hear(&rig, &message);
    rig_stored(&rig);
    ck_assert_int_eq(rig_status(&rig).damaged_until == RAFT_SET_BACK, verdicts[_i].is_set_back);
    ck_assert_uint_eq(rig.damaged_until, rig_status(&rig).damaged_until); /* and it is on the disk */
    ck_assert(rig_status(&rig).is_voter == !verdicts[_i].is_set_back);
    ck_assert(raft_get_brief(rig.raft).is_voter == !verdicts[_i].is_set_back); /* the user takes what is committed elsewhere */
    rig_free(&rig);
}
END_TEST

START_TEST(lives_before_those_that_are_remembered_are_believed)
{
    struct raft_claim many[RAFT_PAST_MAX];
    struct message message = from_b(&of_b);

    for (unsigned i = 0; i < RAFT_PAST_MAX; i++)
        many[i] = (struct raft_claim){{100 + i, i}, 1, false, 1};
    rig_init_life(&rig, 0, &(struct raft_life){100 + RAFT_PAST_MAX, 1}, many, RAFT_PAST_MAX);
    message.known = (struct raft_claim){{99, 5}, 9, true, 9};
    rig_hear(&rig, &message);
    ck_assert_uint_eq(rig_status(&rig).damaged_until, 0);
    message.known.life.boot = 100;
    rig_hear(&rig, &message);
    ck_assert_uint_eq(rig_status(&rig).damaged_until, RAFT_SET_BACK);
    rig_free(&rig);
}
END_TEST

/* A leader of the newest term has committed everything, and tells it. A hole would be filled; what was forgotten is more than entries. */
START_TEST(no_leader_makes_it_whole)
{
    struct message message = from_b(&of_b);
    struct raft_status status;

    begin();
    message.known = verdicts[11].known;
    rig_hear(&rig, &message);
    rig_stored(&rig);
    message = rig_message(B, MESSAGE_APPEND, 9);
    message.claim = of_b;
    message.sequence = 1;
    message.position.index = 1;
    message.position.term = 1;
    memcpy(message.position.chain, rig_status(&rig).last.chain, RAFT_CHAIN_SIZE);
    message.committed = 1;
    rig_hear(&rig, &message);
    rig_stored(&rig);
    ck_assert_ptr_null(rig_last(&rig, MESSAGE_APPEND_RESPONSE)); /* it follows nobody, so the user takes what is committed elsewhere */
    status = rig_status(&rig);
    ck_assert(uuid_is_zero(&status.leader.broker));
    ck_assert_uint_eq(rig_status(&rig).damaged_until, RAFT_SET_BACK);
    rig_tick(&rig, 20 * NET_S);
    ck_assert_int_eq(rig_status(&rig).role, RAFT_FOLLOWER);
    rig_free(&rig);
}
END_TEST

static bool hears_b(void)
{
    return rig_last(&rig, MESSAGE_PRESENCE) != NULL && (rig_last(&rig, MESSAGE_PRESENCE)->flags & MESSAGE_HEARS_YOU) != 0;
}

START_TEST(a_new_life_is_heeded_when_it_vouches_for_the_one_that_was_known)
{
    static const struct raft_claim next = {{2, 22}, 1, false, 1};
    struct message message = from_b(&of_b);

    begin();
    rig_hear(&rig, &message); /* the first that is heard of it is believed */
    rig_stored(&rig);
    ck_assert(hears_b());
    message = from_b(&next);
    rig_hear(&rig, &message);
    rig_stored(&rig);
    ck_assert_uint_eq(rig_status(&rig).refused, 1);
    ck_assert(!hears_b()); /* but it is told what is known of it */
    ck_assert_uint_eq(rig_last(&rig, MESSAGE_PRESENCE)->known.life.nonce, of_b.life.nonce);
    message.vouched = (struct raft_claim){{1, 12}, 9, true, 9}; /* for a life that nobody knows */
    rig_hear(&rig, &message);
    message.vouched = (struct raft_claim){of_b.life, 1, false, 0}; /* for less of it than is known by now */
    rig_hear(&rig, &message);
    ck_assert_uint_eq(rig_status(&rig).refused, 3);
    message.vouched = of_b;
    rig_hear(&rig, &message);
    rig_stored(&rig);
    ck_assert_uint_eq(rig_status(&rig).refused, 3);
    ck_assert(hears_b());
    ck_assert_uint_eq(rig_last(&rig, MESSAGE_PRESENCE)->known.life.nonce, next.life.nonce);
    message = from_b(&of_b); /* late, of the life before */
    rig_hear(&rig, &message);
    ck_assert_uint_eq(rig_status(&rig).refused, 4);
    rig_free(&rig);
}
END_TEST

/* By decree it is the only voter, in a term above all others: what it forgot before is nobody's affair any more, also after a restart. */
START_TEST(a_decree_makes_it_whole_for_what_was_said_before)
{
    struct message message = from_b(&of_b);
    struct raft_claim later = {{8, 88}, 50, false, 1};

    begin();
    message.known = verdicts[11].known;
    rig_hear(&rig, &message);
    rig_stored(&rig);
    ck_assert_uint_eq(rig_status(&rig).damaged_until, RAFT_SET_BACK);
    ck_assert_int_eq(raft_force(rig.raft, rig.now_us, 50, NULL, 0), 0);
    rig_drain(&rig);
    rig_stored(&rig);
    ck_assert(rig.damaged_until == 0 && rig.forced_term == 50);
    rig_hear(&rig, &message);
    ck_assert_uint_eq(rig_status(&rig).damaged_until, 0);
    message.known = later;
    rig_hear(&rig, &message);
    ck_assert_uint_eq(rig_status(&rig).damaged_until, RAFT_SET_BACK);
    rig_free(&rig);
}
END_TEST

/* ---- what a leader passes on ---- */

static struct message append_of_b(uint64_t sequence, const struct raft_other *told, uint32_t told_count)
{
    struct message message = rig_message(B, MESSAGE_APPEND, 1);

    message.claim = of_b;
    message.sequence = sequence;
    message.told = told;
    message.told_count = told_count;
    return message;
}

static struct message of_c(const struct raft_claim *claim, const struct raft_claim *vouched)
{
    struct message message = rig_message(C, MESSAGE_PRESENCE, 1);

    message.claim = *claim;
    message.vouched = *vouched;
    return message;
}

/* C acknowledged to the leader what only the leader knows otherwise; a state of C that forgot it finds no majority in A. */
START_TEST(who_forgot_what_the_leader_passed_on_is_refused)
{
    static const struct raft_claim early = {{1, 31}, 1, false, 1}, late = {{1, 31}, 1, true, 9}, next = {{2, 32}, 1, false, 1};
    struct raft_other told = {rig_server(C), late};
    struct message message = of_c(&early, &early);

    begin();
    rig_hear(&rig, &message);
    rig_stored(&rig);
    message = append_of_b(1, &told, 1);
    rig_hear(&rig, &message);
    message = of_c(&next, &early); /* enough for what C itself said here */
    rig_hear(&rig, &message);
    rig_stored(&rig);
    ck_assert_uint_eq(rig_status(&rig).refused, 1);
    ck_assert(rig_last(&rig, MESSAGE_PRESENCE)->known.durable == 9 && rig_last(&rig, MESSAGE_PRESENCE)->known.has_voted);
    message = of_c(&next, &late);
    rig_hear(&rig, &message);
    ck_assert_uint_eq(rig_status(&rig).refused, 1);
    rig_free(&rig);
}
END_TEST

/* Word of another life is not taken for it: that has to vouch for the one that was known. Of servers that are no voters nothing is kept. */
START_TEST(another_life_that_is_passed_on_is_asked)
{
    static const struct raft_claim known = {{1, 31}, 1, false, 1}, next = {{2, 32}, 1, true, 9};
    struct raft_other told[2] = {{rig_server(C), next}, {rig_server(X), next}};
    struct message message = of_c(&known, &known);
    struct raft_claim claim;
    bool is_refused;

    begin();
    rig_hear(&rig, &message);
    rig_stored(&rig);
    rig.now_us += NET_S;
    rig.sent_count = 0;
    message = append_of_b(1, told, 2);
    rig_hear(&rig, &message);
    ck_assert(rig_last(&rig, MESSAGE_PRESENCE) != NULL && uuid_equal(&rig_last(&rig, MESSAGE_PRESENCE)->to.broker, &told[0].server.broker));
    ck_assert(raft_get_claim(rig.raft, &told[0].server, &claim, &is_refused) && claim.life.nonce == known.life.nonce);
    ck_assert(!raft_get_claim(rig.raft, &told[1].server, &claim, &is_refused));
    rig_free(&rig);
}
END_TEST

START_TEST(claims_are_of_what_is_durable)
{
    struct message message = rig_message(B, MESSAGE_VOTE_REQUEST, 5);

    begin();
    ck_assert_uint_eq(raft_get_own_claim(rig.raft).durable, 0); /* its entry may yet be replaced in this term */
    message.claim = of_b;
    message.position = (struct raft_position){.index = 100, .term = 4};
    rig_hear(&rig, &message);
    ck_assert_uint_eq(raft_get_own_claim(rig.raft).term, 0);
    rig_stored(&rig);
    ck_assert_uint_eq(raft_get_own_claim(rig.raft).term, 5);
    ck_assert(raft_get_own_claim(rig.raft).has_voted);
    ck_assert(rig_last(&rig, MESSAGE_VOTE_RESPONSE)->claim.has_voted);
    rig_free(&rig);
}
END_TEST

/* ---- the disk ---- */

static struct fs_mem *mem;
static struct fs *fs;
static struct raft_store *store;
static const struct raft_recovered *recovered;

static void set_up(void)
{
    mem = fs_mem_new(1);
    fs = fs_mem_fs(mem);
}

static void tear_down(void)
{
    fs->ops->free(fs);
    fs_mem_free(mem);
}

static int open_store(const struct raft_server *self)
{
    struct raft_store_report report;
    char message[256];

    return raft_store_open(fs, "consensus", self, net_chain, &store, &recovered, &report, message, sizeof(message));
}

static void live(uint64_t nonce)
{
    struct raft_server self = rig_server(A);

    ck_assert_int_eq(open_store(&self), 0);
    ck_assert_int_eq(raft_store_begin_life(store, nonce), 0);
}

static void append(uint64_t index, uint64_t term)
{
    static uint8_t chain[RAFT_CHAIN_SIZE];
    struct raft_entry entry = {.index = index, .term = term, .type = RAFT_ENTRY_NOOP};

    if (index == 1) memset(chain, 0, sizeof(chain));
    net_chain(chain, &entry, entry.chain);
    memcpy(chain, entry.chain, sizeof(chain));
    ck_assert_int_eq(raft_store_append(store, &entry, 1), 0);
}

START_TEST(the_disk_remembers_lives_and_what_they_left)
{
    struct raft_server b = rig_server(B);
    const struct raft_other other = {b, of_b};

    live(11);
    ck_assert_uint_eq(recovered->life.boot, 1);
    ck_assert_uint_eq(recovered->past_count, 0);
    append(1, 1);
    raft_store_note_others(store, &other, 1);
    ck_assert_int_eq(raft_store_set_state(store, 3, &b, 0), 0);
    raft_store_close(store);
    live(22);
    ck_assert_uint_eq(recovered->life.boot, 2);
    ck_assert_uint_eq(recovered->life.nonce, 22);
    ck_assert_uint_eq(recovered->past_count, 1);
    ck_assert(recovered->past[0].life.nonce == 11 && recovered->past[0].term == 3 && recovered->past[0].has_voted && recovered->past[0].durable == 1);
    ck_assert_uint_eq(recovered->other_count, 1);
    ck_assert(raft_server_equal(&recovered->others[0].server, &b) && recovered->others[0].claim.life.nonce == of_b.life.nonce);
    append(2, 4); /* and its term did not come to the disk */
    ck_assert_int_eq(raft_store_set_state(store, 3, &b, 0), 0);
    raft_store_close(store);
    for (uint64_t i = 3; i < RAFT_PAST_MAX + 5; i++) {
        live(i * 11);
        ck_assert_uint_eq(recovered->life.boot, i);
        ck_assert_uint_eq(recovered->past_count, i <= RAFT_PAST_MAX ? i - 1 : RAFT_PAST_MAX);
        if (i == 3) ck_assert(recovered->past[1].term == 4 && !recovered->past[1].has_voted && recovered->past[1].durable == 2);
        raft_store_close(store);
    }
    ck_assert_int_eq(fs_mem_flip_bit(mem, "consensus/lives", 70, 1), 0);
    live(1);
    ck_assert(recovered->life.boot == 1 && recovered->past_count == 0 && recovered->other_count == 0);
    raft_store_close(store);
}
END_TEST

/* Power cuts at every operation of giving up: then the store still says that it was set back, or is its successor's. */
START_TEST(a_store_that_was_set_back_is_given_up_as_a_whole)
{
    struct raft_server self = rig_server(A), next = rig_server(A), nobody = {.broker = {{0}}};
    bool was_set_back = false;

    next.dir.bytes[UUID_SIZE - 1] = 9;
    for (uint64_t nth = 1;; nth++) {
        int err;
        fs_mem_reset(mem, nth);
        live(5);
        append(1, 1);
        ck_assert_int_eq(raft_store_set_state(store, 4, &nobody, RAFT_SET_BACK), 0);
        raft_store_close(store);
        ck_assert_int_eq(open_store(&self), 0);
        ck_assert_uint_eq(recovered->damaged_until, RAFT_SET_BACK);
        raft_store_close(store);
        fs_mem_crash_at(mem, nth);
        err = raft_store_give_up(fs, "consensus", &next);
        if (!fs_mem_is_crashed(mem)) {
            ck_assert_int_eq(err, 0);
            break;
        }
        fs_mem_reboot(mem, FS_MEM_LOSE_ANY);
        ck_assert_int_eq(raft_store_was_set_back(fs, "consensus", &self.broker, &was_set_back), 0);
        if (was_set_back) ck_assert_int_eq(raft_store_give_up(fs, "consensus", &next), 0);
        ck_assert_int_eq(open_store(&next), 0);
        ck_assert(recovered->damaged_until == 0 && recovered->entry_count == 0 && recovered->term == 0);
        raft_store_close(store);
    }
    ck_assert_int_eq(raft_store_was_set_back(fs, "consensus", &self.broker, &was_set_back), 0);
    ck_assert(!was_set_back);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("raft lives");
    TCase *core = tcase_create("core"), *disk = tcase_create("disk");

    tcase_add_loop_test(core, what_the_disk_does_not_remember_sets_it_back, 0, (int)(sizeof(verdicts) / sizeof(verdicts[0])));
    tcase_add_test(core, lives_before_those_that_are_remembered_are_believed);
    tcase_add_test(core, no_leader_makes_it_whole);
    tcase_add_test(core, a_new_life_is_heeded_when_it_vouches_for_the_one_that_was_known);
    tcase_add_test(core, a_decree_makes_it_whole_for_what_was_said_before);
    tcase_add_test(core, who_forgot_what_the_leader_passed_on_is_refused);
    tcase_add_test(core, another_life_that_is_passed_on_is_asked);
    tcase_add_test(core, claims_are_of_what_is_durable);
    suite_add_tcase(suite, core);
    tcase_add_checked_fixture(disk, set_up, tear_down);
    tcase_add_test(disk, the_disk_remembers_lives_and_what_they_left);
    tcase_add_test(disk, a_store_that_was_set_back_is_given_up_as_a_whole);
    suite_add_tcase(suite, disk);
    return run_suite(suite);
}
