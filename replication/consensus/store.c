/* consensus/store.c - opening and closing, names, and the rule for errors. See store.h. */
#include "replication/consensus/store_internal.h"

#include "base/error.h"

#include <stdio.h>
#include <stdlib.h>

#ifdef MESH_TEST_SWITCHES
unsigned raft_store_defects;

void raft_store_bring_back(enum store_defect defect)
{
    raft_store_defects = defect == STORE_DEFECT_NONE ? 0 : raft_store_defects | 1u << defect;
}
#endif

#define NUMBER_DIGITS 20

/* Without printf(), since every operation on a file comes by here. What does not fit is cut. Returns where the text ends. */
static size_t put_text(char path[FS_PATH_MAX], size_t at, const char *text)
{
    while (*text != '\0' && at < FS_PATH_MAX - 1)
        path[at++] = *text++;
    path[at] = '\0';
    return at;
}

static size_t put_path(const struct raft_store *store, char path[FS_PATH_MAX], const char *name)
{
    size_t end = put_text(path, 0, store->directory);

    return put_text(path, put_text(path, end, "/"), name);
}

const char *store_path(const struct raft_store *store, char path[FS_PATH_MAX], const char *name)
{
    put_path(store, path, name);
    return path;
}

const char *store_numbered_path(const struct raft_store *store, char path[FS_PATH_MAX], const char *prefix, uint64_t number)
{
    char digits[NUMBER_DIGITS + 1] = {0};

    for (size_t i = NUMBER_DIGITS; i-- > 0; number /= 10)
        digits[i] = (char)('0' + number % 10);
    put_text(path, put_path(store, path, prefix), digits);
    return path;
}

int store_begin_change(struct raft_store *store)
{
    store_forget_recovered(store);
    return store->error;
}

int store_poison(struct raft_store *store, int err)
{
    if (store->error == 0) store->error = err;
    return err;
}

int store_sync(struct raft_store *store, struct fs_file *file)
{
    int err = store->fs->ops->sync(file);

    if (err != 0 && STORE_DEFECT(SYNC_RETRIED)) err = store->fs->ops->sync(file);
    return err == 0 ? 0 : store_poison(store, err);
}

int store_sync_directory(struct raft_store *store)
{
    int err = store->fs->ops->sync_dir(store->fs, store->directory);

    return err == 0 ? 0 : store_poison(store, err);
}

void store_forget_recovered(struct raft_store *store)
{
    struct store_recovered *recovered = &store->recovered;

    if (recovered->is_forgotten) return; /* each append asks */
    for (size_t i = 0; i < recovered->file_count; i++)
        free(recovered->files[i]);
    free(recovered->files);
    free(recovered->entries);
    *recovered = (struct store_recovered){.raft = {.term = 0}, .is_forgotten = true};
}

int raft_store_open(struct fs *fs, const char *directory, const struct raft_server *self, raft_chain_fn *chain,
                    struct raft_store **ret_store, const struct raft_recovered **ret_recovered,
                    struct raft_store_report *ret_report, char *message, size_t message_size)
{
    struct raft_store_report report = {.torn_bytes = 0};
    struct raft_store *store;
    int err;

    snprintf(message, message_size, "the directory's name is empty or too long");
    if (directory[0] == '\0' || strlen(directory) > STORE_DIRECTORY_MAX) return MESH_EINVAL;
    snprintf(message, message_size, "%s", mesh_strerror(MESH_ENOMEM));
    store = calloc(1, sizeof(*store));
    if (store == NULL) return MESH_ENOMEM;
    message[0] = '\0';
    store->fs = fs;
    store->chain = chain;
    store->segment_bytes_max = STORE_SEGMENT_BYTES_MAX;
    snprintf(store->directory, sizeof(store->directory), "%s", directory);
    err = store_recover(store, self, &report, message, message_size);
    if (err != 0) {
        if (message[0] == '\0')
            snprintf(message, message_size, "DIR/%s cannot be read or written: %s", directory, mesh_strerror(err));
        store_poison(store, err); /* so that the close writes no mark */
        raft_store_close(store);
        return err;
    }
    *ret_store = store;
    *ret_recovered = &store->recovered.raft;
    *ret_report = report;
    return 0;
}

void raft_store_close(struct raft_store *store)
{
    if (store == NULL) return;
    store_forget_recovered(store);
    store_writer_free(store, &store->made, STORE_PATH_MADE);
    store_writer_free(store, &store->received, STORE_PATH_RECEIVED);
    if (store->error == 0 && store->last != 0) {
        store_mark_write(store);
        if (store->mark_file != NULL) store->fs->ops->sync(store->mark_file); /* a mark that is lost only knows less */
    }
    fs_unref(store->tail);
    fs_unref(store->mark_file);
    fs_unref(store->state_file);
    free(store->segments);
    free(store->lives);
    free(store);
}

int raft_store_error(const struct raft_store *store)
{
    return store->error;
}

void raft_store_note_committed(struct raft_store *store, uint64_t index)
{
    if (index > store->committed) store->committed = index;
}
