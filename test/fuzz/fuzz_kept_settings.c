/* Fuzzes the file with settings that are kept (DIR/settings). What is taken is in range, and written and read again it is the same. */
#include "base/assert.h"
#include "base/error.h"
#include "cmd/broker/operate/kept_settings.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_bad(void *user, const char *line, const char *reason)
{
    (void)user;
    for (; *line != '\0'; line++)
        MESH_ASSERT((unsigned char)*line >= 0x20);
    MESH_ASSERT(reason[0] != '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kept_settings kept;
    int err = kept_settings_parse(slice_of(data, size), &kept, on_bad, NULL);

    for (size_t i = 0; i < SETTINGS_MAX; i++) {
        char text[SETTINGS_TEXT_MAX];
        uint64_t number;

        if (!kept.is_kept[i]) continue;
        MESH_ASSERT(err == 0 && settings_info(i) != NULL && (settings_info(i)->flags & SETTING_LIVE) != 0);
        MESH_ASSERT(settings_parse(i, settings_format_number(i, kept.numbers[i], text), &number, NULL, 0) == 0 && number == kept.numbers[i]);
    }
    return 0;
}
