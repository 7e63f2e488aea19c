/* support/fs_gate.h - a disk that hangs until it is told to go on.
 *
 * Put into the way of a file system, the gate holds syncs up while it is shut: those of threads whose name starts as
 * asked, so that a test may hang the journals ("sync-") and leave the metadata alone. One gate per process. */
#ifndef SUPPORT_FS_GATE_H
#define SUPPORT_FS_GATE_H

#include "base/fs.h"

/* Before any thread uses fs. The gate is open. Once for each of several of the same kind. */
void fs_gate_install(struct fs *fs, const char *thread_prefix);

/* Any thread. */
void fs_gate_shut(void);
void fs_gate_open(void);

/* Returns as soon as a sync waits at the gate, which is shut. */
void fs_gate_wait(void);

#endif
