#include "prometheus_check.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SAMPLES_MAX     20000
#define FAMILY_NAME_MAX 128

struct family {
    char name[FAMILY_NAME_MAX];
    char type[16];
    bool has_help, has_type;
};

struct check {
    struct family now;
    char *finished[2000]; /* names of families that have ended */
    size_t finished_count;
    char *samples[SAMPLES_MAX]; /* name and labels */
    size_t sample_count;
    char series[512]; /* of the buckets at hand: labels without le */
    double last_bucket, inf_bucket;
    bool has_inf;
};

static char problem[256];

static const char *complain(const char *what, const char *line)
{
    snprintf(problem, sizeof(problem), "%s: %.150s", what, line);
    return problem;
}

static size_t name_size(const char *at)
{
    size_t size = 0;

    if (!isalpha((unsigned char)*at) && *at != '_' && *at != ':') return 0;
    while (isalnum((unsigned char)at[size]) || at[size] == '_' || at[size] == ':')
        size++;
    return size;
}

static const char *begin_family(struct check *check, const char *name, size_t size, const char *line)
{
    if (strlen(check->now.name) == size && memcmp(check->now.name, name, size) == 0) return NULL;
    if (check->now.name[0] != '\0') check->finished[check->finished_count++] = strdup(check->now.name);
    memset(&check->now, 0, sizeof(check->now));
    if (size >= FAMILY_NAME_MAX) return complain("name too long", line);
    memcpy(check->now.name, name, size);
    check->has_inf = false;
    check->series[0] = '\0';
    for (size_t i = 0; i < check->finished_count; i++) {
        if (strcmp(check->finished[i], check->now.name) == 0) return complain("family is not together", line);
    }
    return NULL;
}

static const char *check_comment(struct check *check, const char *line)
{
    bool is_help = strncmp(line, "# HELP ", 7) == 0;
    size_t size = name_size(line + 7);
    const char *wrong, *rest;

    if (!is_help && strncmp(line, "# TYPE ", 7) != 0) return complain("unknown comment", line);
    if (size == 0 || line[7 + size] != ' ') return complain("bad name", line);
    wrong = begin_family(check, line + 7, size, line);
    if (wrong != NULL) return wrong;
    rest = line + 8 + size;
    if (is_help) {
        if (check->now.has_help || *rest == '\0') return complain("second or empty HELP", line);
        check->now.has_help = true;
        return NULL;
    }
    if (check->now.has_type || !check->now.has_help) return complain("second TYPE, or before HELP", line);
    if (strcmp(rest, "counter") != 0 && strcmp(rest, "gauge") != 0 && strcmp(rest, "histogram") != 0)
        return complain("unknown type", line);
    check->now.has_type = true;
    snprintf(check->now.type, sizeof(check->now.type), "%s", rest);
    size = strlen(check->now.name);
    if ((strcmp(rest, "counter") == 0) != (size > 6 && strcmp(check->now.name + size - 6, "_total") == 0))
        return complain("_total is for counters, and all of them", line);
    return NULL;
}

/* The labels' end ("}" included), or NULL. */
static const char *skip_labels(const char *at)
{
    for (at++; *at != '}';) {
        size_t size = name_size(at);
        if (size == 0 || at[size] != '=' || at[size + 1] != '"') return NULL;
        for (at += size + 2; *at != '"'; at++) {
            if (*at == '\0' || *at == '\n') return NULL;
            if (*at == '\\' && strchr("\\\"n", *++at) == NULL) return NULL;
        }
        if (*++at == ',') at++;
    }
    return at + 1;
}

static const char *check_bucket(struct check *check, const char *labels, size_t size, double value,
                                const char *line)
{
    char series[512];
    const char *le = strstr(labels, "le=\"");

    if (le == NULL || (size_t)(le - labels) >= size) return complain("bucket without le", line);
    snprintf(series, sizeof(series), "%.*s", (int)(le - labels), labels);
    if (strcmp(series, check->series) != 0) {
        if (check->series[0] != '\0' && !check->has_inf) return complain("no +Inf before", line);
        snprintf(check->series, sizeof(check->series), "%s", series);
        check->last_bucket = 0;
        check->has_inf = false;
    }
    if (value < check->last_bucket) return complain("buckets fall", line);
    check->last_bucket = value;
    if (strncmp(le, "le=\"+Inf\"", 9) == 0) {
        check->has_inf = true;
        check->inf_bucket = value;
    }
    return NULL;
}

static const char *check_sample(struct check *check, const char *line)
{
    size_t size = name_size(line), family = strlen(check->now.name);
    const char *labels = line + size, *at = labels;
    bool is_histogram = strcmp(check->now.type, "histogram") == 0;
    char *end;
    double value;

    if (size == 0) return complain("bad name", line);
    if (*at == '{') at = skip_labels(at);
    if (at == NULL || *at != ' ') return complain("bad labels", line);
    value = strtod(at + 1, &end);
    if (end == at + 1 || *end != '\0') return complain("bad value", line);
    if (!check->now.has_type || strncmp(line, check->now.name, family) != 0)
        return complain("sample outside its family", line);
    if (!is_histogram && size != family) return complain("sample of another family", line);
    if (is_histogram && strncmp(line + family, "_bucket", 7) == 0) {
        const char *wrong = check_bucket(check, labels, (size_t)(at - labels), value, line);
        if (wrong != NULL) return wrong;
    } else if (is_histogram && strncmp(line + family, "_count", 6) == 0) {
        if (!check->has_inf || value != check->inf_bucket)
            return complain("_count is not the +Inf bucket", line);
    } else if (is_histogram && strncmp(line + family, "_sum", 4) != 0) {
        return complain("sample of no histogram", line);
    }
    for (size_t i = 0; i < check->sample_count; i++) {
        if (strncmp(check->samples[i], line, (size_t)(at - line)) == 0 &&
            check->samples[i][at - line] == '\0')
            return complain("sample twice", line);
    }
    if (check->sample_count == SAMPLES_MAX) return complain("too many samples", line);
    check->samples[check->sample_count++] = strndup(line, (size_t)(at - line));
    return NULL;
}

const char *prometheus_check(const char *text, size_t size)
{
    struct check *check = calloc(1, sizeof(*check));
    char *copy = strndup(text, size), *line = copy;
    const char *wrong = NULL;

    if (size == 0 || text[size - 1] != '\n') wrong = complain("no newline at the end", "");
    while (wrong == NULL && *line != '\0') {
        char *end = strchr(line, '\n');
        *end = '\0';
        wrong = *line == '#' ? check_comment(check, line) : check_sample(check, line);
        line = end + 1;
    }
    for (size_t i = 0; i < check->finished_count; i++)
        free(check->finished[i]);
    for (size_t i = 0; i < check->sample_count; i++)
        free(check->samples[i]);
    free(copy);
    free(check);
    return wrong;
}

bool prometheus_value(const char *text, const char *sample, double *ret_value)
{
    size_t size = strlen(sample);

    for (const char *at = text; (at = strstr(at, sample)) != NULL; at += size) {
        if ((at != text && at[-1] != '\n') || at[size] != ' ') continue;
        *ret_value = strtod(at + size + 1, NULL);
        return true;
    }
    return false;
}
