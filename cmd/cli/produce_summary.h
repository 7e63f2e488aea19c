/* cli/produce_summary.h - what `mesh produce` tells at its end, to people or as JSON, and its exit code. */
#ifndef CLI_PRODUCE_SUMMARY_H
#define CLI_PRODUCE_SUMMARY_H

#include "cmd/cli/delivery_tally.h"
#include "cmd/cli/session.h"

struct produce_summary {
    uint64_t records; /* taken from the input */
    uint64_t bytes;   /* of their keys and values */
    double seconds;
    uint64_t resent;     /* records that were sent again, each time counted */
    uint64_t pause_ns;   /* the longest time in which records waited and none was acknowledged */
    uint64_t refused_record; /* its number in the input, from 1, when libmesh refused one before sending it;
                                0: none */
    uint64_t refused_bytes;
    bool ends_without_newline; /* a last line came without its newline */
};

/* Prints and returns the exit code: `code` when reading has failed already, 1 when any record failed or is
 * unknown, 128 + the signal after an orderly stop, else 0. */
int produce_summary_finish(const struct produce_summary *summary, const struct session *session,
                           const struct arguments *arguments, const struct delivery_tally *tally, int code);

#endif
