#include "cmd/cli/recent_events.h"

#include "cmd/cli/terminal.h"

#include <string.h>

#define LEVEL_WARN  2
#define PAGES_MAX   64 /* answers: more than a broker keeps */

static const char *const level_names[] = {"debug", "info", "warn", "error"};

void recent_events_deinit(struct recent_events *recent)
{
    mesh_events_free(recent->events);
    *recent = (struct recent_events){0};
}

static bool is_worth_telling(const struct mesh_event_info *event)
{
    return event->level >= LEVEL_WARN;
}

/* The newest page of those that are kept. */
static struct mesh_events *newest_page(struct mesh_client *client)
{
    struct mesh_events *page = NULL, *next;
    uint64_t after = 0;

    for (int i = 0; i < PAGES_MAX; i++) {
        if (mesh_events_get(client, NULL, after, 0, &next) != 0) return page;
        mesh_events_free(page);
        page = next;
        after = mesh_events_info(page)->last;
        if (!mesh_events_info(page)->has_more) return page;
    }
    return page;
}

void recent_events_get(struct mesh_client *client, struct recent_events *ret_recent)
{
    const struct mesh_events_info *info;

    *ret_recent = (struct recent_events){.events = newest_page(client)};
    if (ret_recent->events == NULL) return;
    info = mesh_events_info(ret_recent->events);
    ret_recent->now_ms = info->now_ms;
    for (size_t i = info->event_count; i > 0 && ret_recent->count < RECENT_EVENTS_MAX; i--)
        if (is_worth_telling(&info->events[i - 1])) ret_recent->chosen[RECENT_EVENTS_MAX - 1 - ret_recent->count++] = &info->events[i - 1];
    memmove(ret_recent->chosen, &ret_recent->chosen[RECENT_EVENTS_MAX - ret_recent->count], ret_recent->count * sizeof(ret_recent->chosen[0]));
}

static int append_event(const struct recent_events *recent, const struct mesh_event_info *event, struct buffer *to)
{
    uint64_t age_ms = recent->now_ms > event->wall_ms ? recent->now_ms - event->wall_ms : 0;
    char age[TERMINAL_FIGURE_SIZE];
    int err = buffer_printf(to, "    %s ago: ", terminal_seconds((double)(age_ms / 1000), age));

    for (const char *at = event->text; *at != '\0' && err == 0; at++) /* whatever a text holds cannot move the cursor */
        err = buffer_append(to, (unsigned char)*at < 0x20 || *at == 0x7f ? "?" : at, 1);
    return err != 0 ? err : buffer_append(to, "\n", 1);
}

int recent_events_people(const struct recent_events *recent, struct buffer *to)
{
    int err = recent->count == 0 ? 0 : buffer_append_string(to, "  what happened last ('mesh events' shows all)\n");

    for (size_t i = 0; i < recent->count && err == 0; i++)
        err = append_event(recent, recent->chosen[i], to);
    return err;
}

void recent_events_json(const struct recent_events *recent, struct json_writer *json)
{
    json_writer_key(json, "events");
    json_writer_begin_array(json);
    for (size_t i = 0; i < recent->count; i++) {
        const struct mesh_event_info *event = recent->chosen[i];

        json_writer_begin_object(json);
        json_writer_key(json, "time_ms");
        json_writer_unsigned(json, event->wall_ms);
        json_writer_key(json, "level");
        json_writer_text(json, level_names[event->level & 3]);
        json_writer_key(json, "kind");
        json_writer_text(json, event->kind);
        json_writer_key(json, "text");
        json_writer_text(json, event->text);
        json_writer_end_object(json);
    }
    json_writer_end_array(json);
}
