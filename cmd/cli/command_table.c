/* The table itself. What is written here is what users read: in --help, in the man page, in their shell. */
#include "cmd/cli/command.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* clang-format off */

const struct option_spec command_help_option = {"help", OPTION_FLAG, NULL, "Show this help and do nothing else", NULL, NULL, 0, 0, false};

const struct option_spec command_client_options[] = {
    {"broker", OPTION_TEXT, "HOST:PORT[,...]", "Brokers to try; any one that answers is enough", "$MESH_BROKER, else 127.0.0.1:9092", NULL, 0, 0, false},
    {"timeout", OPTION_DURATION, "DURATION", "How long to wait for an answer before giving up with exit code 4; also how long to try when every broker refuses to connect (exit code 3)", "30s; 2s while all refuse", NULL, 0, 0, false},
    {"json", OPTION_FLAG, NULL, "Print facts as JSON on standard output", NULL, NULL, 0, 0, false},
};
const size_t command_client_option_count = COUNT_OF(command_client_options);

const struct command_group command_groups[] = {
    {"topic", "Create, list, describe, alter, delete, move and balance topics"},
    {"group", "Consumer groups: list, describe, lag, reset and delete"},
    {"config", "Settings of brokers, some of which change while they run"},
    {"key", "The secret that makes a broker one of the mesh"},
    {"user", "Who may log in: add, list, give another password, remove"},
    {"bench", "Measure how fast a broker is, from here"},
};
const size_t command_group_count = COUNT_OF(command_groups);

/* What serve and join share. */
#define BROKER_OPTIONS \
    {"data", OPTION_DIRECTORY, "DIR", "Where everything is kept; created when absent", "$XDG_DATA_HOME/mesh or ~/.local/share/mesh; /var/lib/mesh for root", NULL, 0, 0, false}, \
    {"listen", OPTION_TEXT, "HOST:PORT", "Address of the one port; port 0 takes a free one. Once more with kafka-gateway://HOST:PORT: a port where Kafka's clients see all of the mesh as one broker", "127.0.0.1:9092", NULL, 0, 0, true}, \
    {"gateway-advertise", OPTION_TEXT, "HOST[:PORT]", "Where clients reach the Kafka gateway: the balancer in front of it, say", "where it listens", NULL, 0, 0, false}, \
    {"name", OPTION_TEXT, "NAME", "What people call this broker", "the name of the last start, at first the host's", NULL, 0, 0, false}, \
    {"zone", OPTION_TEXT, "ZONE", "The rack or zone it stands in", NULL, NULL, 0, 0, false}, \
    {"key-file", OPTION_FILE, "FILE", "The cluster key", "$MESH_KEY_FILE, DIR/key, $XDG_CONFIG_HOME/mesh/key or ~/.config/mesh/key", NULL, 0, 0, false}, \
    {"advertise", OPTION_TEXT, "HOST[:PORT]", "Where other brokers and clients reach this one", "the address listened on; a wildcard: as peers see it", NULL, 0, 0, false}, \
    {"shards", OPTION_INTEGER, "N", "Threads that serve partitions", "one per core", NULL, 1, 256, false}, \
    {"config", OPTION_FILE, "FILE", "Read settings from lines KEY = VALUE; see 'mesh help settings'", NULL, NULL, 0, 0, false}, \
    {"set", OPTION_PAIR, "KEY=VALUE", "Change one setting; see 'mesh help settings'", NULL, NULL, 0, 0, true}, \
    {"founded-marker", OPTION_FILE, "FILE", "Remember here, outside of DIR, that the mesh was founded; while the file exists no second one is founded from empty disks", NULL, NULL, 0, 0, false}, \
    {"log-format", OPTION_CHOICE, "FORMAT", "How log lines stand on standard error: text for people, logfmt or json for programs", "text", "text|logfmt|json", 0, 0, false}, \
    {"log-level", OPTION_CHOICE, "LEVEL", "The least important lines that are logged", "info", "debug|info|warn|error", 0, 0, false}, \
    {"quiet", OPTION_FLAG, NULL, "Log only warnings and errors (unless --log-level says otherwise), and print no hints", NULL, NULL, 0, 0, false},

static const struct option_spec serve_options[] = {BROKER_OPTIONS};
static const struct option_spec join_options[] = {
    BROKER_OPTIONS
    {"expect", OPTION_INTEGER, "N", "Found the mesh together with the others when there is none yet: the same line on all N machines of a first boot; never a second mesh", "wait for a mesh", NULL, 1, 1000, false},
    {"witness", OPTION_FLAG, NULL, "Vote, and keep no records: the third voice for a mesh of two brokers", NULL, NULL, 0, 0, false},
};

static const struct option_spec doctor_options[] = {
    BROKER_OPTIONS
    {"expect", OPTION_INTEGER, "N", "As with 'mesh join'; not looked at", NULL, NULL, 1, 1000, false},
    {"witness", OPTION_FLAG, NULL, "As with 'mesh join'; not looked at", NULL, NULL, 0, 0, false},
    {"json", OPTION_FLAG, NULL, "Print the findings as JSON on standard output", NULL, NULL, 0, 0, false},
};

static const struct option_spec remove_options[] = {
    {"accept-loss", OPTION_FLAG, NULL, "Give up the partitions that have no other copy", NULL, NULL, 0, 0, false},
};

static const struct option_spec recover_options[] = {
    {"accept-loss-of", OPTION_TEXT, "BROKER[,...]", "The brokers that are lost for good, by name or uuid", NULL, NULL, 0, 0, true},
    {"yes", OPTION_FLAG, NULL, "Do it without asking", NULL, NULL, 0, 0, false},
};

static const struct option_spec status_options[] = {
    {"check", OPTION_FLAG, NULL, "Exit with 1 when something is wrong, for scripts", NULL, NULL, 0, 0, false},
};

static const struct option_spec drain_options[] = {
    {"self", OPTION_FLAG, NULL, "The broker that answers; the same as naming none", NULL, NULL, 0, 0, false},
    {"empty", OPTION_FLAG, NULL, "Have others keep its replicas, before it is taken out for good", NULL, NULL, 0, 0, false},
    {"undo", OPTION_FLAG, NULL, "Let it lead again, and keep what it still has", NULL, NULL, 0, 0, false},
    {"no-wait", OPTION_FLAG, NULL, "Only ask for it, and say how far it is", NULL, NULL, 0, 0, false},
};

