/* Command lines against the table of commands, and what is made from that table. */
#include "cmd/cli/arguments.h"
#include "cmd/cli/completion.h"
#include "cmd/cli/help.h"
#include "cmd/cli/manual.h"
#include "support/failing_alloc.h"
#include "support/run_suite.h"

#include <mesh/error.h>

#include <stdio.h>
#include <string.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
#define WORDS_MAX       12

static int count_words(const char *const *words)
{
    int count = 0;

    while (words[count] != NULL)
        count++;
    return count;
}

static int parse(const char *command, const char *const *words, struct arguments *ret_arguments,
                 struct buffer *fault)
{
    char *argv[WORDS_MAX];
    int argc = count_words(words);

    for (int i = 0; i < argc; i++)
        argv[i] = (char *)(uintptr_t)words[i]; /* the parser only reads them */
    return arguments_parse(command_find(command), argc, argv, ret_arguments, fault);
}

START_TEST(options_stand_anywhere_and_the_last_one_holds)
{
    static const char *const words[] = {"--partition", "3",        "orders", "--header=a=b",
                                        "--acks=1",    "--header", "c=d",    "--partition=4",
                                        "-",           NULL};
    struct buffer fault = BUFFER_INIT;
    struct arguments arguments;
    size_t cursor = 0;

    ck_assert_int_eq(parse("produce", words, &arguments, &fault), 0);
    ck_assert_uint_eq(arguments.operand_count, 2);
    ck_assert_str_eq(arguments.operands[0], "orders");
    ck_assert_str_eq(arguments.operands[1], "-");
    ck_assert_ptr_null(arguments.operands[2]);
    ck_assert_int_eq(arguments_integer(&arguments, "partition", -1), 4);
    ck_assert_str_eq(arguments_text(&arguments, "acks", "all"), "1");
    ck_assert_str_eq(arguments_next(&arguments, "header", &cursor), "a=b");
    ck_assert_str_eq(arguments_next(&arguments, "header", &cursor), "c=d");
    ck_assert_ptr_null(arguments_next(&arguments, "header", &cursor));
    ck_assert(!arguments_has(&arguments, "json"));
    ck_assert_int_eq(arguments_size(&arguments, "memory", 77), 77);
    ck_assert_int_eq(arguments_duration_ms(&arguments, "timeout", 30000), 30000);
    arguments_deinit(&arguments);
    buffer_deinit(&fault);
}
END_TEST

START_TEST(two_dashes_end_the_options)
{
    static const char *const words[] = {"--", "--partition", "-x", "--help", NULL};
    struct buffer fault = BUFFER_INIT;
    struct arguments arguments;

    ck_assert_int_eq(parse("produce", words, &arguments, &fault), 0);
    ck_assert_uint_eq(arguments.operand_count, 3);
    ck_assert_str_eq(arguments.operands[0], "--partition");
    ck_assert(!arguments_has(&arguments, "help"));
    arguments_deinit(&arguments);
    buffer_deinit(&fault);
}
END_TEST

START_TEST(help_wins_over_every_fault)
{
    static const char *const words[] = {"--frobnicate", "--partition", "x", "--help", NULL};
    struct buffer fault = BUFFER_INIT;
    struct arguments arguments;

    ck_assert_int_eq(parse("produce", words, &arguments, &fault), 0);
    ck_assert(arguments_has(&arguments, "help"));
    arguments_deinit(&arguments);
    buffer_deinit(&fault);
}
END_TEST

