#include "replication/groups/pattern.h"

#include "replication/coordinator/topic_name.h"

#include <stdio.h>

static bool is_harmless(const char *text)
{
    for (const char *at = text; *at != '\0'; at++) {
        if (*at == '{') return false;
        if (*at != '\\') continue;
        at++;
        if (*at == '\0' || (*at >= '0' && *at <= '9')) return false;
    }
    return true;
}

int group_pattern_init(struct group_pattern *pattern, struct slice text)
{
    char copy[GROUP_PATTERN_SIZE_MAX + 1], whole[GROUP_PATTERN_SIZE_MAX + 8];
    int code;

    if (text.size == 0 || text.size > GROUP_PATTERN_SIZE_MAX || memchr(text.data, 0, text.size) != NULL) return MESH_EINVALID_PATTERN;
    memcpy(copy, text.data, text.size);
    copy[text.size] = '\0';
    if (!is_harmless(copy) || topic_name_is_internal(copy[0] == '^' ? copy + 1 : copy)) return MESH_EINVALID_PATTERN;
    snprintf(whole, sizeof(whole), "^(%s)$", copy);
    /* By itself first: "a)(b" would be whole only between our brackets. */
    for (int i = 0; i < 2; i++) {
        code = regcomp(&pattern->regex, i == 0 ? copy : whole, REG_EXTENDED | REG_NOSUB);
        if (code != 0) return code == REG_ESPACE ? MESH_ENOMEM : MESH_EINVALID_PATTERN;
        if (i == 0) regfree(&pattern->regex);
    }
    return 0;
}

void group_pattern_deinit(struct group_pattern *pattern)
{
    regfree(&pattern->regex);
}

bool group_pattern_matches(const struct group_pattern *pattern, struct slice topic_name)
{
    char name[GROUP_TOPIC_NAME_MAX + 1];

    if (topic_name.size > GROUP_TOPIC_NAME_MAX) return false;
    memcpy(name, topic_name.data, topic_name.size);
    name[topic_name.size] = '\0';
    return !topic_name_is_internal(name) && regexec(&pattern->regex, name, 0, NULL, 0) == 0;
}
