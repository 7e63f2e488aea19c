/* Names and the life of files on an in-memory disk. A name change is pending until its directory is synced;
 * of the pending ones a crash keeps some. Changes of one name depend on each other in order: whoever keeps
 * the later keeps the earlier, as every journaling file system does. */
#include "support/fs_mem_internal.h"

#include "base/assert.h"
#include "base/map.h"

#include <string.h>

/* ---- files ---- */

struct inode_view inode_view(struct fs_mem *mem, uint32_t number)
{
    MESH_ASSERT(number != NONE && mem->inodes[number].is_used);
    return (struct inode_view){
        .inode = &mem->inodes[number],
        .slots = mem->slots[number],
        .pool = mem->pool,
        .random = &mem->random,
        .op = mem->op,
    };
}

uint32_t inode_new(struct fs_mem *mem, bool is_dir)
{
    uint32_t number;
    bool is_listed;

    if (mem->free_inode_count > 0) {
        number = mem->free_inodes[--mem->free_inode_count];
    } else {
        MESH_ASSERT(mem->inode_top < FS_MEM_FILES_MAX);
        number = mem->inode_top++;
    }
    is_listed = mem->inodes[number].is_listed;
    inode_init(&mem->inodes[number], is_dir);
    mem->inodes[number].is_listed = is_listed;
    return number;
}

void inode_ref(struct fs_mem *mem, uint32_t number, bool is_live)
{
    if (number == NONE) return;
    mem->inodes[number].references++;
    mem->inodes[number].live_references += is_live;
}

void inode_unref(struct fs_mem *mem, uint32_t number, bool was_live)
{
    struct inode *inode = &mem->inodes[number];

    if (number == NONE) return;
    MESH_ASSERT(inode->references > 0);
    if (was_live && --inode->live_references == 0) mem->used_blocks -= inode->block_count;
    if (--inode->references > 0) return;
    struct inode_view view = inode_view(mem, number);
    inode_clear(&view);
    inode->is_used = false;
    /* Names may still say that they lie in a removed directory, until a crash clears them away: its number
     * must not come back before. */
    if (!inode->is_dir) mem->free_inodes[mem->free_inode_count++] = number;
}

void inode_list(struct fs_mem *mem, uint32_t number)
{
    if (mem->inodes[number].is_listed) return;
    mem->inodes[number].is_listed = true;
    mem->listed[mem->listed_count++] = number;
}

/* ---- finding ---- */

static uint32_t *bucket_of(const struct fs_mem *mem, uint32_t parent, const char *text, size_t size)
{
    uint64_t hash = map_hash_bytes(text, size) ^ (uint64_t)parent * 0x9e3779b97f4a7c15u;

    return (uint32_t *)&mem->buckets[(hash >> 20) & (BUCKETS - 1)];
}

static uint32_t find_in(const struct fs_mem *mem, uint32_t parent, const char *text, size_t size)
{
    uint32_t number;

    MESH_ASSERT(size > 0 && size <= FS_MEM_NAME_MAX);
    for (number = *bucket_of(mem, parent, text, size); number != NONE; number = mem->names[number].next) {
        const struct name *name = &mem->names[number];
        if (name->parent == parent && memcmp(name->text, text, size) == 0 && name->text[size] == '\0') break;
    }
    return number;
}

/* The directory that path's last component lies in, and that component. */
static uint32_t walk(const struct fs_mem *mem, const char *path, const char **ret_last)
{
    uint32_t dir = ROOT;

    for (;;) {
        const char *slash = strchr(path, '/');
        if (slash == NULL) break;
        uint32_t name = find_in(mem, dir, path, (size_t)(slash - path));
        dir = name == NONE ? NONE : mem->names[name].live;
        if (dir == NONE || !mem->inodes[dir].is_dir) return NONE;
        path = slash + 1;
    }
    *ret_last = path;
    return dir;
}

uint32_t names_find(const struct fs_mem *mem, const char *path)
{
    const char *last;
    uint32_t dir, name;

    if (strcmp(path, ".") == 0) return ROOT;
    dir = walk(mem, path, &last);
    if (dir == NONE) return NONE;
    name = find_in(mem, dir, last, strlen(last));
    return name == NONE ? NONE : mem->names[name].live;
}

uint32_t names_get(struct fs_mem *mem, const char *path)
{
    const char *last;
    uint32_t dir = walk(mem, path, &last), number, *bucket;
    struct name *name;

    if (dir == NONE) return NONE;
    number = find_in(mem, dir, last, strlen(last));
    if (number != NONE) return number;
    if (mem->free_name_count > 0) {
        number = mem->free_names[--mem->free_name_count];
    } else {
        MESH_ASSERT(mem->name_top < NAMES_MAX);
        number = mem->name_top++;
    }
    name = &mem->names[number];
    bucket = bucket_of(mem, dir, last, strlen(last));
    *name = (struct name){.next = *bucket, .parent = dir, .is_used = true};
    memcpy(name->text, last, strlen(last) + 1);
    *bucket = number;
    return number;
}

void names_forget_unused(struct fs_mem *mem, uint32_t number)
{
    struct name *name = &mem->names[number];
    uint32_t *at;

    if (name->live != NONE || name->durable != NONE || name->change_count > 0) return;
    for (at = bucket_of(mem, name->parent, name->text, strlen(name->text)); *at != number;)
        at = &mem->names[*at].next;
    *at = name->next;
    name->is_used = false;
    mem->free_names[mem->free_name_count++] = number;
}

