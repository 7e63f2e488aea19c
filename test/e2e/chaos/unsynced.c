#include "unsynced.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECTOR 512u

struct page {
    uint64_t number;
    unsigned char bytes[UNSYNCED_PAGE];
};

struct unsynced {
    struct unsynced *next;
    dev_t device;
    ino_t inode;
    int fd; /* of the file below */
    unsigned openings;
    uint64_t size;       /* as it is said to be */
    uint64_t kept;       /* what lies behind this in the file below was cut off, and that is not synced */
    struct page **pages; /* by number */
    size_t count, capacity;
    bool is_size_changed;
};

static struct unsynced *files;
static uint64_t pages_bytes;

static bool is_clean(const struct unsynced *file)
{
    return file->count == 0 && !file->is_size_changed;
}

static void forget_pages(struct unsynced *file)
{
    for (size_t i = 0; i < file->count; i++)
        free(file->pages[i]);
    pages_bytes -= file->count * UNSYNCED_PAGE;
    file->count = 0;
}

/* Ends an object that nobody has open and that says what the disk says; one without a name, too. */
static void collect(struct unsynced *file)
{
    struct unsynced **link = &files;
    struct stat st;

    if (file->openings > 0 || (!is_clean(file) && fstat(file->fd, &st) == 0 && st.st_nlink > 0)) return;
    while (*link != file)
        link = &(*link)->next;
    *link = file->next;
    forget_pages(file);
    free(file->pages);
    close(file->fd);
    free(file);
}

struct unsynced *unsynced_find(const struct stat *st)
{
    struct unsynced *file = files;

    while (file != NULL && (file->device != st->st_dev || file->inode != st->st_ino))
        file = file->next;
    return file;
}

struct unsynced *unsynced_open(int fd)
{
    struct unsynced *file = NULL;
    struct stat st;

    if (fstat(fd, &st) == 0) file = unsynced_find(&st);
    if (file != NULL) {
        file->openings++;
        close(fd);
        return file;
    }
    file = calloc(1, sizeof(*file));
    if (file == NULL) {
        close(fd);
        return NULL;
    }
    file->device = st.st_dev;
    file->inode = st.st_ino;
    file->fd = fd;
    file->openings = 1;
    file->size = file->kept = (uint64_t)st.st_size;
    file->next = files;
    files = file;
    return file;
}

void unsynced_close(struct unsynced *file)
{
    file->openings--;
    collect(file);
}

void unsynced_sweep(void)
{
    struct unsynced *next;

    for (struct unsynced *file = files; file != NULL; file = next) {
        next = file->next;
        collect(file);
    }
}

int unsynced_fstat(const struct unsynced *file, struct stat *st)
{
    if (fstat(file->fd, st) != 0) return -errno;
    st->st_size = (off_t)file->size;
    return 0;
}

void unsynced_stat(struct stat *st)
{
    struct unsynced *file = unsynced_find(st);

    if (file != NULL) st->st_size = (off_t)file->size;
}

