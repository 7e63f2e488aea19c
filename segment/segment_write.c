/* How consecutive bytes in scattered memory reach a segment file. The body, whole blocks, is put together as
 * one list of aligned buffers in order of position: memory that happens to lie like the file goes as it is,
 * all else is copied into staging first. Head and tail, less than a block each, take the page cache's way: no
 * block is ever written both ways at the same time, because a block becomes part of a body only when it is
 * written for the first time. */
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

static int write_past_cache(struct fs *fs, struct segment_write *write, struct source *source,
                            uint8_t *staging)
{
    uint32_t body_start = (write->position + FS_BLOCK_SIZE - 1) & ~(uint32_t)(FS_BLOCK_SIZE - 1);
    uint32_t body_end = write->end & ~(uint32_t)(FS_BLOCK_SIZE - 1);
    unsigned tries = 0;
    int err;

    do
        err = segment_open(fs, write->id, write->base_offset, FS_WRITE | FS_DIRECT, false, &write->direct);
    while (segment_tries_again(err, &tries));
    if (err == 0) err = write_buffered(write->file, source, body_start - write->position, write->position);
    if (err == 0) err = write_body(write->direct, staging, source, body_end - body_start, body_start);
    if (err == 0) err = write_buffered(write->file, source, write->end - body_end, body_end);
    if (body_end - body_start < SEGMENT_KEEP_DIRECT) {
        fs_unref(write->direct);
        write->direct = NULL;
    }
    return err;
}

/* A part of it may have found room: that is given back, so that what frees space (a manifest, before files are removed) finds some. */
static int give_back(struct segment_write *write, int error)
{
    if (error == MESH_EFULL && write->file != NULL) (void)write->file->fs->ops->truncate(write->file, write->position);
    return error;
}

int segment_write_run(struct fs *fs, struct segment_write *write, uint8_t *staging)
{
    struct source source = {write->iov, write->iov_count, 0};
    uint32_t size = write->end - write->position;
    unsigned tries = 0;
    int err;

    do
        err = segment_open(fs, write->id, write->base_offset, FS_WRITE, write->create, &write->file);
    while (segment_tries_again(err, &tries));
    if (err != 0) return err;
    if (!write->is_buffered && size >= SEGMENT_PAST_CACHE_MIN + 2 * FS_BLOCK_SIZE)
        return give_back(write, write_past_cache(fs, write, &source, staging));
    return give_back(write, write_buffered(write->file, &source, size, write->position));
}

void segment_write_deinit(struct segment_write *write)
{
    fs_unref(write->file);
    fs_unref(write->direct);
    write->file = write->direct = NULL;
}