static const struct option_spec events_options[] = {
    {"of", OPTION_TEXT, "BROKER", "Only those of this broker, by name or uuid", "all brokers of the mesh", NULL, 0, 0, false},
    {"since", OPTION_DURATION, "DURATION", "Not older than this", "all that are kept", NULL, 0, 0, false},
    {"follow", OPTION_FLAG, NULL, "Go on, and print what comes; Ctrl-C ends it", NULL, NULL, 0, 0, false},
};

static const struct option_spec config_list_options[] = {
    {"of", OPTION_TEXT, "BROKER", "Those of this broker, by name or uuid", "the broker that answers", NULL, 0, 0, false},
    {"changed", OPTION_FLAG, NULL, "Only what somebody has said: nothing at its default", NULL, NULL, 0, 0, false},
};

static const struct option_spec config_options[] = {
    {"of", OPTION_TEXT, "BROKER", "Of this broker alone, by name or uuid", "all brokers of the mesh", NULL, 0, 0, false},
};

static const struct option_spec members_options[] = {
    {"watch", OPTION_FLAG, NULL, "Go on, and show changes as they come", NULL, NULL, 0, 0, false},
};

static const struct option_spec top_options[] = {
    {"interval", OPTION_DURATION, "DURATION", "How long to wait between two looks, 100ms at least", "2s", NULL, 0, 0, false},
    {"count", OPTION_INTEGER, "N", "Show so many looks, then end", "no end on a terminal and with --json, else 1", NULL, 1, 1000000000, false},
};

static const struct option_spec key_show_options[] = {
    {"key-file", OPTION_FILE, "FILE", "Read this one", "$MESH_KEY_FILE, DIR/key, $XDG_CONFIG_HOME/mesh/key or ~/.config/mesh/key", NULL, 0, 0, false},
    {"data", OPTION_DIRECTORY, "DIR", "A broker's data directory, which may have a key of its own", NULL, NULL, 0, 0, false},
    {"json", OPTION_FLAG, NULL, "Print facts as JSON on standard output", NULL, NULL, 0, 0, false},
};

static const struct option_spec key_generate_options[] = {
    {"key-file", OPTION_FILE, "FILE", "Write it there; never over another", "$XDG_CONFIG_HOME/mesh/key or ~/.config/mesh/key", NULL, 0, 0, false},
    {"json", OPTION_FLAG, NULL, "Print facts as JSON on standard output", NULL, NULL, 0, 0, false},
};

static const struct option_spec user_password_options[] = {
    {"password-file", OPTION_FILE, "FILE", "Read the password from the first line of this file", "a prompt on a terminal, else the first line of standard input", NULL, 0, 0, false},
    {"iterations", OPTION_INTEGER, "N", "How often the password is hashed: what a guess costs whoever has stolen the verifiers, and each login everybody", "8192", NULL, 4096, 1000000, false},
};

static const struct option_spec topic_create_options[] = {
    {"partitions", OPTION_INTEGER, "N", "Number of partitions", "the broker's topic.partitions, 1 unless set", NULL, 1, 100000, false},
    {"replicas", OPTION_INTEGER, "N", "Copies of each partition; more than there are brokers is a wish, met as brokers join", "3, or as many as there are brokers that keep records", NULL, 1, 32767, false},
    {"mode", OPTION_CHOICE, "MODE", "What an acknowledgement waits for: all replicas in sync (isr), the leader alone (async), both of two disks (sync-double-write), or a majority of the replicas (quorum)", "isr", "isr|async|sync-double-write|quorum", 0, 0, false},
    {"set", OPTION_PAIR, "KEY=VALUE", "Configure the topic, for example flush=async or retention.ms=3600000", NULL, NULL, 0, 0, true},
    {"if-absent", OPTION_FLAG, NULL, "Succeed when the topic exists already", NULL, NULL, 0, 0, false},
};

static const struct option_spec topic_list_options[] = {
    {"names", OPTION_FLAG, NULL, "Print names only, one per line", NULL, NULL, 0, 0, false},
};

static const struct option_spec topic_alter_options[] = {
    {"partitions", OPTION_INTEGER, "N", "Grow to this many partitions", NULL, NULL, 1, 100000, false},
    {"set", OPTION_PAIR, "KEY=VALUE", "Change a configuration key", NULL, NULL, 0, 0, true},
    {"unset", OPTION_TEXT, "KEY", "Return a configuration key to its default", NULL, NULL, 0, 0, true},
};

static const struct option_spec topic_delete_options[] = {
    {"if-exists", OPTION_FLAG, NULL, "Succeed when there is no such topic", NULL, NULL, 0, 0, false},
};

static const struct option_spec topic_move_options[] = {
    {"to", OPTION_TEXT, "BROKER[,...]", "The brokers that shall keep the replicas, by name, uuid or node id; the first one leads by preference", NULL, NULL, 0, 0, false},
    {"cancel", OPTION_FLAG, NULL, "Take the move back: the replicas stay where they were", NULL, NULL, 0, 0, false},
    {"no-wait", OPTION_FLAG, NULL, "Do not wait until it has ended", NULL, NULL, 0, 0, false},
};

static const struct option_spec topic_balance_options[] = {
    {"dry-run", OPTION_FLAG, NULL, "Only say what would move", NULL, NULL, 0, 0, false},
    {"no-wait", OPTION_FLAG, NULL, "Do not wait until it has ended", NULL, NULL, 0, 0, false},
};

static const struct option_spec topic_trim_options[] = {
    {"to", OPTION_TEXT, "WHERE", "The first record that stays: end (none of them), offset:N or time:T (see 'mesh help formats')", NULL, NULL, 0, 0, false},
    {"yes", OPTION_FLAG, NULL, "Do not ask", NULL, NULL, 0, 0, false},
    {"dry-run", OPTION_FLAG, NULL, "Only say what would be deleted", NULL, NULL, 0, 0, false},
};

