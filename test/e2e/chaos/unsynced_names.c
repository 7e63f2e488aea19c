#include "unsynced_names.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NAME_BYTES 32

/* One change, in the order in which they were made: a list, oldest first. */
struct change {
    struct change *next;
    char *from, *to;          /* NULL: created, removed */
    char stashed[NAME_BYTES]; /* what `to` was, or what was removed; "": nothing */
};

static int root_fd = -1, stash_fd = -1;
static struct change *changes, **changes_end = &changes;
static unsigned long stash_number;

void names_init(int root, int stash)
{
    root_fd = root;
    stash_fd = stash;
}

static void change_free(struct change *change)
{
    if (change == NULL) return;
    free(change->from);
    free(change->to);
    free(change);
}

static struct change *change_new(const char *from, const char *to)
{
    struct change *change = calloc(1, sizeof(*change));

    if (change == NULL) return NULL;
    if (from != NULL) change->from = strdup(from);
    if (to != NULL) change->to = strdup(to);
    if ((from != NULL) == (change->from != NULL) && (to != NULL) == (change->to != NULL)) return change;
    change_free(change);
    return NULL;
}

static void remember(struct change *change)
{
    *changes_end = change;
    changes_end = &change->next;
}

static void new_stash_name(char name[NAME_BYTES])
{
    snprintf(name, NAME_BYTES, "%lu", stash_number++);
}

int names_created(const char *path)
{
    struct change *change = change_new(NULL, path);

    if (change == NULL) return -ENOMEM;
    remember(change);
    return 0;
}

int names_remove(const char *path)
{
    struct change *change = change_new(path, NULL);

    if (change == NULL) return -ENOMEM;
    new_stash_name(change->stashed);
    if (renameat(root_fd, path, stash_fd, change->stashed) != 0) {
        change_free(change);
        return -errno;
    }
    remember(change);
    return 0;
}

int names_rename(const char *from, const char *to)
{
    struct change *change = change_new(from, to);
    int err;

    if (change == NULL) return -ENOMEM;
    new_stash_name(change->stashed);
    /* A hard link: the name must at no moment be without a file. Directories have none, and are not replaced
     * here. */
    if (linkat(root_fd, to, stash_fd, change->stashed, 0) != 0) change->stashed[0] = '\0';
    if (renameat(root_fd, from, root_fd, to) == 0) {
        remember(change);
        return 0;
    }
    err = -errno;
    if (change->stashed[0] != '\0') unlinkat(stash_fd, change->stashed, 0);
    change_free(change);
    return err;
}

static bool lies_in(const char *path, const char *directory)
{
    const char *slash = strrchr(path, '/');
    size_t length = slash != NULL ? (size_t)(slash - path) : 0;

    return strlen(directory) == length && memcmp(path, directory, length) == 0;
}

static void empty_stash(const struct change *change)
{
    if (change->stashed[0] == '\0') return;
    if (unlinkat(stash_fd, change->stashed, 0) != 0) unlinkat(stash_fd, change->stashed, AT_REMOVEDIR);
}

void names_sync(const char *directory)
{
    struct change **link = &changes;

    while (*link != NULL) {
        struct change *change = *link;

        if (!lies_in(change->to != NULL ? change->to : change->from, directory)) {
            link = &change->next;
            continue;
        }
        *link = change->next;
        empty_stash(change);
        change_free(change);
    }
    changes_end = link;
}

/* Best effort, as far as it can still be told: a directory above may have been renamed since. */
static void take_back(const struct change *change)
{
    char lost[NAME_BYTES];

    if (change->from == NULL) {
        new_stash_name(lost);
        renameat(root_fd, change->to, stash_fd, lost); /* with all that is in it, if it is a directory */
        unlinkat(stash_fd, lost, 0);
        return;
    }
    if (change->to != NULL) renameat(root_fd, change->to, root_fd, change->from);
    if (change->stashed[0] != '\0')
        renameat(stash_fd, change->stashed, root_fd, change->to != NULL ? change->to : change->from);
}

size_t names_cut(bool (*survives)(void))
{
    size_t lost = 0;
    struct change *newest = NULL;

    while (changes !=
           NULL) { /* turns the list around, without what has reached the disk: those that come first */
        struct change *change = changes;

        changes = change->next;
        if (newest == NULL && survives != NULL && survives()) {
            empty_stash(change);
            change_free(change);
            continue;
        }
        change->next = newest;
        newest = change;
    }
    changes_end = &changes;
    while (newest != NULL) {
        struct change *change = newest;

        newest = change->next;
        take_back(change);
        change_free(change);
        lost++;
    }
    return lost;
}
