/* Whether this broker may take part in a founding now, and what it tells people while it waits. */
#include "replication/founding/internal.h"

#include <stdio.h>

#define SAY_EVERY_US 1000000 /* at most */

/* ---- reasons ---- */

static unsigned count_present(const struct founding *founding, uint64_t now_us)
{
    unsigned present = 1;

    for (size_t i = 0; i < founding->peer_count; i++) {
        const struct founding_peer *peer = &founding->peers[i];
        present += peer->expect == founding->expect && founding_peer_is_present(founding, peer, now_us);
    }
    return present;
}

static const struct founding_peer *find_different(const struct founding *founding, uint64_t now_us)
{
    for (size_t i = 0; i < founding->peer_count; i++) {
        const struct founding_peer *peer = &founding->peers[i];
        if (peer->expect != 0 && peer->expect != founding->expect && founding_peer_is_present(founding, peer, now_us)) return peer;
    }
    return NULL;
}

static const struct founding_peer *find_marked(const struct founding *founding, uint64_t now_us)
{
    for (size_t i = 0; i < founding->peer_count; i++) {
        const struct founding_peer *peer = &founding->peers[i];
        if (peer->refusal == FOUNDING_REFUSES_MARKED && founding_peer_is_present(founding, peer, now_us)) return peer;
    }
    return NULL;
}

enum founding_refusal founding_refusal(const struct founding *founding, uint64_t now_us)
{
    if (founding->is_barred) return FOUNDING_REFUSES_MARKED;
    if (founding->is_changed) return FOUNDING_REFUSES_CHANGED;
    if (founding->expect == 0 || founding->options.mode == FOUNDING_SERVE) return FOUNDING_WILLING;
    if (founding->wanted.is_set_back) return FOUNDING_REFUSES_SET_BACK;
    if (founding->is_crowded) return FOUNDING_REFUSES_CROWD;
    if (find_marked(founding, now_us) != NULL && !FOUNDING_DEFECT(founding, MARKER_IGNORED)) return FOUNDING_REFUSES_OTHERS_MARKED;
    if (find_different(founding, now_us) != NULL) return FOUNDING_REFUSES_DIFFERENT;
    if (count_present(founding, now_us) > founding->expect && !FOUNDING_DEFECT(founding, MORE_ARE_WELCOME))
        return FOUNDING_REFUSES_MORE;
    return FOUNDING_WILLING;
}

/* ---- sentences ---- */

struct founding_line *founding_say(struct founding *founding, bool is_warning, const char *format, ...)
{
    struct founding_line *line = &founding->lines[FOUNDING_LOGS_MAX - 1]; /* too many at once: the newest */
    va_list arguments;

    if (founding->line_count < FOUNDING_LOGS_MAX) line = &founding->lines[founding->line_count++];
    line->is_warning = is_warning;
    line->cure[0] = '\0';
    va_start(arguments, format);
    vsnprintf(line->text, sizeof(line->text), format, arguments);
    va_end(arguments);
    return line;
}

static void set_cure(struct founding_line *line, const char *cure)
{
    snprintf(line->cure, sizeof(line->cure), "%s", cure);
}

/* "10.0.0.1:9092 (1b9d6bcd)": where it is, and the beginning of its uuid. */
static void append_name(char *to, size_t size, const struct founding_peer *peer)
{
    char address[NET_ADDRESS_STRING_SIZE], uuid[UUID_STRING_SIZE];
    size_t at = strlen(to);

    snprintf(to + at, size - at, "%s%s (%.8s)", at == 0 ? "" : ", ",
             net_address_is_none(&peer->address) ? "somewhere" : net_address_format(&peer->address, address),
             uuid_format(&peer->server.broker, uuid));
}

enum who { READY, PRESENT };

static void list_names(const struct founding *founding, uint64_t now_us, enum who who, char *to, size_t size)
{
    unsigned more = 0;

    to[0] = '\0';
    for (size_t i = 0; i < founding->peer_count; i++) {
        const struct founding_peer *peer = &founding->peers[i];
        bool is_one = who == READY ? founding_peer_is_ready(founding, peer, now_us)
                                   : peer->expect == founding->expect && founding_peer_is_present(founding, peer, now_us);
        if (!is_one) continue;
        if (strlen(to) + 2 * NET_ADDRESS_STRING_SIZE < size)
            append_name(to, size, peer);
        else
            more++;
    }
    if (more > 0) snprintf(to + strlen(to), size - strlen(to), " and %u more", more);
    if (to[0] == '\0') snprintf(to, size, "nobody");
}

static struct founding_line say_refusal(struct founding *founding, uint64_t now_us, enum founding_refusal refusal)
{
    struct founding_line line = {.is_warning = true};
    char names[FOUNDING_TEXT_MAX / 2] = "", uuid[UUID_STRING_SIZE];
    const struct founding_peer *peer;

