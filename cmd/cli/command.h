/* cli/command.h - what the command line offers, as data.
 *
 * One table (command_table.c) describes every command and option. The parser, --help, the man page and the
 * shell completions are all made from it, so that none can tell something else than another. */
#ifndef CLI_COMMAND_H
#define CLI_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum command_id {
    COMMAND_SERVE,
    COMMAND_JOIN,
    COMMAND_LEAVE,
    COMMAND_REMOVE,
    COMMAND_RECOVER,
    COMMAND_MEMBERS,
    COMMAND_GROUP_LIST,
    COMMAND_GROUP_DESCRIBE,
    COMMAND_GROUP_LAG,
    COMMAND_GROUP_RESET,
    COMMAND_GROUP_DELETE,
    COMMAND_KEY_SHOW,
    COMMAND_KEY_GENERATE,
    COMMAND_KEY_LIST,
    COMMAND_KEY_ROTATE,
    COMMAND_USER_ADD,
    COMMAND_USER_LIST,
    COMMAND_USER_PASSWD,
    COMMAND_USER_REMOVE,
    COMMAND_TOPIC_CREATE,
    COMMAND_TOPIC_LIST,
    COMMAND_TOPIC_DESCRIBE,
    COMMAND_TOPIC_ALTER,
    COMMAND_TOPIC_DELETE,
    COMMAND_TOPIC_MOVE,
    COMMAND_TOPIC_BALANCE,
    COMMAND_TOPIC_TRIM,
    COMMAND_PRODUCE,
    COMMAND_CONSUME,
    COMMAND_STATUS,
    COMMAND_EVENTS,
    COMMAND_DRAIN,
    COMMAND_CONFIG_LIST,
    COMMAND_CONFIG_GET,
    COMMAND_CONFIG_SET,
    COMMAND_CONFIG_UNSET,
    COMMAND_TOP,
    COMMAND_DOCTOR,
    COMMAND_WHY,
    COMMAND_BENCH_PRODUCE,
    COMMAND_BENCH_CONSUME,
    COMMAND_BENCH_LATENCY,
    COMMAND_BENCH_GROUPS,
    COMMAND_VERSION,
    COMMAND_HELP,
    COMMAND_COUNT,
};

/* What an option's value is: checked when it is parsed, and completed accordingly by the shells. */
enum option_kind {
    OPTION_FLAG,      /* no value */
    OPTION_TEXT,      /* anything, not empty */
    OPTION_INTEGER,   /* in [minimum, maximum] */
    OPTION_SIZE,      /* bytes: 4096, 64KiB, 1MiB; in [minimum, maximum] */
    OPTION_DURATION,  /* 5s, 500ms, 2m, 1h; a bare number is seconds */
    OPTION_CHOICE,    /* one of `choices` */
    OPTION_BYTES,     /* text with the escapes \t \n \r \0 \\ \xHH; 1 to 16 bytes */
    OPTION_PAIR,      /* KEY=VALUE */
    OPTION_START,     /* a place to consume from, see start_offset.h */
    OPTION_FILE,      /* a path */
    OPTION_DIRECTORY, /* a path */
};

struct option_spec {
    const char *name; /* without the dashes */
    enum option_kind kind;
    const char *value_name; /* as help shows it; NULL for a flag */
    const char *help;       /* a sentence without a full stop */
    const char *fallback;   /* what holds when it is not given, as text for help; NULL: nothing to say */
    const char *choices;    /* "a|b|c" for OPTION_CHOICE */
    int64_t minimum, maximum;
    bool is_repeatable;
};

enum operand_kind { OPERAND_NONE, OPERAND_TOPIC, OPERAND_FILE, OPERAND_COMMAND, OPERAND_SETTING };

struct command_spec {
    enum command_id id;
    const char *name;     /* "produce", "topic create" */
    const char *operands; /* as usage shows them: "TOPIC [FILE]...", "" when there are none */
    size_t operands_min, operands_max;
    enum operand_kind first_operand, further_operands; /* for completion */
    const char *summary;                               /* one line, for lists */
    const char *description;                           /* paragraphs separated by an empty line */
    const char *examples;                              /* lines "command  # remark", or "" */
    const struct option_spec *options;
    size_t option_count;
    bool is_client; /* takes the options of command_client_options, too */
};

/* A page of `mesh help` that is not a command; also a section of the man page. */
struct help_topic {
    const char *name, *title, *text;
};

extern const struct command_spec command_table[COMMAND_COUNT]; /* in the order of enum command_id */
extern const struct option_spec command_client_options[];
extern const size_t command_client_option_count;
extern const struct option_spec command_help_option; /* every command takes --help */
extern const struct help_topic help_topics[];
extern const size_t help_topic_count;

/* Groups ("topic", "bench") and what they are about. */
struct command_group {
    const char *name, *summary;
};
extern const struct command_group command_groups[];
extern const size_t command_group_count;

/* The command with this full name, or NULL. */
const struct command_spec *command_find(const char *name);
const struct command_group *command_find_group(const char *name);
bool command_is_in_group(const struct command_spec *command, const char *group);

/* The option of a command by name, client options and help included, or NULL. */
const struct option_spec *command_find_option(const struct command_spec *command, const char *name);

/* All options of a command, one after the other: its own, then the client's, then help. NULL after the last.
 */
const struct option_spec *command_option_at(const struct command_spec *command, size_t index);

#endif
