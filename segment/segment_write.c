/* How consecutive bytes in scattered memory reach a segment file. The body, whole blocks, is put together as
 * one list of aligned buffers in order of position: memory that happens to lie like the file goes as it is,
 * all else is copied into staging first. Head and tail, less than a block each, take the page cache's way: no
 * block is ever written both ways at the same time, because a block becomes part of a body only when it is
 * written for the first time. Who ends his writes with a whole block needs neither. */
#include "base/assert.h"
#include "base/error.h"
#include "segment/segment_file.h"

/* Where we are in the source. */
struct source {
    const struct iovec *iov;
    int remaining;   /* buffers left, the current one included */
    size_t consumed; /* of the current one */
};

static const uint8_t *source_at(const struct source *source, size_t *ret_size)
{
    *ret_size = source->iov->iov_len - source->consumed;
    return (const uint8_t *)source->iov->iov_base + source->consumed;
}

static void source_advance(struct source *source, size_t size)
{
    source->consumed += size;
    MESH_ASSERT(source->consumed <= source->iov->iov_len);
    while (source->remaining > 0 && source->consumed == source->iov->iov_len) {
        source->iov++;
        source->remaining--;
        source->consumed = 0;
    }
}

/* Writes `size` bytes from the source through the page cache. */
static int write_buffered(struct fs_file *file, struct source *source, size_t size, uint64_t position)
{
    struct iovec iov[SEGMENT_WRITE_IOVS_MAX];

    while (size > 0) {
        int count = 0;
        size_t total = 0;
        int err;
        while (count < SEGMENT_WRITE_IOVS_MAX && total < size) {
            size_t available;
            const uint8_t *memory = source_at(source, &available);
            size_t take = available < size - total ? available : size - total;
            iov[count++] = (struct iovec){(void *)(uintptr_t)memory, take};
            total += take;
            source_advance(source, take);
        }
        err = file->fs->ops->write(file, iov, count, position);
        if (err != 0) return err;
        position += total;
        size -= total;
    }
    return 0;
}

/* The aligned buffers of one system call. */
struct body {
    struct fs_file *file;
    uint8_t *staging;
    size_t staged; /* bytes of staging in use */
    struct iovec iov[SEGMENT_WRITE_IOVS_MAX];
    int count;
    uint64_t position; /* of the first buffer */
    size_t size;       /* of all buffers */
};

static int body_flush(struct body *body)
{
    int err;

    if (body->size == 0) return 0;
    err = body->file->fs->ops->write(body->file, body->iov, body->count, body->position);
    body->position += body->size;
    body->size = body->staged = 0;
    body->count = 0;
    return err;
}

static void body_add(struct body *body, const uint8_t *memory, size_t size)
{
    struct iovec *last = body->count > 0 ? &body->iov[body->count - 1] : NULL;

    body->size += size;
    if (last != NULL && (const uint8_t *)last->iov_base + last->iov_len == memory)
        last->iov_len += size;
    else
        body->iov[body->count++] = (struct iovec){(void *)(uintptr_t)memory, size};
}

/* Copies whole blocks into staging until the source is aligned again with enough to be worth its own buffer,
 * staging is full, or size bytes are done. */
static size_t body_stage(struct body *body, struct source *source, size_t size)
{
    uint8_t *to = body->staging + body->staged;
    size_t room = SEGMENT_STAGING_SIZE - body->staged;
    size_t limit = size < room ? size : room;
    size_t done = 0;

    while (done < limit) {
        size_t available;
        const uint8_t *memory = source_at(source, &available);
        size_t in_block = done % FS_BLOCK_SIZE;
        size_t take = available < limit - done ? available : limit - done;
        if (done > 0 && in_block == 0 && (uintptr_t)memory % FS_BLOCK_SIZE == 0 &&
            available >= SEGMENT_DIRECT_MIN)
            break;
        /* Stop at the block's end where the rest of this buffer could go as it is. */
        if (in_block != 0 && take > FS_BLOCK_SIZE - in_block && available >= 2 * SEGMENT_DIRECT_MIN &&
            ((uintptr_t)memory + FS_BLOCK_SIZE - in_block) % FS_BLOCK_SIZE == 0)
            take = FS_BLOCK_SIZE - in_block;
        memcpy(to + done, memory, take);
        source_advance(source, take);
        done += take;
    }
    MESH_ASSERT(done % FS_BLOCK_SIZE == 0);
    body_add(body, to, done);
    body->staged += done;
    return done;
}

