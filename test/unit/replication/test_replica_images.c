/* One image changes several things of a replica, which takes them one after the other: nothing may come of it in between. */
#include "replica_rig.h"
#include "support/run_suite.h"

#include <check.h>

static struct replica_rig rig;

/* All have 10; two of three are in sync, which are too few, until two are enough: by an image in which fewer are in sync perhaps. */
static const struct {
    uint16_t isr; /* as the image has it */
    uint64_t want;
} fall_cases[] = {{1, 0}, {3, 10}};

START_TEST(a_lower_min_insync_holds_for_who_is_in_sync_by_then)
{
    struct partition_config config;

    rig_init(&rig, PARTITION_MODE_ISR, 3, 3);
    rig_assign(&rig, 1, 0, 1, 3);
    rig_append(&rig, 0, 10);
    rig_sync(&rig);
    ck_assert_int_eq(rig_attach(&rig, 2, 1, 0, -1, 0), 0);
    ck_assert_int_eq(rig_say(&rig, 2, &(struct stream_message){.type = STREAM_CREDIT, .credit = 100000}), 0);
    rig_hear(&rig, 2);
    ck_assert_int_eq(rig_ack(&rig, 2, 1, 0, 10, 10), 0);
    config = rig.replicas[0].partition.config;
    config.min_insync = 2;
    replica_set_config(&rig.replicas[0], &config);
    ck_assert_uint_eq(rig.replicas[0].partition.high_watermark, 0);
    rig_assign(&rig, 1, 0, 2, fall_cases[_i].isr);
    ck_assert_uint_eq(rig.replicas[0].partition.config.min_insync, 2);
    ck_assert_uint_eq(rig.replicas[0].partition.high_watermark, fall_cases[_i].want);
    rig_deinit(&rig);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("replica: images");
    TCase *tcase = tcase_create("images");

    suite_add_tcase(suite, tcase);
    tcase_add_loop_test(tcase, a_lower_min_insync_holds_for_who_is_in_sync_by_then, 0, sizeof(fall_cases) / sizeof(fall_cases[0]));
    return run_suite(suite);
}
