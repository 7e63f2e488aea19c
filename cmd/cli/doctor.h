/* cli/doctor.h - findings of `mesh doctor`, and those who make them. Nothing that is found is changed, and nothing is left on the disk. */
#ifndef CLI_DOCTOR_H
#define CLI_DOCTOR_H

#include "cmd/cli/arguments.h"
#include "cmd/cli/serve_settings.h"
#include "crypto/key_file.h"

#define DOCTOR_FINDINGS_MAX 128
#define DOCTOR_TEXT_SIZE    512

enum doctor_state { DOCTOR_OK, DOCTOR_WARNING, DOCTOR_ERROR };

struct doctor_finding {
    enum doctor_state state;
    const char *check;             /* one word */
    char what[DOCTOR_TEXT_SIZE];   /* what was found, and where */
    char remedy[DOCTOR_TEXT_SIZE]; /* what to do; "" when it is well */
};

struct doctor {
    const struct serve_settings *settings;
    const struct arguments *arguments; /* operands: seeds */
    struct keyring *keyring;           /* owned; NULL: there is none that can be read, which was found */
    char key_path[KEY_PATH_MAX];       /* where it came from */
    struct doctor_finding findings[DOCTOR_FINDINGS_MAX];
    size_t count;
};

/* Beyond the maximum: dropped. */
void doctor_find(struct doctor *doctor, enum doctor_state state, const char *check, const char *remedy, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

void doctor_disk(struct doctor *doctor);    /* doctor_disk.c: directory, filesystem, space, speed of fsync */
void doctor_machine(struct doctor *doctor); /* doctor_machine.c: limits, clock, key */
void doctor_network(struct doctor *doctor); /* doctor_network.c: ports, address, seeds and their names, keys and clocks */

#endif
