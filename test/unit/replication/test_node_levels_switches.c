/* What happens without metadata/levels.c: something is written that a registered broker cannot read. It is noticed. */
#include "levels_story.h"
#include "support/run_suite.h"

#include "replication/metadata/switches.h"

static void write_all(struct node *node)
{
    node_bring_back(node, NODE_DEFECT_UNREADABLE_WRITTEN);
}

static bool is_written(void (*began)(struct node *node))
{
    bool is_gone;

    for (size_t i = 0; i < LEVELS_HOSTS_MAX; i++)
        levels_of_hosts[i] = i == 3 ? 1 : 2;
    levels_begin(4, 0, began);
    (void)story_await(node_mesh_delete(mesh, 0, "t"));
    is_gone = story_topic(0, "t") == NULL;
    story_end();
    return is_gone;
}

START_TEST(what_a_broker_cannot_read_is_written_without_the_gate)
{
    ck_assert(!is_written(NULL));
    ck_assert(is_written(write_all));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("node_levels_switches");
    TCase *tcase = tcase_create("node_levels_switches");

    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, what_a_broker_cannot_read_is_written_without_the_gate);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