static const struct option_spec produce_options[] = {
    {"format", OPTION_CHOICE, "FORMAT", "How records stand in the input: lines, length-prefixed or files; see 'mesh help formats'", "lines", "lines|length-prefixed|files", 0, 0, false},
    {"keep-newlines", OPTION_FLAG, NULL, "Leave the newline at the end of each line's record; 'mesh consume --format raw' then gives back every byte", NULL, NULL, 0, 0, false},
    {"partition", OPTION_INTEGER, "N", "Send every record to this partition", "by key, else evenly", NULL, 0, INT32_MAX, false},
    {"key-delimiter", OPTION_BYTES, "TEXT", "What stands before its first occurrence in a record is the key; escapes such as \\t are understood", NULL, NULL, 0, 0, false},
    {"header", OPTION_PAIR, "KEY=VALUE", "Add a header to every record", NULL, NULL, 0, 0, true},
    {"null-marker", OPTION_TEXT, "TEXT", "A value that equals TEXT is sent as null (a tombstone)", NULL, NULL, 0, 0, false},
    {"acks", OPTION_CHOICE, "ACKS", "What to wait for: all in-sync replicas, the leader alone, or nothing", "all", "all|-1|0|1", 0, 0, false},
    {"compression", OPTION_CHOICE, "CODEC", "Compress batches", "none", "none|gzip|snappy|lz4|zstd", 0, 0, false},
    {"batch-bytes", OPTION_SIZE, "SIZE", "Largest batch", "1MiB", NULL, 1024, 64 << 20, false},
    {"linger", OPTION_DURATION, "DURATION", "Let a batch wait for company this long", "0", NULL, 0, 0, false},
    {"memory", OPTION_SIZE, "SIZE", "Most bytes waiting for acknowledgement", "64MiB", NULL, 1 << 20, INT64_C(64) << 30, false},
    {"no-create", OPTION_FLAG, NULL, "Fail when the topic does not exist, instead of creating it", NULL, NULL, 0, 0, false},
    {"receipts", OPTION_FILE, "FILE", "Append a JSON line to FILE for every run of acknowledged records: partition, first and last offset, replicas that synced", NULL, NULL, 0, 0, false},
    {"quiet", OPTION_FLAG, NULL, "Show no progress and no summary", NULL, NULL, 0, 0, false},
    {"verbose", OPTION_FLAG, NULL, "Print the summary even when standard error is no terminal", NULL, NULL, 0, 0, false},
};

static const struct option_spec consume_options[] = {
    {"from", OPTION_START, "START", "Where to start: beginning, end, offset:N, offset:-N (N records before the end) or time:T", "beginning", NULL, 0, 0, false},
    {"partition", OPTION_INTEGER, "N", "Read this partition only", "all", NULL, 0, INT32_MAX, false},
    {"count", OPTION_INTEGER, "N", "Stop after N records", "never", NULL, 0, INT64_MAX, false},
    {"until-end", OPTION_FLAG, NULL, "Stop after the last record that was there at the start", NULL, NULL, 0, 0, false},
    {"group", OPTION_TEXT, "GROUP", "Share the topic with the other consumers of this group, and go on where it stands", NULL, NULL, 0, 0, false},
    {"instance", OPTION_TEXT, "NAME", "With --group: a name that keeps its partitions over a restart", NULL, NULL, 0, 0, false},
    {"broadcast", OPTION_FLAG, NULL, "With --group and --instance: read everything, whatever other instances read, and go on where this one stands", NULL, NULL, 0, 0, false},
    {"pattern", OPTION_FLAG, NULL, "With --group: TOPIC is an extended regular expression for whole names of topics", NULL, NULL, 0, 0, false},
    {"format", OPTION_CHOICE, "FORMAT", "How to write records: lines, raw, length-prefixed, json or files; see 'mesh help formats'", "lines", "lines|raw|length-prefixed|json|files", 0, 0, false},
    {"keys", OPTION_FLAG, NULL, "Write the key and the delimiter before each value", NULL, NULL, 0, 0, false},
    {"key-delimiter", OPTION_BYTES, "TEXT", "What --keys writes between key and value", "\\t", NULL, 0, 0, false},
    {"null-marker", OPTION_TEXT, "TEXT", "What to write for a null value", "nothing", NULL, 0, 0, false},
    {"output", OPTION_DIRECTORY, "DIR", "With --format files: write each record to DIR/PARTITION-OFFSET", ".", NULL, 0, 0, false},
    {"no-verify", OPTION_FLAG, NULL, "Do not check the checksums of what arrives", NULL, NULL, 0, 0, false},
    {"json-summary", OPTION_FLAG, NULL, "Print one JSON object of facts to standard error at the end", NULL, NULL, 0, 0, false},
    {"quiet", OPTION_FLAG, NULL, "Show no progress and no summary", NULL, NULL, 0, 0, false},
    {"verbose", OPTION_FLAG, NULL, "Print the summary even when standard error is no terminal", NULL, NULL, 0, 0, false},
};

static const struct option_spec group_list_options[] = {
    {"names", OPTION_FLAG, NULL, "Print the names only", NULL, NULL, 0, 0, false},
};

static const struct option_spec group_reset_options[] = {
    {"topic", OPTION_TEXT, "TOPIC", "The topic whose offsets are set", NULL, NULL, 0, 0, false},
    {"partition", OPTION_INTEGER, "N", "Of this partition only", "all", NULL, 0, INT32_MAX, false},
    {"to", OPTION_TEXT, "WHERE", "Where the group goes on: earliest, latest, offset:N, shift:N (shift:-N goes back) or time:T", NULL, NULL, 0, 0, false},
    {"dry-run", OPTION_FLAG, NULL, "Only show what would be", NULL, NULL, 0, 0, false},
    {"force", OPTION_FLAG, NULL, "Also while members consume these partitions: they go on from there by themselves", NULL, NULL, 0, 0, false},
    {"yes", OPTION_FLAG, NULL, "Do not ask", NULL, NULL, 0, 0, false},
};

static const struct option_spec group_delete_options[] = {
    {"topic", OPTION_TEXT, "TOPIC", "Forget only what was committed of this topic", NULL, NULL, 0, 0, false},
    {"if-exists", OPTION_FLAG, NULL, "Succeed when there is no such group", NULL, NULL, 0, 0, false},
};

/* What all three benchmarks share comes first in each. */
#define BENCH_COMMON_OPTIONS \
    {"topic", OPTION_TEXT, "TOPIC", "Use this topic and leave it as it is afterwards", "a temporary one, deleted at the end", NULL, 0, 0, false}, \
    {"records", OPTION_INTEGER, "N", "How many records", NULL, NULL, 1, INT64_MAX, false}, \
    {"record-size", OPTION_SIZE, "SIZE", "Bytes of each value", NULL, NULL, 0, 64 << 20, false}, \
    {"partitions", OPTION_INTEGER, "N", "Partitions of the temporary topic", "1", NULL, 1, 100000, false}, \
    {"flush", OPTION_CHOICE, "MODE", "Flush mode of the temporary topic", "group", "group|async", 0, 0, false}, \
    {"payload", OPTION_CHOICE, "KIND", "Contents of the values: random cannot be compressed, text can, zero is nothing", "random", "random|text|zero", 0, 0, false}, \
    {"broker-pid", OPTION_INTEGER, "PID", "Process of a broker on this machine, to tell its CPU time", NULL, NULL, 1, INT32_MAX, false}, \
    {"ready-file", OPTION_FILE, "FILE", "The same, taken from the ready.json of a broker", NULL, NULL, 0, 0, false}

