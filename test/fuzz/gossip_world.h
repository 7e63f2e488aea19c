/* fuzz/gossip_world.h - a gossip core among a few members, for the fuzzers of packets and messages. */
#ifndef FUZZ_GOSSIP_WORLD_H
#define FUZZ_GOSSIP_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Feeds the bytes: a head byte, then pieces (size u16, pause u8, bytes), each from the same member, as packets or as
 * messages. After each: nobody's (incarnation, rank) fell, and, when signatures are refused (bit 0 of the head is 0),
 * nothing but suspicions has changed. */
void gossip_world_feed(const uint8_t *data, size_t size, bool as_messages);

#endif