static const struct {
    const char *command;
    const char *words[4];
    const char *in_fault;
} fault_cases[] = {
    {"produce", {NULL}, "an argument is missing"},
    {"topic create", {"a", "b", NULL}, "unexpected argument 'b'"},
    {"produce", {"t", "--partiton", "1", NULL}, "did you mean --partition?"},
    {"produce", {"t", "--zzzzzzzz", NULL}, "there is no option --zzzzzzzz"},
    {"produce", {"t", "-p", NULL}, "options are written out"},
    {"produce", {"t", "--partition", NULL}, "--partition needs a value"},
    {"produce", {"t", "--partition", "-1", NULL}, "'-1' is not a whole number between 0 and"},
    {"produce", {"t", "--partition=", NULL}, "'' is not"},
    {"produce", {"t", "--quiet=1", NULL}, "--quiet takes no value"},
    {"produce", {"t", "--acks", "2", NULL}, "is not one of all|-1|0|1"},
    {"produce", {"t", "--acks", "", NULL}, "is not one of"},
    {"produce", {"t", "--header", "novalue", NULL}, "KEY=VALUE"},
    {"produce", {"t", "--header", "=x", NULL}, "KEY=VALUE"},
    {"produce", {"t", "--key-delimiter", "\\q", NULL}, "escapes"},
    {"produce", {"t", "--timeout", "soon", NULL}, "a duration such as"},
    {"produce", {"t", "--memory", "1", NULL}, "between 1048576"},
    {"consume", {"t", "--from", "middle", NULL}, "beginning, end, offset:N, time:T"},
    {"consume", {"t", "--count", "-3", NULL}, "a whole number of at least 0"},
    {"topic create", {"t", "--partitions", "0", NULL}, "between 1 and 100000"},
    {"serve", {"--set", "x", NULL}, "KEY=VALUE"},
    {"serve", {"--broker", "x", NULL}, "there is no option --broker"},
};
START_TEST(faults_say_what_would_be_right)
{
    struct arguments arguments = {.operand_count = 99};
    struct buffer fault = BUFFER_INIT;

    ck_assert_int_eq(parse(fault_cases[_i].command, fault_cases[_i].words, &arguments, &fault), MESH_EINVAL);
    ck_assert_uint_eq(arguments.operand_count, 99);
    ck_assert_msg(strstr((char *)fault.data, fault_cases[_i].in_fault) != NULL, "%s", (char *)fault.data);
    buffer_deinit(&fault);
}
END_TEST

START_TEST(a_failing_allocation_is_told)
{
    static const char *const words[] = {"t", "--acks", "all", NULL};

    failing_alloc_each(n)
    {
        struct buffer fault = BUFFER_INIT;
        struct arguments arguments = {0};
        int err;
        failing_alloc_arm(n);
        err = parse("produce", words, &arguments, &fault);
        if (!failing_alloc_disarm()) {
            ck_assert_int_eq(err, 0);
            arguments_deinit(&arguments);
            break;
        }
        ck_assert_int_eq(err, MESH_ENOMEM);
    }
}
END_TEST

/* ---- the table ---- */

START_TEST(table_is_in_the_order_of_its_ids_and_whole)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        const struct command_spec *command = &command_table[i];
        const struct option_spec *option;
        ck_assert_int_eq(command->id, (int)i);
        ck_assert_ptr_eq(command_find(command->name), command);
        ck_assert(command->operands_min <= command->operands_max);
        ck_assert(command->summary[0] != '\0' && command->description[0] != '\0');
        for (size_t j = 0; (option = command_option_at(command, j)) != NULL; j++) {
            ck_assert_ptr_eq(command_find_option(command, option->name), option); /* no name twice */
            ck_assert((option->kind == OPTION_FLAG) == (option->value_name == NULL));
            ck_assert((option->kind == OPTION_CHOICE) == (option->choices != NULL));
            ck_assert(option->minimum <= option->maximum);
        }
    }
}
END_TEST

START_TEST(help_names_every_option_of_every_command)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        const struct option_spec *option;
        struct buffer text = BUFFER_INIT;
        ck_assert_int_eq(help_command(&text, &command_table[i], 80), 0);
        ck_assert_int_eq(buffer_append(&text, "", 1), 0);
        for (size_t j = 0; (option = command_option_at(&command_table[i], j)) != NULL; j++) {
            char head[64];
            snprintf(head, sizeof(head), "  --%s", option->name);
            ck_assert_msg(strstr((char *)text.data, head) != NULL, "%s %s", command_table[i].name, head);
        }
        buffer_deinit(&text);
    }
}
END_TEST

