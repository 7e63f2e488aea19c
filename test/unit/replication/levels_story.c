/* Brokers of two versions in one mesh. Deleting a topic stands for what the newer one brought: it is written only when every registered broker reads it. */
#include "levels_story.h"

#include "base/error.h"

#include <string.h>

uint32_t levels_of_hosts[LEVELS_HOSTS_MAX];

uint32_t levels_pretended(uint16_t kind)
{
    return kind == METADATA_TOPIC_DELETED ? 2 : metadata_kind_level(kind);
}

static void prepare(size_t host, struct node_options *options)
{
    options->level = levels_of_hosts[host];
    options->level_of = levels_pretended;
}

void levels_begin(size_t hosts, uint64_t seed, void (*began)(struct node *node))
{
    struct node_mesh_options options;

    node_mesh_options_init(&options, hosts);
    if (seed != 0) options.seed = seed;
    options.prepare = prepare;
    options.began = began;
    story_begin_with(&options);
    story_found(3);
    node_mesh_run(mesh, 2 * SECOND);
    ck_assert_int_eq(story_await(node_mesh_create(mesh, 0, "t", 1))->error, 0);
}

void levels_upgrade(size_t host)
{
    if (node_mesh_node(mesh, host) != NULL) node_mesh_kill(mesh, host);
    levels_of_hosts[host] = 2;
    node_mesh_start(mesh, host);
}