/* Where the page is, or would have to be. */
static size_t place_of(const struct unsynced *file, uint64_t number)
{
    size_t low = 0, high = file->count;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (file->pages[middle]->number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct page *page_find(const struct unsynced *file, uint64_t number)
{
    size_t place = place_of(file, number);

    return place < file->count && file->pages[place]->number == number ? file->pages[place] : NULL;
}

/* What the file below has there, as far as it still counts; zeroes behind that. */
static int read_below(const struct unsynced *file, unsigned char *bytes, size_t size, uint64_t at)
{
    size_t done = 0, wanted = at >= file->kept         ? 0
                              : size < file->kept - at ? size
                                                       : (size_t)(file->kept - at);

    while (done < wanted) {
        ssize_t got = pread(file->fd, bytes + done, wanted - done, (off_t)(at + done));

        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return -errno;
        if (got == 0) break;
        done += (size_t)got;
    }
    memset(bytes + done, 0, size - done);
    return 0;
}

/* A full disk says so to whoever writes, not to whoever syncs: file systems set the space aside when bytes
 * come. */
static int reserve(const struct unsynced *file, uint64_t at, uint64_t size)
{
    return fallocate(file->fd, FALLOC_FL_KEEP_SIZE, (off_t)at, (off_t)size) == 0 || errno == EOPNOTSUPP
               ? 0
               : -errno;
}

static int page_make(struct unsynced *file, uint64_t number, struct page **ret_page)
{
    size_t place = place_of(file, number);
    struct page *page;
    int err;

    if (file->count == file->capacity) {
        size_t capacity = file->capacity > 0 ? 2 * file->capacity : 16;
        struct page **pages = realloc(file->pages, capacity * sizeof(struct page *));

        if (pages == NULL) return -ENOMEM;
        file->pages = pages;
        file->capacity = capacity;
    }
    page = malloc(sizeof(*page));
    if (page == NULL) return -ENOMEM;
    page->number = number;
    err = reserve(file, number * UNSYNCED_PAGE, UNSYNCED_PAGE);
    if (err == 0) err = read_below(file, page->bytes, UNSYNCED_PAGE, number * UNSYNCED_PAGE);
    if (err != 0) {
        free(page);
        return err;
    }
    memmove(file->pages + place + 1, file->pages + place, (file->count - place) * sizeof(struct page *));
    file->pages[place] = page;
    file->count++;
    pages_bytes += UNSYNCED_PAGE;
    *ret_page = page;
    return 0;
}

int64_t unsynced_read(struct unsynced *file, void *bytes, size_t size, uint64_t at)
{
    size_t done = 0;
    int err;

    if (at >= file->size) return 0;
    if (size > file->size - at) size = (size_t)(file->size - at);
    err = read_below(file, bytes, size, at);
    if (err != 0) return err;
    while (done < size && file->count > 0) {
        size_t within = (size_t)((at + done) % UNSYNCED_PAGE);
        size_t piece = size - done < UNSYNCED_PAGE - within ? size - done : UNSYNCED_PAGE - within;
        const struct page *page = page_find(file, (at + done) / UNSYNCED_PAGE);

        if (page != NULL) memcpy((unsigned char *)bytes + done, page->bytes + within, piece);
        done += piece;
    }
    return (int64_t)size;
}

static void grow(struct unsynced *file, uint64_t size)
{
    if (size <= file->size) return;
    file->size = size;
    file->is_size_changed = true;
}

int64_t unsynced_write(struct unsynced *file, const void *bytes, size_t size, uint64_t at)
{
    size_t done = 0;

    while (done < size) {
        size_t within = (size_t)((at + done) % UNSYNCED_PAGE);
        size_t piece = size - done < UNSYNCED_PAGE - within ? size - done : UNSYNCED_PAGE - within;
        struct page *page = page_find(file, (at + done) / UNSYNCED_PAGE);
        int err = page == NULL ? page_make(file, (at + done) / UNSYNCED_PAGE, &page) : 0;

        if (err != 0) return err;
        memcpy(page->bytes + within, (const unsigned char *)bytes + done, piece);
        done += piece;
    }
    grow(file, at + size);
    return (int64_t)size;
}

int unsynced_allocate(struct unsynced *file, uint64_t at, uint64_t size)
{
    int err = reserve(file, at, size);

    if (err == 0) grow(file, at + size);
    return err;
}

int unsynced_truncate(struct unsynced *file, uint64_t size)
{
    struct page *last;

    if (size >= file->size) {
        grow(file, size);
        return 0;
    }
    while (file->count > 0 && file->pages[file->count - 1]->number * UNSYNCED_PAGE >= size) {
        free(file->pages[--file->count]);
        pages_bytes -= UNSYNCED_PAGE;
    }
    last = size % UNSYNCED_PAGE != 0 ? page_find(file, size / UNSYNCED_PAGE) : NULL;
    if (last != NULL) memset(last->bytes + size % UNSYNCED_PAGE, 0, UNSYNCED_PAGE - size % UNSYNCED_PAGE);
    if (size < file->kept) file->kept = size;
    file->size = size;
    file->is_size_changed = true;
    return 0;
}

static int write_below(const struct unsynced *file, const unsigned char *bytes, size_t size, uint64_t at)
{
    while (size > 0) {
        ssize_t put = pwrite(file->fd, bytes, size, (off_t)at);

        if (put < 0 && errno == EINTR) continue;
        if (put <= 0) return put < 0 ? -errno : -EIO;
        bytes += put;
        size -= (size_t)put;
        at += (uint64_t)put;
    }
    return 0;
}

static size_t page_size(const struct unsynced *file, const struct page *page)
{
    uint64_t begin = page->number * UNSYNCED_PAGE;

    return file->size - begin < UNSYNCED_PAGE ? (size_t)(file->size - begin) : UNSYNCED_PAGE;
}

/* Only what was cut off is: cutting at the end that is there would give back what is set aside behind it. */
static int resize_below(const struct unsynced *file)
{
    struct stat st;

    if (fstat(file->fd, &st) != 0) return -errno;
    if ((uint64_t)st.st_size > file->kept && ftruncate(file->fd, (off_t)file->kept) != 0) return -errno;
    return ftruncate(file->fd, (off_t)file->size) == 0 ? 0 : -errno;
}

int unsynced_sync(struct unsynced *file)
{
    int err = 0;

    if (is_clean(file)) return 0;
    if (file->is_size_changed) err = resize_below(file);
    if (err != 0) return err;
    for (size_t i = 0; i < file->count && err == 0; i++)
        err = write_below(file, file->pages[i]->bytes, page_size(file, file->pages[i]),
                          file->pages[i]->number * UNSYNCED_PAGE);
    if (err != 0) return err; /* what is in memory stays; whoever asks again gets the same answer */
    forget_pages(file);
    file->kept = file->size;
    file->is_size_changed = false;
    return 0;
}

void unsynced_lose(struct unsynced *file)
{
    forget_pages(file);
}

/* What reached the disk by chance; what fails now is lost like the rest. */
static void cut_some(struct unsynced *file, bool (*survives)(void))
{
    if (file->is_size_changed && survives() && ftruncate(file->fd, (off_t)file->kept) == 0 && survives())
        (void)!ftruncate(file->fd, (off_t)file->size);
    for (size_t i = 0; i < file->count; i++) {
        const struct page *page = file->pages[i];
        size_t size = page_size(file, page);

        for (size_t at = 0; at < size; at += SECTOR)
            if (survives())
                (void)write_below(file, page->bytes + at, size - at < SECTOR ? size - at : SECTOR,
                                  page->number * UNSYNCED_PAGE + at);
    }
}

uint64_t unsynced_cut(bool (*survives)(void))
{
    uint64_t lost = pages_bytes;
    struct unsynced *next;

    for (struct unsynced *file = files; file != NULL; file = next) {
        struct stat st;

        next = file->next;
        if (survives != NULL) cut_some(file, survives);
        forget_pages(file);
        file->is_size_changed = false;
        if (fstat(file->fd, &st) == 0) file->size = file->kept = (uint64_t)st.st_size;
        collect(file);
    }
    return lost;
}

uint64_t unsynced_bytes(void)
{
    return pages_bytes;
}
