/* founding/stamps.h - how a disk that was set back to an older state of itself, or copied, is told from one that forgets nothing.
 *
 * Each store of a founding's state has a stamp: a number that rises by one, and a random nonce. A state holds its own newest stamps, and for
 * each disk that takes part the newest one that was heard of it. Whoever speaks says its stamps, and what it heard of the others'. A disk
 * that has never gone back holds every stamp that anybody heard of it; one that was set back lacks some, or has others in their place,
 * since it drew those again. Rules 9 and 10 of the README. */
#ifndef FOUNDING_STAMPS_H
#define FOUNDING_STAMPS_H

#include "base/codec.h"

#define FOUNDING_STAMPS_MAX       16 /* of its own that a disk remembers; what is further back is believed */
#define FOUNDING_STAMP_NUMBER_MAX UINT32_MAX

struct founding_stamp {
    uint64_t number; /* 0: none */
    uint64_t nonce;
};

struct founding_stamps {
    uint64_t number;                     /* of the newest; 0: nothing was ever stored */
    uint64_t nonces[FOUNDING_STAMPS_MAX]; /* by number % FOUNDING_STAMPS_MAX; zero where there is none */
};

void founding_stamps_add(struct founding_stamps *stamps, uint64_t nonce);
struct founding_stamp founding_stamps_newest(const struct founding_stamps *stamps);

enum founding_bond {
    FOUNDING_BOND_HELD,   /* the disk holds the stamp, or it is too far back to tell */
    FOUNDING_BOND_AHEAD,  /* the stamp is newer than these: the disk has it, or was set back */
    FOUNDING_BOND_BROKEN, /* another one is in its place */
};
enum founding_bond founding_stamps_judge(const struct founding_stamps *stamps, const struct founding_stamp *heard);

void founding_put_stamps(struct codec_writer *writer, const struct founding_stamps *stamps);
struct founding_stamps founding_get_stamps(struct codec_reader *reader);
void founding_put_stamp(struct codec_writer *writer, const struct founding_stamp *stamp);
struct founding_stamp founding_get_stamp(struct codec_reader *reader);

#endif