static int write_body(struct fs_file *file, uint8_t *staging, struct source *source, size_t size,
                      uint64_t position)
{
    struct body body = {.file = file, .staging = staging, .position = position};

    while (size > 0) {
        size_t available, take;
        const uint8_t *memory = source_at(source, &available);
        take = (available < size ? available : size) & ~(size_t)(FS_BLOCK_SIZE - 1);
        if (body.count >= SEGMENT_WRITE_IOVS_MAX - 1 || body.staged == SEGMENT_STAGING_SIZE) {
            int err = body_flush(&body);
            if (err != 0) return err;
        }
        if ((uintptr_t)memory % FS_BLOCK_SIZE == 0 && take >= SEGMENT_DIRECT_MIN) {
            body_add(&body, memory, take);
            source_advance(source, take);
        } else {
            take = body_stage(&body, source, size);
        }
        size -= take;
    }
    return body_flush(&body);
}

static uint32_t floor_block(uint32_t position)
{
    return position & ~(uint32_t)(FS_BLOCK_SIZE - 1);
}

static uint32_t ceil_block(uint32_t position)
{
    return floor_block(position + FS_BLOCK_SIZE - 1);
}

static int open_patiently(struct fs *fs, const struct segment_write *write, unsigned flags, struct fs_file **io_file)
{
    unsigned tries = 0;
    int err;

    do
        err = segment_open(fs, write->id, write->base_offset, flags, write->create, io_file);
    while (segment_tries_again(err, &tries));
    return err;
}

/* Nothing to open where there is nothing to write. */
static int write_ragged(struct fs *fs, struct segment_write *write, struct source *source, uint32_t from, uint32_t to)
{
    int err = 0;

    if (from < to) err = open_patiently(fs, write, FS_WRITE, &write->file);
    return err != 0 || from == to ? err : write_buffered(write->file, source, to - from, from);
}

static int write_past_cache(struct fs *fs, struct segment_write *write, struct source *source,
                            uint8_t *staging)
{
    uint32_t start = ceil_block(write->position), end = floor_block(write->end);
    int err = open_patiently(fs, write, FS_WRITE | FS_DIRECT, &write->direct);

    if (err == 0) err = write_ragged(fs, write, source, write->position, start);
    if (err == 0) err = write_body(write->direct, staging, source, end - start, start);
    if (err == 0) err = write_ragged(fs, write, source, end, write->end);
    return err;
}

/* A part of it may have found room: that is given back, so that what frees space (a manifest, before files are removed) finds some. */
static int give_back(struct segment_write *write, int error)
{
    struct fs_file *file = write->file != NULL ? write->file : write->direct;

    if (error == MESH_EFULL && file != NULL) (void)file->fs->ops->truncate(file, write->position);
    return error;
}

bool segment_write_is_past_cache(const struct segment_write *write, uint32_t end)
{
    uint32_t start = ceil_block(write->position), body_end = floor_block(end);

    return body_end > start && body_end - start >= write->past_cache_min;
}

int segment_write_run(struct fs *fs, struct segment_write *write, uint8_t *staging)
{
    struct source source = {write->iov, write->iov_count, 0};
    int err;

    for (size_t left = write->skip, size; left > 0; left -= size) {
        (void)source_at(&source, &size);
        if (size > left) size = left;
        source_advance(&source, size);
    }
    if (!segment_write_is_past_cache(write, write->end))
        return give_back(write, write_ragged(fs, write, &source, write->position, write->end));
    err = give_back(write, write_past_cache(fs, write, &source, staging));
    /* One descriptor is kept. */
    if (write->file != NULL && write->end - write->position < SEGMENT_KEEP_DIRECT) {
        fs_unref(write->direct);
        write->direct = NULL;
    }
    return err;
}

void segment_write_deinit(struct segment_write *write)
{
    fs_unref(write->file);
    fs_unref(write->direct);
    write->file = write->direct = NULL;
}
