/* consensus/store_lives.c - the record of this server's lives, and of what it knows of others' (lives.c); and how a server that was set back is
 * given up. The file is replaced as a whole: a few kilobytes at each start, and when another server has restarted. */
#include "replication/consensus/store_internal.h"

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/error.h"
#include "base/fs_whole.h"

#include <stdio.h>
#include <stdlib.h>

#define FILE_SIZE_MAX (STORE_LIVES_HEAD_SIZE + (RAFT_PAST_MAX + RAFT_OTHERS_MAX) * STORE_CLAIM_SIZE + 4)

/* ---- the file ---- */

static int lives_write(struct raft_store *store)
{
    struct store_lives *lives = store->lives;
    struct store_lives_head head = {store->state.self, lives->life, (uint32_t)lives->past_count, (uint32_t)lives->other_count};
    uint8_t *bytes = malloc(FILE_SIZE_MAX), *at;
    char path[FS_PATH_MAX], temporary[FS_PATH_MAX];
    int err;

    if (bytes == NULL) return MESH_ENOMEM;
    at = bytes + STORE_LIVES_HEAD_SIZE;
    store_lives_head_encode(&head, bytes);
    for (size_t i = 0; i < lives->past_count; i++, at += STORE_CLAIM_SIZE)
        store_claim_encode(&(struct raft_other){.claim = lives->past[i]}, at);
    for (size_t i = 0; i < lives->other_count; i++, at += STORE_CLAIM_SIZE)
        store_claim_encode(&lives->others[i], at);
    le_store32(at, crc32c(bytes, (size_t)(at - bytes)));
    err = fs_replace(store->fs, store->directory, store_path(store, path, STORE_PATH_LIVES),
                     store_path(store, temporary, STORE_PATH_LIVES ".new"), slice_of(bytes, (size_t)(at - bytes) + 4));
    free(bytes);
    if (err == 0) lives->has_news = false;
    return err;
}

static void lives_take(struct store_lives *lives, const struct store_lives_head *head, const uint8_t *at)
{
    struct raft_other other;

    lives->life = head->life;
    lives->past_count = head->past_count;
    lives->other_count = head->other_count;
    for (size_t i = 0; i < lives->past_count; i++, at += STORE_CLAIM_SIZE) {
        store_claim_decode(at, &other);
        lives->past[i] = other.claim;
    }
    for (size_t i = 0; i < lives->other_count; i++, at += STORE_CLAIM_SIZE)
        store_claim_decode(at, &lives->others[i]);
}

/* A file that cannot be read, or is another server's, tells nothing. */
static int lives_read(struct raft_store *store)
{
    struct buffer bytes = BUFFER_INIT;
    struct store_lives_head head;
    char path[FS_PATH_MAX];
    int err = fs_read_whole(store->fs, store_path(store, path, STORE_PATH_LIVES), FILE_SIZE_MAX, &bytes);

    if (err == 0 && store_lives_head_decode(buffer_slice(&bytes), &head) == 0 && raft_server_equal(&head.self, &store->state.self))
        lives_take(store->lives, &head, bytes.data + STORE_LIVES_HEAD_SIZE);
    buffer_deinit(&bytes);
    return err == MESH_ENOMEM ? err : 0;
}

/* ---- a life begins ---- */

/* What the life that ended has left. Where entries are damaged it did hold them, and has lost them in another way. */
static struct raft_claim legacy(const struct raft_store *store)
{
    const struct raft_recovered *raft = &store->recovered.raft;
    uint64_t last_term = raft->entry_count != 0 ? raft->entries[raft->entry_count - 1].term : raft->snapshot.term;
    struct raft_claim claim = {.life = store->lives->life, .term = raft->term, .durable = store->last};

    claim.has_voted = !uuid_is_zero(&raft->voted_for.broker);
    if (last_term > claim.term) {
        claim.term = last_term;
        claim.has_voted = false;
    }
    if (raft->damaged_until != RAFT_SET_BACK && raft->damaged_until > claim.durable) claim.durable = raft->damaged_until;
    return claim;
}

static void life_follows(struct raft_store *store, uint64_t nonce)
{
    struct store_lives *lives = store->lives;

    if (lives->life.boot != 0) {
        if (lives->past_count == RAFT_PAST_MAX)
            memmove(lives->past, lives->past + 1, --lives->past_count * sizeof(lives->past[0]));
        lives->past[lives->past_count++] = legacy(store);
    }
    lives->life = (struct raft_life){lives->life.boot + 1, nonce};
}

