/* Fuzzes what a broker does with the messages over a link of another member: see gossip_world.h for what must hold. */
#include "fuzz/gossip_world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    gossip_world_feed(data, size, true);
    return 0;
}
