/* base/machine.h - what this process may have of the machine: all of it, or less where its control groups say so. */
#ifndef BASE_MACHINE_H
#define BASE_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

struct machine_share {
    uint64_t memory_bytes;
    uint32_t cores;
    bool is_memory_limited, is_cores_limited; /* by a control group: less than the machine has */
};

/* Control groups of version 2 alone: memory.max and cpu.max of this process's group, and of those around it as far as they are seen. `root` stands before the paths, "" but in
 * tests. What cannot be read limits nothing. */
void machine_share_find(const char *root, struct machine_share *ret);

#endif
