/* The simulator with every world there is. */
#include "sim/gossip_world.h"

int main(int argc, char **argv)
{
    static const struct sim_world *const worlds[] = {&gossip_world, &gossip_sealed_world};

    return sim_main(argc, argv, worlds, sizeof(worlds) / sizeof(worlds[0]));
}
