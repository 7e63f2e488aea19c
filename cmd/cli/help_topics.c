/* The pages of `mesh help` that are not commands. */
#include "cmd/cli/command.h"

/* Paragraphs are separated by an empty line and filled to the width at hand; lines that begin with two blanks
 * stand as they are written. */
static const char formats_text[] =
    "lines: a record is what stands between two newlines; the newline is not part of it. 'consume' writes "
    "each value and a newline. "
    "A last line without a newline is a record like any other, and comes back with one. What holds newlines "
    "or must return to the "
    "byte goes one of two ways:\n\n"
    "  mesh produce T --keep-newlines < file;  mesh consume T --format raw --until-end > copy\n"
    "  mesh produce T --format length-prefixed < in;  mesh consume T --format length-prefixed --until-end > "
    "out\n\n"
    "raw (consume): values one after the other with nothing between.\n\n"
    "length-prefixed: four bytes, big endian, of length, then as many bytes. The length 0xffffffff stands "
    "for a null value and no "
    "bytes follow. With a key delimiter the length counts key, delimiter and value.\n\n"
    "files: 'produce' sends each file as one record with a header 'filename' (the name without its "
    "directories); 'consume' writes "
    "each record to DIR/PARTITION-OFFSET.\n\n"
    "json (consume): one object per line with topic, partition, offset, timestamp (milliseconds since 1970), "
    "key, value and headers "
    "(a list of {key, value}). What is not valid UTF-8 is given in base64 as key_base64 or value_base64 "
    "instead.\n\n"
    "Keys: with --key-delimiter TEXT, 'produce' splits each record at the first TEXT; a record without it "
    "has no key. 'consume --keys' "
    "writes the key and the delimiter before the value, and neither for a record without a key, so that the "
    "same delimiter gives back "
    "the same lines.";

static const char times_text[] =
    "Durations: a number and ms, s, m, h or d; without a unit, seconds: 500ms, 1.5s, 30, 2m.\n\n"
    "Times: milliseconds since 1970; or 2026-11-21, 2026-11-21T21:30, 2026-11-21T21:30:05.250, in local "
    "time, or with Z, +02:00 or -0530 "
    "in that zone; or a duration before now: -10m.\n\n"
    "Sizes: bytes, or a number and k, M, G or T, each 1024 times the last: 4096, 64KiB, 1MiB.";

static const char exit_text[] =
    "  0    done\n"
    "  1    the operation failed; the reason is on standard error\n"
    "  2    wrong usage\n"
    "  3    no broker could be reached\n"
    "  4    timed out\n"
    "  130  ended by Ctrl-C (143: by SIGTERM) after an orderly stop of produce, consume or bench\n\n"
    "With --json a failed command also prints {\"error\": {\"code\", \"name\", \"message\"}} on standard "
    "output; 'produce' puts the same object into its summary.";

static const char environment_text[] =
    "MESH_BROKER: brokers that client commands try, HOST:PORT[,HOST:PORT...].\n\n"
    "MESH_KEY_FILE: the file with the cluster key of 'mesh serve', 'mesh join' and 'mesh key show'; --key-file comes first.\n\n"
    "MESH_ and a setting's name in capitals with _ for . and -: that setting of 'mesh serve', for example "
    "MESH_TOPIC_PARTITIONS=8 or MESH_DATA=/srv/mesh. One that is spelt nearly like a setting is an error; others are left alone.\n\n"
    "NO_COLOR: when set and not empty, no colours on a terminal.\n\n"
    "XDG_DATA_HOME: where 'mesh serve' keeps its data unless --data says otherwise.\n\n"
    "XDG_CONFIG_HOME: where the cluster key lies unless it is named: mesh/key in it, else in ~/.config.";

const struct help_topic help_topics[] = {
    {"formats", "Formats of records", formats_text},
    {"values", "Durations, times and sizes", times_text},
    {"exit", "Exit codes", exit_text},
    {"environment", "Environment", environment_text},
};
const size_t help_topic_count = sizeof(help_topics) / sizeof(help_topics[0]);
