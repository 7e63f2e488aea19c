/* mesh doctor: looks before a start whether this machine and these settings are fit for a broker. */
#include "cmd/cli/doctor.h"

#include "base/error.h"
#include "cmd/cli/commands.h"
#include "cmd/cli/failure.h"
#include "cmd/cli/json_writer.h"
#include "cmd/cli/standard_output.h"
#include "cmd/cli/table.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

static const char *const state_names[] = {"ok", "warning", "error"};

void doctor_find(struct doctor *doctor, enum doctor_state state, const char *check, const char *remedy, const char *format, ...)
{
    struct doctor_finding *finding = &doctor->findings[doctor->count];
    va_list arguments;

    if (doctor->count == DOCTOR_FINDINGS_MAX) return;
    doctor->count++;
    finding->state = state;
    finding->check = check;
    va_start(arguments, format);
    (void)vsnprintf(finding->what, sizeof(finding->what), format, arguments);
    va_end(arguments);
    snprintf(finding->remedy, sizeof(finding->remedy), "%s", remedy);
    for (char *at = finding->what; *at != '\0'; at++) /* names and paths forge no line */
        if ((unsigned char)*at < 0x20 || *at == 0x7f) *at = '?';
}

static size_t count_of(const struct doctor *doctor, enum doctor_state state)
{
    size_t count = 0;

    for (size_t i = 0; i < doctor->count; i++)
        count += doctor->findings[i].state == state;
    return count;
}

static int findings_json(const struct doctor *doctor, struct buffer *text)
{
    struct json_writer json;

    json_writer_init(&json, text);
    json_writer_begin_object(&json);
    json_writer_key(&json, "errors");
    json_writer_unsigned(&json, count_of(doctor, DOCTOR_ERROR));
    json_writer_key(&json, "warnings");
    json_writer_unsigned(&json, count_of(doctor, DOCTOR_WARNING));
    json_writer_key(&json, "checks");
    json_writer_begin_array(&json);
    for (size_t i = 0; i < doctor->count; i++) {
        json_writer_begin_object(&json);
        json_writer_key(&json, "check");
        json_writer_text(&json, doctor->findings[i].check);
        json_writer_key(&json, "state");
        json_writer_text(&json, state_names[doctor->findings[i].state]);
        json_writer_key(&json, "what");
        json_writer_text(&json, doctor->findings[i].what);
        json_writer_key(&json, "remedy");
        json_writer_text(&json, doctor->findings[i].remedy);
        json_writer_end_object(&json);
    }
    json_writer_end_array(&json);
    json_writer_end_object(&json);
    return json_writer_error(&json) != 0 ? MESH_ENOMEM : buffer_append(text, "\n", 1);
}

static int findings_people(const struct doctor *doctor, struct buffer *text)
{
    static const enum colour colours[] = {COLOUR_GREEN, COLOUR_YELLOW, COLOUR_RED};
    bool has_colours = terminal_has_colours(STDOUT_FILENO);
    int err = 0;

    for (size_t i = 0; i < doctor->count && err == 0; i++) {
        const struct doctor_finding *finding = &doctor->findings[i];
        char state[16];

        snprintf(state, sizeof(state), "%-8s", state_names[finding->state]);
        err = table_coloured(text, colours[finding->state], state, has_colours);
        if (err == 0) err = buffer_printf(text, "%-8s %s%s%s\n", finding->check, finding->what, finding->remedy[0] != '\0' ? ": " : "", finding->remedy);
    }
    return err;
}

static int examine(const struct arguments *arguments, const struct serve_settings *settings)
{
    struct doctor *doctor = calloc(1, sizeof(*doctor));
    struct buffer text = BUFFER_INIT;
    int code, errors;

    if (doctor == NULL) return (int)failure_report(false, MESH_ENOMEM, NULL, "doctor");
    doctor->settings = settings;
    doctor->arguments = arguments;
    doctor_machine(doctor);
    doctor_disk(doctor);
    doctor_network(doctor);
    errors = (int)count_of(doctor, DOCTOR_ERROR);
    code = standard_output_finish(&text, arguments_has(arguments, "json") ? findings_json(doctor, &text) : findings_people(doctor, &text));
    keyring_free(doctor->keyring);
    free(doctor);
    return code != EXIT_DONE || errors == 0 ? code : EXIT_FAILED;
}

int command_doctor(const struct arguments *arguments)
{
    struct buffer fault = BUFFER_INIT;
    struct serve_settings settings;
    int code, err = serve_settings_gather(&settings, arguments, environ, &fault);

    if (err == 0 && settings.data == NULL) err = serve_settings_default_data(&settings.data);
    if (err == MESH_EINVAL && fault.size == 0)
        code = (int)failure_usage("doctor", "there is no home directory to keep data in; name one with --data DIR");
    else if (err == MESH_ENOMEM || err == MESH_EIO)
        code = (int)failure_report(false, err, (const char *)fault.data, "doctor");
    else if (err != 0)
        code = (int)failure_usage("doctor", (const char *)fault.data);
    else
        code = examine(arguments, &settings);
    serve_settings_deinit(&settings);
    buffer_deinit(&fault);
    return code;
}