static const struct {
    const char *name;
    int (*make)(struct buffer *to);
    const char *dashes; /* how it writes an option's dashes */
} document_cases[] = {
    {"bash", completion_bash, "--"},
    {"zsh", completion_zsh, "--"},
    {"fish", completion_fish, "-l "},
};
START_TEST(completions_know_every_command_and_option)
{
    struct buffer text = BUFFER_INIT;

    ck_assert_int_eq(document_cases[_i].make(&text), 0);
    ck_assert_int_eq(buffer_append(&text, "", 1), 0);
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        const struct option_spec *option;
        for (size_t j = 0; (option = command_option_at(&command_table[i], j)) != NULL; j++) {
            char word[64];
            snprintf(word, sizeof(word), "%s%s", document_cases[_i].dashes, option->name);
            ck_assert_msg(strstr((char *)text.data, word) != NULL, "%s: %s", document_cases[_i].name, word);
        }
        ck_assert_msg(strstr((char *)text.data, command_table[i].name) != NULL, "%s: %s",
                      document_cases[_i].name, command_table[i].name);
    }
    buffer_deinit(&text);
}
END_TEST

START_TEST(manual_has_a_section_per_command_and_subject)
{
    struct buffer text = BUFFER_INIT;

    ck_assert_int_eq(manual_write(&text, "1.2.3"), 0);
    ck_assert_int_eq(buffer_append(&text, "", 1), 0);
    ck_assert_ptr_nonnull(strstr((char *)text.data, "mesh 1.2.3"));
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        char head[80];
        snprintf(head, sizeof(head), ".SS \"mesh %s", command_table[i].name);
        ck_assert_msg(strstr((char *)text.data, head) != NULL, "%s", head);
    }
    ck_assert_ptr_nonnull(strstr((char *)text.data, ".SH EXIT CODES\n"));
    ck_assert_ptr_nonnull(strstr((char *)text.data, "NO_COLOR"));
    buffer_deinit(&text);
}
END_TEST

static int make_manual(struct buffer *to)
{
    return manual_write(to, "1");
}

static int make_overview(struct buffer *to)
{
    return help_overview(to, 80);
}

START_TEST(documents_tell_when_memory_ends)
{
    static int (*const makers[])(struct buffer *) = {completion_bash, completion_zsh, completion_fish,
                                                     make_manual, make_overview};

    failing_alloc_each(n)
    {
        struct buffer text = BUFFER_INIT;
        int err;
        failing_alloc_arm(n);
        err = makers[_i](&text);
        if (!failing_alloc_disarm()) {
            ck_assert_int_eq(err, 0);
            buffer_deinit(&text);
            break;
        }
        ck_assert_int_eq(err, MESH_ENOMEM);
        buffer_deinit(&text);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cli arguments");
    TCase *tcase = tcase_create("arguments");

    tcase_add_test(tcase, options_stand_anywhere_and_the_last_one_holds);
    tcase_add_test(tcase, two_dashes_end_the_options);
    tcase_add_test(tcase, help_wins_over_every_fault);
    tcase_add_loop_test(tcase, faults_say_what_would_be_right, 0, COUNT_OF(fault_cases));
    tcase_add_test(tcase, a_failing_allocation_is_told);
    tcase_add_test(tcase, table_is_in_the_order_of_its_ids_and_whole);
    tcase_add_test(tcase, help_names_every_option_of_every_command);
    tcase_add_loop_test(tcase, completions_know_every_command_and_option, 0, COUNT_OF(document_cases));
    tcase_add_test(tcase, manual_has_a_section_per_command_and_subject);
    tcase_add_loop_test(tcase, documents_tell_when_memory_ends, 0, 5);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