static const struct option_spec bench_produce_options[] = {
    BENCH_COMMON_OPTIONS,
    {"seconds", OPTION_INTEGER, "N", "Stop after N seconds instead of a number of records", NULL, NULL, 1, 86400, false},
    {"warm-up", OPTION_INTEGER, "N", "Send N records first that do not count", "0", NULL, 0, INT64_MAX, false},
    {"rate", OPTION_INTEGER, "N", "Send N records per second on a fixed schedule; latency counts from the scheduled time", "as fast as it goes", NULL, 1, 1000000000, false},
    {"batch-records", OPTION_INTEGER, "N", "At most N records per batch", "as many as fit", NULL, 1, 1000000, false},
    {"batch-bytes", OPTION_SIZE, "SIZE", "Largest batch", "1MiB", NULL, 1024, 64 << 20, false},
    {"linger", OPTION_DURATION, "DURATION", "Let a batch wait for company this long", "0", NULL, 0, 0, false},
    {"in-flight", OPTION_INTEGER, "N", "Batches on the way per partition", "5", NULL, 1, 1000000, false},
    {"memory", OPTION_SIZE, "SIZE", "Most bytes waiting for acknowledgement", "64MiB", NULL, 1 << 20, INT64_C(64) << 30, false},
    {"acks", OPTION_CHOICE, "ACKS", "What to wait for", "all", "all|-1|0|1", 0, 0, false},
    {"compression", OPTION_CHOICE, "CODEC", "Compress batches", "none", "none|gzip|snappy|lz4|zstd", 0, 0, false},
    {"no-idempotence", OPTION_FLAG, NULL, "Send without producer id and sequence numbers; allows more in flight", NULL, NULL, 0, 0, false},
    {"partitioner", OPTION_CHOICE, "KIND", "Spread records in batches, or one by one", "sticky", "sticky|round-robin", 0, 0, false},
};

static const struct option_spec bench_consume_options[] = {
    BENCH_COMMON_OPTIONS,
    {"warm-up", OPTION_FLAG, NULL, "Read everything once before measuring, so that it comes from memory", NULL, NULL, 0, 0, false},
    {"fetch-bytes", OPTION_SIZE, "SIZE", "Bytes fetched ahead", "the library's", NULL, 4096, 1 << 30, false},
    {"no-verify", OPTION_FLAG, NULL, "Do not check the checksums of what arrives", NULL, NULL, 0, 0, false},
};

static const struct option_spec bench_latency_options[] = {
    BENCH_COMMON_OPTIONS,
    {"warm-up", OPTION_INTEGER, "N", "Send N records first that do not count", "100", NULL, 0, INT64_MAX, false},
    {"acks", OPTION_CHOICE, "ACKS", "What to wait for", "all", "all|-1|1", 0, 0, false},
    {"end-to-end", OPTION_FLAG, NULL, "Measure until a second connection has consumed the record", NULL, NULL, 0, 0, false},
};

static const struct option_spec bench_groups_options[] = {
    BENCH_COMMON_OPTIONS,
    {"groups", OPTION_INTEGER, "N", "How many groups commit side by side, each with a member and a thread of its own", "4", NULL, 1, 256, false},
    {"seconds", OPTION_INTEGER, "N", "Stop after N seconds, or when --records offsets are committed", "10", NULL, 1, 86400, false},
};

#define CLIENT true
#define OPTIONS(array) array, COUNT_OF(array)
#define NO_OPTIONS NULL, 0

