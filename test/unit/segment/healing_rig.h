/* One log on a disk in memory that gets damaged, another replica's copy of it, and an owner that mends it: for the tests of healing. */
#ifndef TEST_SEGMENT_HEALING_RIG_H
#define TEST_SEGMENT_HEALING_RIG_H

#include "store_rig.h"

#include "support/fs_mem.h"

#define BATCHES 400 /* of one record, so that offsets count batches */
#define PIECE   3000u
#define MORE    20

extern struct fs_mem *disk;
extern struct rig rig;
extern uint8_t *copy; /* what another replica has: all batches, one behind the other */
extern uint64_t starts[4 * BATCHES + 1];

void set_up(void);
void tear_down(void);
void fill_and_reopen(void); /* a log of several segments, none of it in memory */
void take_copy(void);       /* the other replica gets what this one has now */
struct slice piece_of(uint64_t from, uint64_t to, size_t bytes_max); /* of the copy */

uint64_t base_of(unsigned number); /* the base offset of the segment with this number */
unsigned last_number(void);
void path_of(uint64_t base_offset, char path[FS_PATH_MAX]);

/* ---- mending ---- */

struct outcome {
    int error;
    bool is_done;
};

void on_done(void *user, int error); /* into a struct outcome */
int repair(uint64_t offset, struct slice piece);
/* As an owner does it: what is sound after all first, then piece by piece. Returns the first error. */
int heal(void);
void check_whole(uint64_t end);
/* Whatever is served is right; how much is refused. */
unsigned count_refused(void);

/* ---- kinds of damage ---- */

enum harm { HARM_BODY, HARM_EPOCH, HARM_LENGTH, HARM_OFFSET, HARM_SECTOR, HARM_CUT, HARM_CUT_ALL, HARM_GONE, HARM_COUNT };

void do_harm(enum harm harm, unsigned segment_number);
void cut_file(const char *path, uint64_t size);
void remove_file(const char *path);

#endif