bool names_dir_is_empty(const struct fs_mem *mem, uint32_t dir)
{
    for (uint32_t i = 1; i < mem->name_top; i++) {
        const struct name *name = &mem->names[i];
        if (name->is_used && name->parent == dir && name->live != NONE) return false;
    }
    return true;
}

/* ---- changing ---- */

static void set_live(struct fs_mem *mem, uint32_t name, uint32_t inode)
{
    uint32_t old = mem->names[name].live;

    inode_ref(mem, inode, true);
    mem->names[name].live = inode;
    inode_unref(mem, old, true);
}

static void set_durable(struct fs_mem *mem, uint32_t name, uint32_t inode)
{
    uint32_t old = mem->names[name].durable;

    inode_ref(mem, inode, false);
    mem->names[name].durable = inode;
    inode_unref(mem, old, false);
}

void names_change(struct fs_mem *mem, uint32_t name, uint32_t inode, uint32_t renamed_from)
{
    MESH_ASSERT(mem->change_count < CHANGES_MAX);
    mem->changes[mem->change_count++] = (struct name_change){
        .name = name,
        .inode = inode,
        .renamed_from = renamed_from,
        .op = mem->op,
    };
    mem->names[name].change_count++;
    inode_ref(mem, inode, false);
    set_live(mem, name, inode);
    if (renamed_from == NONE) return;
    mem->names[renamed_from].change_count++;
    set_live(mem, renamed_from, NONE);
}

/* Adds to the chosen changes those that they depend on. */
static void close_choice(struct fs_mem *mem)
{
    for (uint32_t i = mem->change_count; i-- > 0;) {
        struct name_change *change = &mem->changes[i];
        struct name *name = &mem->names[change->name], *from = &mem->names[change->renamed_from];
        if (name->is_marked || (change->renamed_from != NONE && from->is_marked)) change->is_chosen = true;
        if (!change->is_chosen) continue;
        name->is_marked = true;
        if (change->renamed_from != NONE) from->is_marked = true;
    }
}

static void forget_change(struct fs_mem *mem, struct name_change change)
{
    mem->names[change.name].change_count--;
    mem->names[change.name].is_marked = false;
    inode_unref(mem, change.inode, false);
    names_forget_unused(mem, change.name);
    if (change.renamed_from == NONE) return;
    mem->names[change.renamed_from].change_count--;
    mem->names[change.renamed_from].is_marked = false;
    names_forget_unused(mem, change.renamed_from);
}

/* The chosen changes become durable; the others stay pending. */
static void commit_chosen(struct fs_mem *mem)
{
    uint32_t kept = 0;

    close_choice(mem);
    for (uint32_t i = 0; i < mem->change_count; i++) {
        struct name_change change = mem->changes[i];
        if (!change.is_chosen) {
            mem->changes[kept++] = change;
            continue;
        }
        set_durable(mem, change.name, change.inode);
        if (change.renamed_from != NONE) set_durable(mem, change.renamed_from, NONE);
        forget_change(mem, change);
    }
    mem->change_count = kept;
    for (uint32_t i = 0; i < kept; i++)
        mem->changes[i].is_chosen = false;
}

void names_commit_dir(struct fs_mem *mem, uint32_t dir)
{
    for (uint32_t i = 0; i < mem->change_count; i++) {
        struct name_change *change = &mem->changes[i];
        change->is_chosen = dir == NONE || mem->names[change->name].parent == dir ||
                            (change->renamed_from != NONE && mem->names[change->renamed_from].parent == dir);
    }
    commit_chosen(mem);
}

static bool change_survives(struct fs_mem *mem, const struct name_change *change, enum fs_mem_loss loss,
                            uint32_t last_op)
{
    switch (loss) {
    case FS_MEM_LOSE_NOTHING: return true;
    case FS_MEM_LOSE_LATEST: return change->op <= last_op;
    case FS_MEM_LOSE_ANY: return random_below(&mem->random, 2) == 0;
    case FS_MEM_LOSE_UNSYNCED:
    case FS_MEM_LOSE_MODES: break;
    }
    return false;
}

/* What lies in a directory that is gone is gone. */
static void forget_unreachable(struct fs_mem *mem)
{
    bool is_changed = true;

    while (is_changed) {
        is_changed = false;
        for (uint32_t i = 1; i < mem->name_top; i++) {
            struct name *name = &mem->names[i];
            if (!name->is_used || mem->inodes[name->parent].is_used) continue;
            set_live(mem, i, NONE);
            set_durable(mem, i, NONE);
            names_forget_unused(mem, i);
            is_changed = true;
        }
    }
}

void names_crash(struct fs_mem *mem, enum fs_mem_loss loss, uint32_t last_op)
{
    for (uint32_t i = 0; i < mem->change_count; i++)
        mem->changes[i].is_chosen = change_survives(mem, &mem->changes[i], loss, last_op);
    commit_chosen(mem);
    for (uint32_t i = 1; i < mem->name_top; i++) {
        if (mem->names[i].is_used && mem->names[i].live != mem->names[i].durable)
            set_live(mem, i, mem->names[i].durable);
    }
    for (uint32_t i = 0; i < mem->change_count; i++)
        forget_change(mem, mem->changes[i]);
    mem->change_count = 0;
    forget_unreachable(mem);
}
