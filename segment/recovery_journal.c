#include "segment/recovery_journal.h"

#include "base/error.h"

#include <stdlib.h>
#include <string.h>

struct recovery_journal {
    struct journal_reader **readers; /* owned; they stay open for the batches */
    uint32_t reader_count;
    struct recovery_entry *entries; /* owned */
    size_t count, capacity;
    const struct recovery_store *reading;
};

int recovery_journal_new(struct recovery_journal **ret_journal)
{
    *ret_journal = calloc(1, sizeof(**ret_journal));
    return *ret_journal != NULL ? 0 : MESH_ENOMEM;
}

void recovery_journal_free(struct recovery_journal *journal)
{
    if (journal == NULL) return;
    for (uint32_t i = 0; i < journal->reader_count; i++)
        journal_reader_close(journal->readers[i]);
    free(journal->readers);
    free(journal->entries);
    free(journal);
}

static int add_entry(void *user, const struct journal_entry *entry)
{
    struct recovery_journal *journal = user;

    if (journal->count == journal->capacity) {
        size_t capacity = journal->capacity > 0 ? journal->capacity * 2 : 1024;
        struct recovery_entry *grown = realloc(journal->entries, capacity * sizeof(*grown));
        if (grown == NULL) return MESH_ENOMEM;
        journal->entries = grown;
        journal->capacity = capacity;
    }
    journal->entries[journal->count++] = (struct recovery_entry){
        *entry, journal->readers[journal->reader_count - 1], journal->reading->marker.generation, journal->reading->last_frame};
    return 0;
}

int recovery_journal_read(struct recovery_journal *journal, struct fs *fs, const struct recovery_store *store,
                          struct journal_findings *ret_findings)
{
    struct journal_reader **readers =
        realloc(journal->readers, (journal->reader_count + 1) * sizeof(*readers));
    int err;

    if (readers == NULL) return MESH_ENOMEM;
    journal->readers = readers;
    err = journal_reader_open(fs, store->index, store->marker.generation, store->marker.nonce,
                              store->live_frame, &readers[journal->reader_count]);
    if (err != 0) return err;
    journal->reader_count++;
    journal->reading = store;
    return journal_reader_each(readers[journal->reader_count - 1], add_entry, journal, ret_findings);
}

static int compare_logs(const struct journal_entry_header *a, const struct journal_entry_header *b)
{
    int order = memcmp(a->topic_id.bytes, b->topic_id.bytes, UUID_SIZE);

    if (order != 0) return order;
    return a->partition < b->partition ? -1 : a->partition > b->partition;
}

/* A log lives in one store while a run lasts, so sequences of different stores never meet here. */
static int compare_entries(const void *a, const void *b)
{
    const struct recovery_entry *left = a, *right = b;
    int order = compare_logs(&left->entry.header, &right->entry.header);

    if (order != 0) return order;
    if (left->entry.sequence != right->entry.sequence)
        return left->entry.sequence < right->entry.sequence ? -1 : 1;
    return left->entry.position < right->entry.position ? -1 : left->entry.position > right->entry.position;
}

int recovery_journal_sort(struct recovery_journal *journal)
{
    if (journal->count > 0)
        qsort(journal->entries, journal->count, sizeof(*journal->entries), compare_entries);
    return 0;
}

static struct plog_id id_of(const struct recovery_entry *entry)
{
    return (struct plog_id){entry->entry.header.topic_id, entry->entry.header.partition};
}

int recovery_journal_each_log(struct recovery_journal *journal,
                              int (*each)(void *user, const struct plog_id *id), void *user)
{
    for (size_t i = 0; i < journal->count; i++) {
        struct plog_id id = id_of(&journal->entries[i]);
        int err = 0;
        if (i == 0 ||
            compare_logs(&journal->entries[i - 1].entry.header, &journal->entries[i].entry.header) != 0)
            err = each(user, &id);
        if (err != 0) return err;
    }
    return 0;
}

struct recovery_entry *recovery_journal_find(struct recovery_journal *journal, const struct plog_id *id,
                                             uint32_t *ret_count)
{
    struct journal_entry_header key = {.topic_id = id->topic_id, .partition = id->partition};
    size_t low = 0, high = journal->count, end;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare_logs(&journal->entries[middle].entry.header, &key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    for (end = low; end < journal->count && compare_logs(&journal->entries[end].entry.header, &key) == 0;)
        end++;
    *ret_count = (uint32_t)(end - low);
    return journal->entries != NULL ? journal->entries + low : NULL;
}
