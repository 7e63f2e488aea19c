/* Replays a corpus through a fuzzer's entry point without libFuzzer, so that every compiler's test run does it. Each
 * argument is a file or a directory of files. Prints how many inputs ran; a crash is the failure. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned input_count;

static void run_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    uint8_t *data = NULL;
    long size = -1;

    if (file != NULL && fseek(file, 0, SEEK_END) == 0) size = ftell(file);
    if (size < 0 || fseek(file, 0, SEEK_SET) != 0) {
        fprintf(stderr, "cannot read %s\n", path);
        exit(1);
    }
    data = malloc(size > 0 ? (size_t)size : 1); /* exact size, so that a sanitizer sees reads past the end */
    if (data == NULL || fread(data, 1, (size_t)size, file) != (size_t)size) exit(1);
    fclose(file);
    LLVMFuzzerTestOneInput(data, (size_t)size);
    free(data);
    input_count++;
}

static void run_path(const char *path)
{
    struct stat st;
    DIR *dir;

    if (stat(path, &st) != 0) return; /* no corpus kept yet */
    if (!S_ISDIR(st.st_mode)) {
        run_file(path);
        return;
    }
    dir = opendir(path);
    if (dir == NULL) exit(1);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        char child[4096];
        if (entry->d_name[0] == '.') continue;
        snprintf(child, sizeof(child), "%s/%s", path, entry->d_name);
        run_path(child);
    }
    closedir(dir);
}

int main(int argc, char **argv)
{
    static const uint8_t nothing[1];

    LLVMFuzzerTestOneInput(nothing, 0);
    for (int i = 1; i < argc; i++)
        run_path(argv[i]);
    printf("%u inputs replayed\n", input_count + 1);
    return 0;
}
