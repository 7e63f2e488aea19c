#include "cmd/cli/failure.h"

#include "cmd/cli/json_writer.h"
#include "cmd/cli/standard_output.h"

#include <mesh/error.h>

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define WHAT_SIZE_MAX 512

enum exit_code failure_exit_code(int error)
{
    switch (error) {
    case 0: return EXIT_DONE;
    case MESH_EUNREACHABLE:
    case MESH_ERESOLVE: return EXIT_UNREACHABLE;
    case MESH_ETIMEDOUT: return EXIT_TIMED_OUT;
    default: return EXIT_FAILED;
    }
}

const char *failure_remedy(int error)
{
    static const struct {
        int error;
        const char *remedy;
    } remedies[] = {
        {MESH_EUNREACHABLE, "Start a broker with 'mesh serve', or name another one with --broker HOST:PORT or MESH_BROKER."},
        {MESH_ERESOLVE, "Check the host name in --broker or MESH_BROKER."},
        {MESH_ETIMEDOUT, "Look at 'mesh status', or wait longer with --timeout."},
        {MESH_EUNKNOWN_TOPIC, "'mesh topic list' shows the topics; 'mesh topic create NAME' makes one."},
        {MESH_ETOPIC_EXISTS, "Choose another name, or give --if-absent to accept the one that is there."},
        {MESH_EINVALID_TOPIC,
         "A name has 1 to 249 of the characters a-z A-Z 0-9 . _ - and may not be . or .."},
        {MESH_EFULL, "Free space on the broker's disk, or shorten retention with 'mesh topic alter NAME "
                     "--set retention.ms=...'."},
        {MESH_ETOOLARGE, "Split the record, or raise max.batch.bytes with 'mesh topic alter NAME --set "
                         "max.batch.bytes=...'."},
        {MESH_EOFFSET_OUT_OF_RANGE, "'mesh topic describe NAME' shows the offsets that are there."},
        {MESH_ENOT_ENOUGH_REPLICAS,
         "Its topic acknowledges a record once min.insync replicas have it, and fewer are in sync: 'mesh topic describe NAME' shows them, 'mesh status' "
         "which brokers are missing. Start them, join others, or settle for less with 'mesh topic alter NAME --set min.insync=1'."},
        {MESH_EUNCOMMITTED, "Its leader changed, or replicas were lost, before it was safe. 'mesh status' shows how things are now."},
        {MESH_ELOCKED, "Stop the other broker, or give this one its own directory with --data."},
        {MESH_ESTORAGE, "'mesh status' says what happened to the disk."},
    };

    for (size_t i = 0; i < sizeof(remedies) / sizeof(remedies[0]); i++)
        if (remedies[i].error == error) return remedies[i].remedy;
    return "";
}

static void print_json(int error, const char *message)
{
    struct buffer text = BUFFER_INIT;
    struct json_writer json;

    json_writer_init(&json, &text);
    json_writer_begin_object(&json);
    json_writer_key(&json, "error");
    json_writer_begin_object(&json);
    json_writer_key(&json, "code");
    json_writer_integer(&json, error);
    json_writer_key(&json, "name");
    json_writer_text(&json, mesh_error_name(error));
    json_writer_key(&json, "message");
    json_writer_text(&json, message);
    json_writer_end_object(&json);
    json_writer_end_object(&json);
    if (json_writer_error(&json) == 0 && buffer_append(&text, "\n", 1) == 0)
        (void)standard_output_write(text.data, text.size);
    buffer_deinit(&text);
}

enum exit_code failure_report(bool is_json, int error, const char *cause, const char *what, ...)
{
    bool has_cause = cause != NULL && cause[0] != '\0';
    /* "too large" has one remedy for records; for anything else the cause says it. */
    const char *remedy = has_cause && error == MESH_ETOOLARGE ? "" : failure_remedy(error);
    bool is_cure_told = has_cause && error == MESH_EUNREACHABLE && strstr(cause, "mesh serve") != NULL; /* by libmesh, which knows no options */
    char text[WHAT_SIZE_MAX];
    va_list arguments;

    if (!has_cause) cause = mesh_strerror(error);
    va_start(arguments, what);
    if (vsnprintf(text, sizeof(text), what, arguments) < 0) text[0] = '\0';
    va_end(arguments);
    fprintf(stderr, "mesh: %s: %s\n", text, cause);
    if (is_cure_told) remedy = "Another broker is named with --broker HOST:PORT or MESH_BROKER.";
    if (remedy[0] != '\0') fprintf(stderr, "      %s\n", remedy);
    if (is_json) print_json(error, cause);
    return failure_exit_code(error);
}

enum exit_code failure_output(int error, const char *what)
{
    fprintf(stderr, "mesh: %s: %s\n", what, mesh_strerror(error));
    return EXIT_FAILED;
}

enum exit_code failure_usage(const char *command, const char *fault)
{
    if (command[0] != '\0')
        fprintf(stderr, "mesh %s: %s\n'mesh %s --help' tells how it is used.\n", command, fault, command);
    else
        fprintf(stderr, "mesh: %s\n'mesh help' lists the commands.\n", fault);
    return EXIT_USAGE;
}