int raft_store_begin_life(struct raft_store *store, uint64_t nonce)
{
    struct raft_recovered *raft = &store->recovered.raft;
    int err;

    if (store->error != 0) return store->error;
    if (store->lives == NULL) store->lives = calloc(1, sizeof(*store->lives));
    if (store->lives == NULL) return MESH_ENOMEM;
    err = lives_read(store);
    if (err != 0) return err;
    life_follows(store, nonce);
    err = lives_write(store);
    if (err != 0) return err;
    raft->life = store->lives->life;
    raft->past = store->lives->past;
    raft->past_count = store->lives->past_count;
    raft->others = store->lives->others;
    raft->other_count = store->lives->other_count;
    return 0;
}

void raft_store_note_others(struct raft_store *store, const struct raft_other *others, size_t count)
{
    struct store_lives *lives = store->lives;

    if (lives == NULL || count > RAFT_OTHERS_MAX) return;
    memcpy(lives->others, others, count * sizeof(others[0]));
    lives->other_count = count;
    lives->has_news = true;
}

void store_lives_write_news(struct raft_store *store)
{
    if (store->lives != NULL && store->lives->has_news) (void)lives_write(store);
}

/* ---- the end of a server ---- */

static void borrow(struct raft_store *store, struct fs *fs, const char *directory)
{
    *store = (struct raft_store){.fs = fs};
    snprintf(store->directory, sizeof(store->directory), "%s", directory);
}

int raft_store_was_set_back(struct fs *fs, const char *directory, const struct uuid *broker, bool *ret_was_set_back)
{
    struct raft_store store;
    bool is_one_damaged;
    int err;

    borrow(&store, fs, directory);
    err = store_state_open(&store, &is_one_damaged);
    fs_unref(store.state_file);
    if (err != 0) return err;
    *ret_was_set_back = store.state.damaged_until == RAFT_SET_BACK && uuid_equal(&store.state.self.broker, broker);
    return 0;
}

static int find_other(void *user, const char *name, bool is_dir)
{
    if (!is_dir && strcmp(name, STORE_PATH_STATE) != 0) snprintf(user, FS_PATH_MAX, "%s", name);
    return 0;
}

static int copy_state(struct raft_store *from, struct raft_store *to)
{
    char path[FS_PATH_MAX], temporary[FS_PATH_MAX];
    struct buffer bytes = BUFFER_INIT;
    int err = fs_read_whole(from->fs, store_path(from, path, STORE_PATH_STATE), 2 * STORE_BLOCK_SIZE, &bytes);

    if (err == 0)
        err = fs_replace(to->fs, to->directory, store_path(to, path, STORE_PATH_STATE), store_path(to, temporary, STORE_PATH_STATE ".new"),
                         buffer_slice(&bytes));
    buffer_deinit(&bytes);
    return err;
}

int raft_store_set_aside(struct fs *fs, const char *directory, const char *aside)
{
    struct raft_store from, to;
    char name[FS_PATH_MAX], path[FS_PATH_MAX], new_path[FS_PATH_MAX];
    int err;

    borrow(&from, fs, directory);
    borrow(&to, fs, aside);
    err = fs->ops->mkdir(fs, aside);
    if (err == MESH_EEXISTS) err = 0;
    if (err == 0) err = fs->ops->sync_dir(fs, ".");
    if (err == 0) err = copy_state(&from, &to);
    do {
        name[0] = '\0';
        if (err == 0) err = fs->ops->list(fs, directory, find_other, name);
        if (err == 0 && name[0] != '\0') err = fs->ops->rename(fs, store_path(&from, path, name), store_path(&to, new_path, name));
    } while (err == 0 && name[0] != '\0');
    if (err == 0) err = store_sync_directory(&to); /* first where they are, then where they were */
    return err == 0 ? store_sync_directory(&from) : err;
}

int raft_store_give_up(struct fs *fs, const char *directory, const struct raft_server *successor)
{
    struct raft_store store;
    char name[FS_PATH_MAX], path[FS_PATH_MAX];
    int err;

    borrow(&store, fs, directory);
    do {
        name[0] = '\0';
        err = fs->ops->list(fs, directory, find_other, name);
        if (err == 0 && name[0] != '\0') err = fs->ops->unlink(fs, store_path(&store, path, name));
    } while (err == 0 && name[0] != '\0');
    if (err == 0) err = store_sync_directory(&store);
    return err == 0 ? store_state_create(&store, successor) : err;
}
