/* The simulator with every world there is. */
#include "sim/consensus_world.h"
#include "sim/founding_world.h"
#include "sim/gossip_world.h"
#include "sim/groups_world.h"
#include "sim/metadata_world.h"
#include "sim/replication_world.h"

int main(int argc, char **argv)
{
    static const struct sim_world *const worlds[] = {&gossip_world,         &gossip_sealed_world,  &consensus_world,
                                                     &founding_world,       &founding_extra_world, &founding_marker_world, &metadata_world,
                                                     &replication_world,    &replication_rot_world, &groups_world};

    return sim_main(argc, argv, worlds, sizeof(worlds) / sizeof(worlds[0]));
}