const struct command_spec command_table[COMMAND_COUNT] = {
    {COMMAND_SERVE, "serve", "", 0, 0, OPERAND_NONE, OPERAND_NONE,
     "Run a broker",
     "Runs a broker in the foreground until SIGTERM or SIGINT, then finishes what is in flight, syncs and stops. When it is ready it "
     "prints one line, 'mesh: ready on HOST:PORT cluster=... broker=...', and writes the same facts to DIR/ready.json.\n\n"
     "Settings come from --config, then from the environment, then from --set and the other options; the last one holds.",
     "mesh serve  # for a first look: all on this machine\n"
     "mesh serve --data /srv/mesh --listen 0.0.0.0:9092\n"
     "mesh serve --data ./data --listen 127.0.0.1:0 --set topic.partitions=8",
     OPTIONS(serve_options), false},
    {COMMAND_JOIN, "join", "SEED...", 1, 64, OPERAND_NONE, OPERAND_NONE,
     "Run a broker that joins a mesh",
     "Runs a broker like 'mesh serve', as a member of the mesh that the seeds belong to. A seed is any broker of it: HOST, HOST:PORT, an address "
     "(IPv6 in brackets), a name with many addresses, or a service with SRV records (_mesh._tcp.example.org). One that answers is enough; names are looked up "
     "again for ever, and what does not answer yet is waited for.\n\n"
     "With --expect N the same line founds the mesh on its first boot: on N machines, in any order, naming each other (or one name for all) as seeds. It is founded once, when more than "
     "half of the N have promised it on their disks; a machine whose disk was wiped joins instead. Without --expect a broker never founds.\n\n"
     "Both sides need the same cluster key: 'mesh key show' prints it where it is, and --key-file names the file that holds it here. Brokers of one user on one "
     "machine share it without further ado. A data directory that belongs to a mesh already goes back to that one.",
     "mesh join 10.0.0.5  # port 9092\n"
     "mesh join mesh-headless.prod.svc --listen 0.0.0.0:9092\n"
     "mesh join 127.0.0.1:9092 --data ./second --listen 127.0.0.1:0\n"
     "mesh join --expect 3 mesh-0.mesh mesh-1.mesh mesh-2.mesh  # the same on all three",
     OPTIONS(join_options), false},
    {COMMAND_LEAVE, "leave", "", 0, 0, OPERAND_NONE, OPERAND_NONE,
     "Let a broker leave the mesh",
     "The broker that is asked tells every other that it leaves, and stops. Its records stay in its data directory; 'mesh join' brings it back.",
     "mesh leave --broker 10.0.0.7:9092",
     NO_OPTIONS, CLIENT},
    {COMMAND_REMOVE, "remove", "BROKER", 1, 1, OPERAND_NONE, OPERAND_NONE,
     "Take a broker that is gone for good out of the mesh",
     "Removes a broker, by name or uuid, that has left or died and will not come back: its vote goes to another broker, what it led is led by others where they have a "
     "copy, and it is refused, with a reason, when it comes back. To use its machine again, start a broker there with an empty data directory. It is not done while the broker "
     "lives, nor while it has the only copy of a partition, unless --accept-loss says that those are given up.",
     "mesh remove b3\nmesh remove b3 --accept-loss  # its partitions have no other copy, and are given up",
     OPTIONS(remove_options), CLIENT},
    {COMMAND_RECOVER, "recover", "", 0, 0, OPERAND_NONE, OPERAND_NONE,
     "Make the survivors a mesh again when most voters are lost for good",
     "While more than half of the brokers that vote are away, nothing can be decided ('mesh status' says so). When they come back, all goes on, and that is the better way: "
     "what was decided is kept. When they will never come back, this command gives them up: the survivors agree on the one whose metadata log reaches farthest, go on "
     "with it alone, and vote again as brokers come up. What only the lost knew of topics and settings is gone, and so are partitions that have no copy elsewhere.\n\n"
     "Every broker of the mesh must be up, or be named as lost. The command first asks all survivors and shows what would be given up; then it asks for consent, which --yes gives in scripts. "
     "It is refused while a majority is there, and while a broker that was named lives. It may be repeated, on any survivor, also at once, and also after one "
     "died in the midst of it: there is one result. Brokers that were given up are refused when they come back; to use their machines again, start them with empty data directories.",
     "mesh recover --accept-loss-of b2,b3\nmesh recover --accept-loss-of b2 --accept-loss-of b3 --yes --json",
     OPTIONS(recover_options), CLIENT},
    {COMMAND_MEMBERS, "members", "", 0, 0, OPERAND_NONE, OPERAND_NONE,
     "Show who is in the mesh and who looks alive",
     "Shows every broker as the asked one sees it: alive, suspect (it has not answered, and may still say otherwise), dead or left.",
     "mesh members\nmesh members --watch\nmesh members --json",
     OPTIONS(members_options), CLIENT},
    {COMMAND_GROUP_LIST, "group list", "", 0, 0, OPERAND_NONE, OPERAND_NONE,
     "List consumer groups",
     "Lists every consumer group with its members and how many offsets it has committed, as the asked broker knows it: every broker does.",
     "mesh group list\nmesh group list --json",
     OPTIONS(group_list_options), CLIENT},
    {COMMAND_GROUP_DESCRIBE, "group describe", "GROUP", 1, 1, OPERAND_NONE, OPERAND_NONE,
     "Show a group's members and where it stands",
     "Shows the members, and of each partition what is committed, where it ends, how many records lie between (the lag), and who consumes it; "
     "'a -> b' stands for a partition that goes from one to another.",
     "mesh group describe billing\nmesh group describe billing --json",
     NO_OPTIONS, CLIENT},
    {COMMAND_GROUP_LAG, "group lag", "[GROUP]", 0, 1, OPERAND_NONE, OPERAND_NONE,
     "Say how far groups are behind",
     "Shows for a group, or for all, how many records it has not handled yet, and on how many of its partitions it is behind. A - stands for what is not known.",
     "mesh group lag\nmesh group lag billing --json",
     NO_OPTIONS, CLIENT},
    {COMMAND_GROUP_RESET, "group reset", "GROUP", 1, 1, OPERAND_NONE, OPERAND_NONE,
     "Set where a group goes on",
     "Sets the committed offsets of a topic's partitions. It shows first what is and what would be, and asks; --yes does not ask, --dry-run only shows. While members consume "
     "these partitions it is refused, unless --force: then they go on from there by themselves.",
     "mesh group reset billing --topic orders --to earliest --dry-run\n"
     "mesh group reset billing --topic orders --to time:-1h --yes\n"
     "mesh group reset billing --topic orders --partition 2 --to shift:-100",
     OPTIONS(group_reset_options), CLIENT},
    {COMMAND_GROUP_DELETE, "group delete", "GROUP", 1, 1, OPERAND_NONE, OPERAND_NONE,
     "Forget a group",
     "Forgets a group that has no members, with all that it has committed, or what it has committed of one topic. There is no way back.",
     "mesh group delete billing\nmesh group delete billing --topic orders",
     OPTIONS(group_delete_options), CLIENT},
    {COMMAND_KEY_SHOW, "key show", "", 0, 0, OPERAND_NONE, OPERAND_NONE,
     "Print the cluster key of this machine",
     "Prints the key that brokers of this user have, for a machine that is to join. Whoever has it can join: treat it like a password.",
     "mesh key show\nmesh key show | ssh other 'umask 077; mkdir -p ~/.config/mesh; cat > ~/.config/mesh/key'",
     OPTIONS(key_show_options), false},
    {COMMAND_KEY_GENERATE, "key generate", "", 0, 0, OPERAND_NONE, OPERAND_NONE,
     "Make a cluster key",
     "Makes a fresh key, writes it to a file that only this user can read, and prints it. 'mesh serve' does this by itself where there is none.",
     "mesh key generate --key-file ./mesh.key",
     OPTIONS(key_generate_options), false},
    {COMMAND_KEY_LIST, "key list", "", 0, 0, OPERAND_NONE, OPERAND_NONE,
     "Show which keys a running mesh holds",
     "Shows the keys by their ids, which are public, how many members hold each, and how far a rotation is.",
     "mesh key list",
     NO_OPTIONS, CLIENT},
    {COMMAND_KEY_ROTATE, "key rotate", "", 0, 0, OPERAND_NONE, OPERAND_NONE,
     "Replace the cluster key of a running mesh",
     "Makes a fresh key, installs it with every member, lets all use it, and removes the old ones; each step waits until every member has done the last, "
     "dead ones included, and nothing is lost meanwhile. Key files are rewritten. Ctrl-C only stops watching.",
     "mesh key rotate",
     NO_OPTIONS, CLIENT},
    {COMMAND_USER_ADD, "user add", "NAME", 1, 1, OPERAND_NONE, OPERAND_NONE,
     "Let somebody log in",
     "Adds a user. The password comes from a prompt, a file or standard input, never from the command line, where everybody on the machine could read it. It does not leave "
     "this program: what is kept of it, on every broker, are verifiers for SCRAM-SHA-256 and SCRAM-SHA-512, with a salt of their own. Clients log in with either, or with PLAIN, "
     "which shows the password to the broker and to all that lies between, unless TLS does.",
     "mesh user add alice\nmesh user add billing --password-file ./billing.password\npwgen 32 1 | mesh user add robot",
     OPTIONS(user_password_options), CLIENT},
    {COMMAND_USER_LIST, "user list", "", 0, 0, OPERAND_NONE, OPERAND_NONE,
     "List users",
     "Lists who may log in, and by which mechanisms.",
     "mesh user list\nmesh user list --json",
     NO_OPTIONS, CLIENT},
    {COMMAND_USER_PASSWD, "user passwd", "NAME", 1, 1, OPERAND_NONE, OPERAND_NONE,
     "Give a user another password",
     "Replaces the password of a user; see 'mesh user add'. Who is logged in stays so until the connection ends.",
     "mesh user passwd alice",
     OPTIONS(user_password_options), CLIENT},
    {COMMAND_USER_REMOVE, "user remove", "NAME", 1, 1, OPERAND_NONE, OPERAND_NONE,
     "Remove a user",
     "Removes a user. Who is logged in stays so until the connection ends.",
     "mesh user remove alice",
     NO_OPTIONS, CLIENT},
    {COMMAND_TOPIC_CREATE, "topic create", "NAME", 1, 1, OPERAND_NONE, OPERAND_NONE,
     "Create a topic",
     "Creates a topic. Names have 1 to 249 of the characters a-z A-Z 0-9 . _ - and may not be . or ..\n\n"
     "A record is acknowledged (acks all) once min.insync replicas have it on their disks: unless set, the majority of the replicas, so 2 of 3. While "
     "fewer are in sync, records are refused and nothing is lost. What was made on a mesh of one keeps its one copy when others join; "
     "'mesh topic alter NAME --set replicas=3' asks for more.\n\n"
     "Modes: isr waits for every replica that keeps up, and goes on without one that does not, down to min.insync. quorum waits for any majority: one slow "
     "replica is never waited for, and none ever leaves. sync-double-write keeps two replicas and writes only while both are there. async answers "
     "when the leader has the record, before it is synced: fast, and what was acknowledged last may be lost.",
     "mesh topic create orders --partitions 3\n"
     "mesh topic create ledger --replicas 3 --mode quorum\n"
     "mesh topic create clicks --set flush=async --set retention.ms=86400000",
     OPTIONS(topic_create_options), CLIENT},
    {COMMAND_TOPIC_LIST, "topic list", "", 0, 0, OPERAND_NONE, OPERAND_NONE,
     "List topics",
     "Lists every topic with its number of partitions, records and bytes.",
     "mesh topic list\nmesh topic list --json",
     OPTIONS(topic_list_options), CLIENT},
    {COMMAND_TOPIC_DESCRIBE, "topic describe", "NAME", 1, 1, OPERAND_TOPIC, OPERAND_NONE,
     "Show a topic's partitions and configuration",
     "Shows where each partition is, what it holds, and how the topic is configured. Of the replicas, + stands behind one that a move brings in, and - behind one "
     "that goes when the move ends; what replicas out of sync miss, and how much of a move is copied, stands in the last column.",
     "mesh topic describe orders\nmesh topic describe orders --json",
     NO_OPTIONS, CLIENT},
    {COMMAND_TOPIC_ALTER, "topic alter", "NAME", 1, 1, OPERAND_TOPIC, OPERAND_NONE,
     "Change a topic's configuration or add partitions",
     "Changes a topic. The number of partitions can only grow; records with keys may then go to other partitions than before.",
     "mesh topic alter orders --partitions 6\nmesh topic alter orders --set retention.bytes=1073741824 --unset flush",
     OPTIONS(topic_alter_options), CLIENT},
    {COMMAND_TOPIC_DELETE, "topic delete", "NAME", 1, 1, OPERAND_TOPIC, OPERAND_NONE,
     "Delete a topic and all its records",
     "Deletes a topic and all its records. There is no way back.",
     "mesh topic delete orders",
     OPTIONS(topic_delete_options), CLIENT},
    {COMMAND_TOPIC_MOVE, "topic move", "TOPIC[/PARTITION]", 1, 1, OPERAND_TOPIC, OPERAND_NONE,
     "Move replicas to other brokers",
     "Gives a partition's replicas to the brokers of --to, or those of a whole topic: then each partition begins with another one of them, so that they all lead. "
     "Records are copied first; when the new replicas are in sync, the others go, in one step: nothing is less safe meanwhile, and records come and go as ever. "
     "Some copies are made at a time (the setting moves.per.broker), the others wait for their turn.\n\n"
     "On a terminal it shows how far it is. Ctrl-C only stops watching: the move goes on, also when brokers stop and come back. How many replicas a topic has is "
     "its setting: mesh topic alter NAME --set replicas=N. What was placed so stays there, unless a broker of it is gone for good: only 'mesh topic balance' "
     "and another move take it elsewhere.",
     "mesh topic move orders/2 --to b1,b2,b4\nmesh topic move orders --to b1,b2,b4 --no-wait\nmesh topic move orders --cancel",
     OPTIONS(topic_move_options), CLIENT},
    {COMMAND_TOPIC_BALANCE, "topic balance", "[TOPIC]", 0, 1, OPERAND_TOPIC, OPERAND_NONE,
     "Spread replicas evenly over the brokers",
     "Moves as few replicas as it takes to give all brokers as many, of one topic or of all together. A mesh does this by itself, gently, a while after a broker has joined, "
     "when the brokers are far apart, but for what somebody has placed with 'mesh topic move'; this does it now, for all, and to the end. Watching is as with 'mesh topic move'.",
     "mesh topic balance --dry-run\nmesh topic balance orders",
     OPTIONS(topic_balance_options), CLIENT},
    {COMMAND_TOPIC_TRIM, "topic trim", "TOPIC[/PARTITION]", 1, 1, OPERAND_TOPIC, OPERAND_NONE,
     "Delete a topic's oldest records",
     "Deletes the records of a partition, or of each partition of a topic, that lie before --to, for good: nobody reads them again, whichever broker leads later. It shows first what "
     "would go, and asks; --yes does not ask, --dry-run only shows. Offsets stay what they are. A group that stands before the first record hears that its offset is out of range, and 'mesh group reset' sets where it goes on (Kafka's clients go by "
     "their auto.offset.reset). The disks have the space back by whole segments (the setting segment.bytes), a while later. All brokers of the mesh have to be of a version that knows this, "
     "and none can go back to an earlier one afterwards.",
     "mesh topic trim orders/2 --to offset:100000\nmesh topic trim orders --to time:-7d --dry-run\nmesh topic trim orders --to end --yes",
     OPTIONS(topic_trim_options), CLIENT},
    {COMMAND_PRODUCE, "produce", "TOPIC [FILE]...", 1, SIZE_MAX, OPERAND_TOPIC, OPERAND_FILE,
     "Send records from standard input or files",
     "Sends records to a topic, from the files one after the other or from standard input; - stands for standard input. A topic that does not "
     "exist is created with the broker's defaults, which is said on standard error.\n\n"
     "Records are acknowledged when they are on disk, unless --acks or the topic's configuration say otherwise. The exit code is 0 only "
     "when every record was acknowledged. Reading stops at the first record that fails. Ctrl-C stops reading, waits for what "
     "was sent and exits with 130; a second Ctrl-C stops at once.",
     "mesh produce orders < file.txt  # one record per line\n"
     "mesh produce orders --key-delimiter : users.txt\n"
     "mesh produce images --format files *.png\n"
     "tail -f app.log | mesh produce logs",
     OPTIONS(produce_options), CLIENT},
    {COMMAND_CONSUME, "consume", "TOPIC", 1, 1, OPERAND_TOPIC, OPERAND_NONE,
     "Read records to standard output",
     "Writes a topic's records to standard output, in order within each partition, and waits for more. --until-end or --count end it; with "
     "--timeout it ends with exit code 4 when no record has come for so long. Without --timeout it waits for ever.\n\n"
     "With --group consumers that name the same group share the partitions, and each record goes to one of them. Where the group stands is committed after "
     "records were written; after a crash the last of them may come again. --from then says where a partition begins of which the group has committed "
     "nothing: beginning or end.\n\n"
     "--json is the same as --format json. A reader that goes away (as 'head' does) ends it quietly.",
     "mesh consume orders  # all, then what comes\n"
     "mesh consume orders --from end\n"
     "mesh consume orders --from offset:-10 --until-end\n"
     "mesh consume orders --from time:-1h --json | jq .value\n"
     "mesh consume orders --group billing  # any number of them",
     OPTIONS(consume_options), CLIENT},
    {COMMAND_STATUS, "status", "", 0, 0, OPERAND_NONE, OPERAND_NONE,
     "Say what is healthy, what is not, and what to do",
     "Shows the brokers, the partitions' health and every known problem with its remedy. Of each broker: its part in the coordination (coordinator, voter, learner, "
     "witness, or observer, who only follows) and its state (serving; fenced: without a session with the coordinator; draining: it gives its leadership away, because it stops or somebody drains it; disk failed). "
     "Beneath what is wrong stands what the answering broker noted last, and when. The exit code is 0 whenever a broker answered; with --check it is 1 when something is wrong.",
     "mesh status\nmesh status --json\nmesh status --check > /dev/null || page somebody",
     OPTIONS(status_options), CLIENT},
    {COMMAND_EVENTS, "events", "", 0, 0, OPERAND_NONE, OPERAND_NONE,
     "Show what has happened: elections, fences, repairs, losses",
     "Asks every broker of the mesh what it has noted since its start, the newest 1,024 notes, warnings and errors each, and prints them in the order of their times, by the brokers' clocks. What all "
     "brokers learn alike, as elections, each of them notes: --of names one. Of brokers that do not answer that is said on standard error, and the exit code is not 0; --follow says it once, and goes on. --json prints one "
     "object per line: {time_ms, broker, name, boot, sequence, level, kind, text}.",
     "mesh events --since 10m\nmesh events --of b2 --follow\nmesh events --json | jq 'select(.level == \"error\")'",
     OPTIONS(events_options), CLIENT},
    {COMMAND_DRAIN, "drain", "[BROKER]...", 0, 64, OPERAND_NONE, OPERAND_NONE,
     "Have brokers give their leadership away, before they are stopped",
     "Each broker (by name or uuid; without one, the broker that answers) leads nothing from then on, as far as other in-sync replicas can take over, and gets no new partitions. It goes on "
     "answering: requests that come to it are sent on, so that clients notice nothing. It gives up its place among the in-sync replicas, as when it stops. 'mesh status' shows it as "
     "draining.\n\n"
     "Waits until it leads nothing, at most --timeout for all of it (then the exit code is 4, and it goes on, as it does after Ctrl-C). --undo lets it lead again, and keeps it from being emptied; a start lets it lead again, too: what a preStop hook has drained comes back by "
     "itself. Leadership goes back to it gently. Where no other broker could take over it is refused, and nothing is changed.\n\n"
     "--empty is for one that is to go for good: its replicas are copied to others, a few at a time (the setting moves.per.broker), and each is given up when the copy is in sync, so that "
     "nothing is less safe meanwhile. Until then it leads and serves them. It is kept over a restart, until --undo. Waits until it keeps none; then it can be stopped, and removed with 'mesh remove'. Where the others are too few for "
     "the copies that are wanted it is refused.",
     "mesh drain b2\nmesh drain b4 --empty --timeout 1h  # then stop it, and: mesh remove b4\nmesh drain --self --timeout 20s  # a preStop hook\nmesh drain b2 --undo",
     OPTIONS(drain_options), CLIENT},
    {COMMAND_CONFIG_LIST, "config list", "", 0, 0, OPERAND_NONE, OPERAND_NONE,
     "Show every setting of a broker, and where its value comes from",
     "A value comes from an option, the environment, the file of --config, or is kept since 'mesh config set'; else it is the default. What is live may be changed while the broker "
     "runs; of the others that are read at its start 'mesh help settings' says how. --json prints {broker, name, file, settings: [{key, value, unit, values, default, source, scope, live, "
     "kept, at_start, help}]}.",
     "mesh config list\nmesh config list --of b2 --changed\nmesh config list --json | jq -r '.settings[] | select(.live) | .key'",
     OPTIONS(config_list_options), CLIENT},
    {COMMAND_CONFIG_GET, "config get", "KEY...", 1, 32, OPERAND_SETTING, OPERAND_SETTING,
     "Show some settings, of every broker",
     "One line for each broker and key. --json prints one object per line: {broker, name, key, value, unit, values, default, source, scope, live, kept, at_start, help}.",
     "mesh config get log-level\nmesh config get connections.max memory.bytes.max --of b2 --json",
     OPTIONS(config_options), CLIENT},
    {COMMAND_CONFIG_SET, "config set", "KEY=VALUE...", 1, 32, OPERAND_SETTING, OPERAND_SETTING,
     "Change settings of running brokers, and keep them",
     "Each broker judges all of them before it changes any. They hold at once, and after restarts: a broker keeps them in the file settings of its data directory. At a start "
     "options come before the environment, that before the file of --config, and that before what is kept; where one of these will undo the change that is said.\n\n"
     "Settings that are not live are refused, and nothing is changed: they are read at a start alone. A broker that does not answer is named, and the exit code is 1: do it again when it is "
     "back. Without --of all brokers of the mesh are changed.",
     "mesh config set log-level=debug --of b2\nmesh config set moves.per.broker=8  # copy faster while nobody minds\nmesh config set connections.max=20000 memory.bytes.max=1g",
     OPTIONS(config_options), CLIENT},
    {COMMAND_CONFIG_UNSET, "config unset", "KEY...", 1, 32, OPERAND_SETTING, OPERAND_SETTING,
     "Take back what 'mesh config set' has changed",
     "The settings go back to what the broker was told at its start, or to their defaults, at once, and nothing is kept of them.",
     "mesh config unset log-level",
     OPTIONS(config_options), CLIENT},
    {COMMAND_TOP, "top", "", 0, 0, OPERAND_NONE, OPERAND_NONE,
     "Show what the mesh is doing, live",
     "Shows for each broker, for the busiest topics and for the groups furthest behind what they did since the last look: records and bytes a second, how long "
     "acknowledgements and syncs take, CPU, memory, disk. On a terminal it is drawn anew every --interval until q or Ctrl-C; elsewhere it is printed once. The figures are those of "
     "each broker's /metrics, so every broker has to be reachable from here; one that is not is shown without.",
     "mesh top\nmesh top --interval 5s\nmesh top --json --count 10",
     OPTIONS(top_options), CLIENT},
    {COMMAND_DOCTOR, "doctor", "[SEED]...", 0, SIZE_MAX, OPERAND_NONE, OPERAND_NONE,
     "Look before a start whether this machine and these settings are fit for a broker",
     "Takes the line of 'mesh serve' or 'mesh join' with another first word, and the same file and environment. Looks at the limits of this user, the clock (also against the seeds'), the "
     "cluster key, the data directory (who may write there, filesystem, space, how long an fsync takes), the port, the address that others are told, and the seeds: their names, and whether "
     "brokers of this key answer there, as a first handshake tells. Changes nothing and leaves nothing behind.\n\n"
     "One line for each finding: ok, warning or error, and what to do. The exit code is 1 when there is an error; 2 when the settings themselves are wrong.",
     "mesh doctor\nmesh doctor --data /srv/mesh --listen 0.0.0.0:9092 b1.example.org b2.example.org\nmesh doctor --json --config /etc/mesh.conf",
     OPTIONS(doctor_options), false},
    {COMMAND_WHY, "why", "TOPIC/PARTITION", 1, 1, OPERAND_NONE, OPERAND_NONE,
     "Say why a partition is led and kept as it is",
     "Shows where its replicas are, what cannot be done with it now and why, who leads the partition, since which epoch and for what reason, and every candidate with the score that it had when that was decided: "
     "1,000,000 for being in sync, 100,000 for each step (0 to 9) of how far its log reaches, 50,000 for standing in the preferred zone, 4,000 for each point of health (0 to 10), "
     "30 for each point of idleness (0 to 100), 900 for having been placed as leader. The highest wins.",
     "mesh why orders/0\nmesh why orders/0 --json",
     NO_OPTIONS, CLIENT},
    {COMMAND_BENCH_PRODUCE, "bench produce", "", 0, 0, OPERAND_NONE, OPERAND_NONE,
     "Measure producing",
     "Sends records as fast as the broker acknowledges them, or at a fixed rate, and prints records and bytes per second, the latency of "
     "acknowledgements, and CPU-seconds per GB (1 GB = 10^9 bytes of values).",
     "mesh bench produce --record-size 1KiB --records 1000000\n"
     "mesh bench produce --rate 5000 --batch-records 1 --seconds 10 --flush async",
     OPTIONS(bench_produce_options), CLIENT},
    {COMMAND_BENCH_CONSUME, "bench consume", "", 0, 0, OPERAND_NONE, OPERAND_NONE,
     "Measure consuming",
     "Reads a topic from its beginning to its end and prints records and bytes per second and CPU-seconds per GB. Without --topic it first "
     "fills a temporary one with --records records.",
     "mesh bench consume --records 1000000 --record-size 1KiB --warm-up",
     OPTIONS(bench_consume_options), CLIENT},
    {COMMAND_BENCH_LATENCY, "bench latency", "", 0, 0, OPERAND_NONE, OPERAND_NONE,
     "Measure one record at a time",
     "Sends one record, waits for its acknowledgement, and sends the next; prints the distribution of the times.",
     "mesh bench latency --records 10000 --record-size 100",
     OPTIONS(bench_latency_options), CLIENT},
    {COMMAND_BENCH_GROUPS, "bench groups", "", 0, 0, OPERAND_NONE, OPERAND_NONE,
     "Measure committing offsets",
     "Each group has one member that has all partitions of the topic and commits all of them at once, one commit after another; prints committed offsets per second "
     "(as records) and the latency of commits. A commit is acknowledged when every replica of the group's partition that may lead next has it on its disk.",
     "mesh bench groups --groups 8 --partitions 1000\n"
     "mesh bench groups --groups 1 --partitions 1",
     OPTIONS(bench_groups_options), CLIENT},
    {COMMAND_VERSION, "version", "", 0, 0, OPERAND_NONE, OPERAND_NONE,
     "Print the version",
     "Prints the version of this program.",
     "mesh version",
     NO_OPTIONS, false},
    {COMMAND_HELP, "help", "[COMMAND|TOPIC]...", 0, 2, OPERAND_COMMAND, OPERAND_COMMAND,
     "Explain a command or a subject",
     "Without an argument lists the commands; with one explains it.",
     "mesh help produce\nmesh help topic create\nmesh help formats",
     NO_OPTIONS, false},
};

/* clang-format on */
