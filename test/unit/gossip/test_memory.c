/* The gossip core when memory runs out, and that it takes none once its members are known. */
#include "base/error.h"
#include "support/failing_alloc.h"
#include "support/run_suite.h"
#include "unit/gossip/lockstep.h"

#include <check.h>

#define SECOND 1000000ull

START_TEST(a_gossip_is_made_whole_or_not_at_all)
{
    struct gossip_options options;
    struct gossip *gossip = NULL;
    int err = 0;

    gossip_options_init(&options);
    options.self.id = lockstep_id(0);
    options.self.address = lockstep_address(0);
    options.signer = lockstep_signer(&options.self.id);
    failing_alloc_each(n)
    {
        failing_alloc_arm(n);
        err = gossip_new(&options, 1, &gossip);
        if (!failing_alloc_disarm()) break;
        ck_assert_int_eq(err, MESH_ENOMEM);
    }
    ck_assert_int_eq(err, 0);
    gossip_free(gossip);
}
END_TEST

/* One allocation fails somewhere in the life of a small mesh; it finds together all the same. */
START_TEST(one_failure_anywhere_is_survived)
{
    static struct lockstep net;
    static const struct {
        const char *key;
    } keys[] = {{"a"}, {"b"}, {"c"}};

    for (unsigned n = 1;; n++) {
        bool failed, agreed;
        lockstep_init(&net, 5, 4);
        lockstep_start_all(&net); /* its own memory, and what the constructors take: see above */
        lockstep_reserve(&net, 4096);
        failing_alloc_arm(n);
        for (size_t i = 0; i < 3; i++) {
            (void)gossip_soft_set(net.brokers[i].gossip, net.now_us, slice_of_string(keys[i].key), slice_of_string("x"));
            lockstep_drain(&net, i);
        }
        lockstep_run(&net, 3 * SECOND);
        failed = failing_alloc_disarm();
        agreed = lockstep_until(&net, 40 * SECOND, lockstep_all_agree, NULL);
        lockstep_free(&net);
        ck_assert(agreed);
        if (!failed) break;
    }
}
END_TEST

START_TEST(a_mesh_that_knows_itself_allocates_nothing)
{
    static struct lockstep net;
    bool allocated;

    lockstep_init(&net, 7, 20);
    lockstep_start_all(&net);
    lockstep_run(&net, 20 * SECOND);
    lockstep_reserve(&net, 4096);
    net.loss = 0.2;
    failing_alloc_arm(1);
    lockstep_run(&net, 60 * SECOND);
    allocated = failing_alloc_disarm();
    ck_assert(!allocated);
    lockstep_free(&net);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("gossip memory");
    TCase *tcase = tcase_create("memory");

    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, a_gossip_is_made_whole_or_not_at_all);
    tcase_add_test(tcase, one_failure_anywhere_is_survived);
    tcase_add_test(tcase, a_mesh_that_knows_itself_allocates_nothing);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
