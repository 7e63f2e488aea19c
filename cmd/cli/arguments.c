#include "cmd/cli/arguments.h"

#include "base/assert.h"
#include "base/edit_distance.h"
#include "cmd/cli/start_offset.h"
#include "cmd/cli/suggest.h"
#include "cmd/cli/value.h"

#include <mesh/error.h>

#include <stdlib.h>
#include <string.h>

#define OPTIONS_MAX 64 /* of one command, for suggestions */

static bool choice_contains(const char *choices, const char *text)
{
    size_t size = strlen(text);

    while (size > 0) {
        size_t word = strcspn(choices, "|");
        if (word == size && memcmp(choices, text, size) == 0) return true;
        if (choices[word] == '\0') return false;
        choices += word + 1;
    }
    return false;
}

/* What a value of this option has to be, as the end of "... is not". */
static void describe_expected(const struct option_spec *option, struct buffer *fault)
{
    switch (option->kind) {
    case OPTION_INTEGER:
        if (option->maximum == INT64_MAX)
            buffer_printf(fault, "a whole number of at least %lld", (long long)option->minimum);
        else
            buffer_printf(fault, "a whole number between %lld and %lld", (long long)option->minimum,
                          (long long)option->maximum);
        break;
    case OPTION_SIZE:
        buffer_printf(fault, "a size such as 4096, 64KiB or 1MiB, between %lld and %lld bytes",
                      (long long)option->minimum, (long long)option->maximum);
        break;
    case OPTION_DURATION: buffer_printf(fault, "a duration such as 500ms, 5s, 2m or 1h"); break;
    case OPTION_CHOICE: buffer_printf(fault, "one of %s", option->choices); break;
    case OPTION_BYTES:
        buffer_printf(fault, "1 to %d characters (escapes: \\t \\n \\r \\0 \\\\ \\xHH)", VALUE_BYTES_MAX);
        break;
    case OPTION_PAIR: buffer_printf(fault, "of the form KEY=VALUE"); break;
    case OPTION_START: buffer_printf(fault, "one of beginning, end, offset:N, time:T"); break;
    default: buffer_printf(fault, "a text of at least one character"); break;
    }
}

static bool value_is_good(const struct option_spec *option, const char *text)
{
    uint8_t bytes[VALUE_BYTES_MAX];
    struct start_offset start;
    int64_t number;
    size_t size;

    switch (option->kind) {
    case OPTION_INTEGER: return value_parse_integer(text, option->minimum, option->maximum, &number) == 0;
    case OPTION_SIZE: return value_parse_size(text, option->minimum, option->maximum, &number) == 0;
    case OPTION_DURATION: return value_parse_duration(text, &number) == 0;
    case OPTION_CHOICE: return choice_contains(option->choices, text);
    case OPTION_BYTES: return value_parse_bytes(text, bytes, &size) == 0;
    case OPTION_PAIR: return text[0] != '=' && strchr(text, '=') != NULL;
    case OPTION_START: return start_offset_parse(text, 0, &start) == 0;
    default: return text[0] != '\0';
    }
}

static int fault_unknown_option(const struct command_spec *command, const char *name, struct buffer *fault)
{
    const char *names[OPTIONS_MAX], *nearest;
    const struct option_spec *option;
    size_t count = 0;

    while (count < OPTIONS_MAX && (option = command_option_at(command, count)) != NULL)
        names[count++] = option->name;
    nearest = suggestion_nearest(name, names, count);
    buffer_printf(fault, "there is no option --%s", name);
    if (nearest != NULL) buffer_printf(fault, "; did you mean --%s?", nearest);
    return MESH_EINVAL;
}

/* Takes the option at argv[*index] (it begins with "--"), and its value, which may be the next argument. */
static int take_option(struct arguments *arguments, int argc, char **argv, int *index, struct buffer *fault)
{
    const char *word = argv[*index] + 2, *equals = strchr(word, '='), *text = NULL;
    const struct option_spec *option;
    char name[EDIT_DISTANCE_LENGTH_MAX + 1];
    size_t size = equals != NULL ? (size_t)(equals - word) : strlen(word);

    if (size >= sizeof(name)) size = sizeof(name) - 1;
    memcpy(name, word, size);
    name[size] = '\0';
    option = command_find_option(arguments->command, name);
    if (option == NULL) return fault_unknown_option(arguments->command, name, fault);
    if (option->kind == OPTION_FLAG) {
        if (equals != NULL) {
            buffer_printf(fault, "--%s takes no value", name);
            return MESH_EINVAL;
        }
    } else {
        text = equals != NULL ? equals + 1 : *index + 1 < argc ? argv[++*index] : NULL;
        if (text == NULL || !value_is_good(option, text)) {
            if (text == NULL)
                buffer_printf(fault, "--%s needs a value: ", name);
            else
                buffer_printf(fault, "--%s: '%.100s' is not ", name, text);
            describe_expected(option, fault);
            return MESH_EINVAL;
        }
    }
    arguments->options[arguments->option_count++] = (struct argument){option, text};
    return 0;
}