    switch (refusal) {
    case FOUNDING_REFUSES_MARKED:
        snprintf(line.text, sizeof(line.text),
                 "founds nothing: the marker %s says that this broker's mesh %s exists, but its directory is empty",
                 founding->options.marker_path != NULL ? founding->options.marker_path : "of the founding",
                 uuid_format(&founding->options.marker, uuid));
        set_cure(&line, "it joins that mesh as soon as one of its brokers answers. If that mesh is lost for good and a new one is to take "
                        "its place, remove the marker");
        break;
    case FOUNDING_REFUSES_CHANGED:
        snprintf(line.text, sizeof(line.text), "founds nothing: it has promised to found a mesh with --expect %u, and is started for %u now",
                 (unsigned)founding->stored.expect, founding->options.mode == FOUNDING_SERVE ? 1u : (unsigned)founding->options.expect);
        set_cure(&line, "start it as before; or, if no broker belongs to a mesh yet, start all of them with empty directories");
        break;
    case FOUNDING_REFUSES_CROWD:
        snprintf(line.text, sizeof(line.text), "founds nothing: more than %d disks take part", FOUNDING_SERVERS_MAX);
        set_cure(&line, "found the mesh with fewer brokers; the others join without --expect");
        break;
    case FOUNDING_REFUSES_SET_BACK:
        snprintf(line.text, sizeof(line.text), "founds nothing: others have heard from this disk what its directory does not hold. The directory was set back to an "
                                               "older state, or copied");
        set_cure(&line, "it joins as soon as one of the others belongs to a mesh. If it is to found with them, start it with an empty directory");
        break;
    case FOUNDING_REFUSES_OTHERS_MARKED:
        peer = find_marked(founding, now_us);
        if (peer == NULL) break;
        append_name(names, sizeof(names), peer);
        snprintf(line.text, sizeof(line.text), "founds nothing: the marker at %s says that its mesh %s exists", names,
                 uuid_format(&peer->marker, uuid));
        set_cure(&line, "start a broker of that mesh; if it is lost for good, remove the marker there");
        break;
    case FOUNDING_REFUSES_DIFFERENT:
        peer = find_different(founding, now_us);
        if (peer == NULL) break;
        append_name(names, sizeof(names), peer);
        snprintf(line.text, sizeof(line.text), "founds nothing: this broker was started with --expect %u, and %s with --expect %u",
                 (unsigned)founding->expect, names, (unsigned)peer->expect);
        set_cure(&line, "start all founders with the same --expect");
        break;
    default:
        list_names(founding, now_us, PRESENT, names, sizeof(names));
        snprintf(line.text, sizeof(line.text), "founds nothing: --expect %u, but %u brokers are here: this one, %s",
                 (unsigned)founding->expect, count_present(founding, now_us), names);
        set_cure(&line, "start all with the true number, or the surplus ones without --expect");
        break;
    }
    return line;
}

bool founding_is_short(const struct founding *founding, uint64_t now_us)
{
    unsigned needed = founding_needed(founding);

    return founding_present(founding, now_us) < needed || (founding->is_held_alone && needed == 1);
}

static struct founding_line say_short(const struct founding *founding, uint64_t now_us)
{
    struct founding_line line = {.is_warning = false};
    char names[FOUNDING_TEXT_MAX / 2];
    unsigned needed = founding_needed(founding);

    if (founding->expect == 0) {
        snprintf(line.text, sizeof(line.text), "waits for a mesh: none of %zu addresses belongs to one yet", founding->seed_count);
        set_cure(&line, "start one with 'mesh serve', or give --expect N to each of N brokers that are to found one together");
        return line;
    }
    if (founding->is_held_alone && needed == 1) {
        snprintf(line.text, sizeof(line.text), "waits: with --expect 1 it founds a mesh by itself only when it is known that every seed leads to this broker, and not to a mesh that is there");
        set_cure(&line, "start the broker that does not answer, or have its name known; to found a mesh here, name no other seed, or 'mesh serve'");
        return line;
    }
    list_names(founding, now_us, READY, names, sizeof(names));
    snprintf(line.text, sizeof(line.text), "waits for brokers: %u of the %u expected are here, %u are needed to found a mesh; besides this one: %s",
             founding_present(founding, now_us), (unsigned)founding->expect, needed, names);
    if (needed > founding->expect) {
        line.is_warning = true;
        set_cure(&line, "more disks took part than brokers are expected, and most are gone: bring them back; or, if no broker belongs to a "
                        "mesh yet, start all of them with empty directories");
    } else {
        set_cure(&line, "start the others; all need the same --expect and a way to each other");
    }
    return line;
}

void founding_say_waiting(struct founding *founding, uint64_t now_us)
{
    enum founding_refusal refusal;
    struct founding_line line;

    if (founding->wanted.phase == FOUNDING_MEMBER || now_us < founding->say_due_us) return;
    founding->say_due_us = now_us + SAY_EVERY_US;
    refusal = founding_refusal(founding, now_us);
    if (refusal == FOUNDING_WILLING && founding->expect != 0 && !founding_is_short(founding, now_us)) return;
    line = refusal != FOUNDING_WILLING ? say_refusal(founding, now_us, refusal) : say_short(founding, now_us);
    if (line.text[0] == '\0' || strcmp(line.text, founding->said) == 0) return;
    memcpy(founding->said, line.text, sizeof(founding->said));
    set_cure(founding_say(founding, line.is_warning, "%s", line.text), line.cure);
}
