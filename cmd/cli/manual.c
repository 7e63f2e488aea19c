#include "cmd/cli/manual.h"

#include "cmd/broker/settings.h"
#include "cmd/cli/command.h"
#include "cmd/cli/help.h"

#include <string.h>

/* Appends text that roff must print as it stands. */
static int append_escaped(struct buffer *to, const char *text, size_t size)
{
    bool is_line_start = true;
    int err = 0;

    for (size_t i = 0; err == 0 && i < size; i++) {
        char c = text[i];
        if (is_line_start && (c == '.' || c == '\'')) err = buffer_append_string(to, "\\&");
        if (err != 0) break;
        if (c == '\\')
            err = buffer_append_string(to, "\\e");
        else if (c == '-')
            err = buffer_append_string(to, "\\-");
        else if (c == '\'')
            err = buffer_append_string(to, "\\(aq");
        else
            err = buffer_append(to, &c, 1);
        is_line_start = c == '\n';
    }
    return err;
}

static int append_line(struct buffer *to, const char *macro, const char *text)
{
    int err = buffer_append_string(to, macro);

    if (err == 0) err = append_escaped(to, text, strlen(text));
    return err != 0 ? err : buffer_append_string(to, "\n");
}

/* Paragraphs; lines that begin with two blanks are examples and keep their shape. */
static int append_paragraphs(struct buffer *to, const char *text)
{
    bool is_kept = false;
    int err = 0;

    while (err == 0 && *text != '\0') {
        size_t size = strcspn(text, "\n");
        bool keep = strncmp(text, "  ", 2) == 0;
        if (keep != is_kept) err = buffer_append_string(to, keep ? ".nf\n" : ".fi\n");
        is_kept = keep;
        if (err == 0) err = size == 0 ? buffer_append_string(to, ".PP") : append_escaped(to, text, size);
        if (err == 0) err = buffer_append_string(to, "\n");
        text += size + (text[size] == '\n');
    }
    return err == 0 && is_kept ? buffer_append_string(to, ".fi\n") : err;
}

static int append_option(struct buffer *to, const struct option_spec *option)
{
    struct buffer text = BUFFER_INIT;
    int err = help_option_head(&text, option);

    if (err == 0) err = buffer_append_string(to, ".TP\n.B ");
    if (err == 0) err = append_escaped(to, (char *)text.data, text.size);
    buffer_clear(&text);
    if (err == 0) err = help_option_text(&text, option);
    if (err == 0) err = buffer_append_string(to, "\n");
    if (err == 0) err = append_escaped(to, (char *)text.data, text.size);
    if (err == 0) err = buffer_append_string(to, "\n");
    buffer_deinit(&text);
    return err;
}

static int append_command(struct buffer *to, const struct command_spec *command)
{
    int err = buffer_append_string(to, ".SS ");

    if (err == 0) err = buffer_append_string(to, "\"mesh ");
    if (err == 0) err = append_escaped(to, command->name, strlen(command->name));
    if (err == 0 && command->operands[0] != '\0') err = buffer_printf(to, " %s", command->operands);
    if (err == 0) err = buffer_append_string(to, "\"\n");
    if (err == 0) err = append_paragraphs(to, command->description);
    for (size_t i = 0; err == 0 && i < command->option_count; i++)
        err = append_option(to, &command->options[i]);
    if (err == 0 && command->examples[0] != '\0') {
        err = append_line(to, ".PP\n.nf\n", "Examples:");
        if (err == 0) err = append_line(to, "", command->examples);
        if (err == 0) err = buffer_append_string(to, ".fi\n");
    }
    return err;
}

static int append_settings(struct buffer *to)
{
    char range[SETTINGS_TEXT_MAX], fallback[SETTINGS_TEXT_MAX];
    const struct setting_info *info;
    int err = buffer_append_string(
        to, ".SH SETTINGS OF A BROKER\nSee \\(aqmesh help settings\\(aq for where they may be given; "
            "what is live may be changed while the broker runs (\\(aqmesh config set\\(aq).\n");

    for (size_t i = 0; err == 0 && (info = settings_info(i)) != NULL; i++) {
        err = append_line(to, ".TP\n.B ", info->key);
        if (err == 0) err = append_line(to, "", info->help);
        if (err == 0 && strcmp(info->unit, "file") == 0)
            err = buffer_append_string(to, "(file; none by default)\n");
        else if (err == 0)
            err = buffer_printf(to, "(%s, %s; default %s%s)\n", info->unit, settings_format_range(i, range), settings_format_number(i, info->fallback, fallback),
                                (info->flags & SETTING_LIVE) != 0 ? "; live" : "");
    }
    return err;
}

static int append_upper_case(struct buffer *to, const char *text)
{
    int err = 0;

    for (; err == 0 && *text != '\0'; text++) {
        char c = *text >= 'a' && *text <= 'z' ? (char)(*text - 'a' + 'A') : *text;
        err = buffer_append(to, &c, 1);
    }
    return err;
}

static int append_commands(struct buffer *to)
{
    int err = buffer_append_string(to, ".SH COMMANDS\n");

    for (size_t i = 0; err == 0 && i < COMMAND_COUNT; i++)
        err = append_command(to, &command_table[i]);
    if (err == 0) err = buffer_append_string(to, ".SH OPTIONS OF CLIENT COMMANDS\n");
    for (size_t i = 0; err == 0 && i < command_client_option_count; i++)
        err = append_option(to, &command_client_options[i]);
    return err != 0 ? err : append_option(to, &command_help_option);
}

int manual_write(struct buffer *to, const char *version)
{
    int err = buffer_printf(to, ".TH MESH 1 \"\" \"mesh %s\" \"Mesh\"\n", version);

    if (err == 0)
        err = buffer_append_string(
            to, ".SH NAME\nmesh \\- a message broker without a middle\n.SH SYNOPSIS\n.B mesh\n"
                ".I COMMAND\n[\\fIOPTION\\fR]... [\\fIARGUMENT\\fR]...\n");
    if (err == 0)
        err = buffer_append_string(
            to, ".SH DESCRIPTION\nOne program is the broker and every command to use it. Data go to standard "
                "output, everything else to standard error.\n");
    if (err == 0) err = append_commands(to);
    if (err == 0) err = append_settings(to);
    for (size_t i = 0; err == 0 && i < help_topic_count; i++) {
        err = buffer_append_string(to, ".SH ");
        if (err == 0) err = append_upper_case(to, help_topics[i].title);
        if (err == 0) err = buffer_append_string(to, "\n");
        if (err == 0) err = append_paragraphs(to, help_topics[i].text);
    }
    return err;
}