static int check_operand_count(const struct arguments *arguments, struct buffer *fault)
{
    const struct command_spec *command = arguments->command;

    if (arguments->operand_count < command->operands_min) {
        buffer_printf(fault, "an argument is missing: mesh %s %s", command->name, command->operands);
        return MESH_EINVAL;
    }
    if (arguments->operand_count > command->operands_max) {
        buffer_printf(fault, "unexpected argument '%.100s'", arguments->operands[command->operands_max]);
        return MESH_EINVAL;
    }
    return 0;
}

static bool is_help(const char *word)
{
    return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

/* A question is answered even when the rest of the line is wrong. */
static bool asks_for_help(int argc, char **argv)
{
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (is_help(argv[i])) return true;
    return false;
}

static int parse_words(struct arguments *arguments, int argc, char **argv, struct buffer *fault)
{
    bool only_operands = false;
    int err;

    for (int i = 0; i < argc; i++) {
        const char *word = argv[i];
        if (!only_operands && strcmp(word, "--") == 0) {
            only_operands = true;
        } else if (!only_operands && strncmp(word, "--", 2) == 0) {
            err = take_option(arguments, argc, argv, &i, fault);
            if (err != 0) return err;
        } else if (!only_operands && word[0] == '-' && word[1] != '\0') {
            buffer_printf(fault, "there is no option %.40s (options are written out: --name)", word);
            return MESH_EINVAL;
        } else {
            arguments->operands[arguments->operand_count++] = word;
        }
    }
    return check_operand_count(arguments, fault);
}

int arguments_parse(const struct command_spec *command, int argc, char **argv,
                    struct arguments *ret_arguments, struct buffer *fault)
{
    struct arguments arguments = {.command = command};
    int err = MESH_ENOMEM;

    MESH_ASSERT(argc >= 0);
    arguments.options = calloc((size_t)argc + 1, sizeof(arguments.options[0]));
    arguments.operands = calloc((size_t)argc + 1, sizeof(arguments.operands[0]));
    if (arguments.options == NULL || arguments.operands == NULL) goto fail;
    if (asks_for_help(argc, argv)) {
        arguments.options[arguments.option_count++] = (struct argument){&command_help_option, NULL};
    } else {
        err = parse_words(&arguments, argc, argv, fault);
        if (err != 0) goto fail;
    }
    *ret_arguments = arguments;
    return 0;
fail:
    arguments_deinit(&arguments);
    return err;
}

void arguments_deinit(struct arguments *arguments)
{
    free(arguments->options);
    free((void *)arguments->operands);
    *arguments = (struct arguments){0};
}

static const struct argument *find_last(const struct arguments *arguments, const char *name)
{
    MESH_ASSERT(command_find_option(arguments->command, name) != NULL);
    for (size_t i = arguments->option_count; i-- > 0;)
        if (strcmp(arguments->options[i].option->name, name) == 0) return &arguments->options[i];
    return NULL;
}

bool arguments_has(const struct arguments *arguments, const char *name)
{
    return find_last(arguments, name) != NULL;
}

const char *arguments_text(const struct arguments *arguments, const char *name, const char *fallback)
{
    const struct argument *argument = find_last(arguments, name);

    return argument != NULL ? argument->text : fallback;
}

int64_t arguments_integer(const struct arguments *arguments, const char *name, int64_t fallback)
{
    const struct argument *argument = find_last(arguments, name);
    int64_t number = 0;
    int err;

    if (argument == NULL) return fallback;
    err = value_parse_integer(argument->text, INT64_MIN, INT64_MAX, &number);
    MESH_ASSERT(err == 0); /* checked when it was parsed */
    return number;
}

int64_t arguments_size(const struct arguments *arguments, const char *name, int64_t fallback)
{
    const struct argument *argument = find_last(arguments, name);
    int64_t number = 0;
    int err;

    if (argument == NULL) return fallback;
    err = value_parse_size(argument->text, INT64_MIN, INT64_MAX, &number);
    MESH_ASSERT(err == 0); /* checked when it was parsed */
    return number;
}

int64_t arguments_duration_ms(const struct arguments *arguments, const char *name, int64_t fallback)
{
    const struct argument *argument = find_last(arguments, name);
    int64_t number = 0;
    int err;

    if (argument == NULL) return fallback;
    err = value_parse_duration(argument->text, &number);
    MESH_ASSERT(err == 0); /* checked when it was parsed */
    return number;
}

const char *arguments_next(const struct arguments *arguments, const char *name, size_t *cursor)
{
    MESH_ASSERT(command_find_option(arguments->command, name) != NULL);
    while (*cursor < arguments->option_count) {
        const struct argument *argument = &arguments->options[(*cursor)++];
        if (strcmp(argument->option->name, name) == 0) return argument->text;
    }
    return NULL;
}
