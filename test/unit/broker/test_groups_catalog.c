/* The topics of an image as leads of groups see them: zones are numbered in the order of the brokers, once for each image, and partitions are in their leader's. */
#include "cmd/broker/groups/groups_internal.h"
#include "support/run_suite.h"
#include "unit/replication/metadata_history.h"

static struct shard shard;
static struct group_catalog catalog;
static struct history *history;

static void start(int brokers, const char *zones)
{
    history = history_new_mesh(brokers, zones);
    shard.groups = (struct shard_groups){.shard = &shard};
    groups_catalog_init(&shard.groups, &catalog);
}

static void teardown(void)
{
    groups_catalog_deinit(&shard.groups);
    history_free(history);
}

static uint16_t zone(const char *name)
{
    return catalog.zone_number(catalog.arg, slice_of_string(name));
}

/* Every partition has the number of its leader's zone. */
static void check_topic(const char *name, uint32_t partitions)
{
    const struct image_topic *topic = image_find_topic_by_name(history->image, name);
    struct image_partition facts;
    struct group_topic told;

    ck_assert(catalog.find_by_name(catalog.arg, slice_of_string(name), &told));
    ck_assert_uint_eq(told.partition_count, partitions);
    for (uint32_t i = 0; i < partitions; i++) {
        ck_assert(image_topic_partition(topic, i, &facts));
        ck_assert_uint_eq(told.zones[i], zone(image_find_broker(history->image, facts.leader)->zone));
        ck_assert_uint_gt(told.zones[i], 0);
    }
}

START_TEST(partitions_stand_in_the_zones_of_their_leaders)
{
    const struct uuid late = {{0x77}};

    start(6, "bbaacb");
    history_create_topic(history, "orders", 24, 1);
    history_create_topic(history, "bills", 60, 2);
    shard.image = history->image;
    ck_assert(zone("b") == 1 && zone("a") == 2 && zone("c") == 3 && zone("d") == 0 && zone("") == 0 && zone("bb") == 0);
    check_topic("orders", 24);
    check_topic("bills", 60); /* more than there was room for */
    check_topic("orders", 24);
    /* Another image has other brokers. */
    history_register_broker(history, &late, 1, "d");
    history_create_topic(history, "late", 40, 1);
    shard.image = history->image;
    ck_assert(zone("d") == 4);
    check_topic("late", 40);
    check_topic("orders", 24);
    teardown();
}
END_TEST

START_TEST(without_zones_nobody_is_near_anything)
{
    struct group_topic told;

    start(1, "a");
    history_create_topic(history, "orders", 3, 1);
    shard.image = history->image;
    ck_assert(catalog.find_by_name(catalog.arg, slice_of_string("orders"), &told) && told.zones != NULL);
    ck_assert(catalog.find(catalog.arg, &told.id, &told) && told.zones == NULL); /* who commits asks for none */
    ck_assert(!catalog.find_by_name(catalog.arg, slice_of_string("nothing"), &told));
    teardown();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("groups_catalog");
    TCase *tcase = tcase_create("all");

    tcase_add_test(tcase, partitions_stand_in_the_zones_of_their_leaders);
    tcase_add_test(tcase, without_zones_nobody_is_near_anything);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
