/* Key files: where they are looked for, who may read them, how they are made and replaced. */
#include "base/error.h"
#include "crypto/crypto.h"
#include "crypto/key_file.h"
#include "support/run_suite.h"

#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[64], message[512];
static struct keyring *ring, *other;
static struct cluster_key keys[2];

static const char *at(const char *name)
{
    static _Thread_local char paths[4][256];
    static _Thread_local int turn;

    turn = (turn + 1) % 4;
    snprintf(paths[turn], sizeof paths[turn], "%s/%s", root, name);
    return paths[turn];
}

static void set_up(void)
{
    snprintf(root, sizeof root, "/tmp/test_key_file.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(root));
    for (uint8_t i = 0; i < 2; i++) {
        uint8_t bytes[CLUSTER_KEY_SIZE] = {i};
        cluster_key_init(&keys[i], bytes);
    }
    ring = keyring_new();
    other = keyring_new();
    keyring_install(ring, &keys[0]);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static void tear_down(void)
{
    keyring_free(ring);
    keyring_free(other);
    nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void put(const char *name, mode_t mode, const char *text)
{
    int fd = open(at(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq((int)write(fd, text, strlen(text)), (int)strlen(text));
    ck_assert_int_eq(fchmod(fd, mode), 0);
    close(fd);
}

static unsigned count_files(const char *directory)
{
    char command[256];
    unsigned count = 0;
    FILE *file;

    snprintf(command, sizeof command, "ls -A '%s' | wc -l", directory);
    file = popen(command, "r");
    ck_assert_int_eq(fscanf(file, "%u", &count), 1);
    pclose(file);
    return count;
}

START_TEST(a_created_file_is_private_and_holds_the_ring)
{
    struct stat st;

    ck_assert_msg(key_file_create(at("config/mesh/key"), ring, message, sizeof message) == 0, "%s", message);
    ck_assert_int_eq(stat(at("config/mesh/key"), &st), 0);
    ck_assert_int_eq(st.st_mode & 07777, 0600);
    ck_assert_int_eq(stat(at("config/mesh"), &st), 0);
    ck_assert_int_eq(st.st_mode & 07777, 0700);
    ck_assert_int_eq(key_file_read(at("config/mesh/key"), other, message, sizeof message), 0);
    ck_assert_uint_eq(keyring_in_use(other)->id, keys[0].id);
    ck_assert_uint_eq(count_files(at("config/mesh")), 1); /* nothing is left beside it */
}
END_TEST

START_TEST(creating_never_replaces)
{
    ck_assert_int_eq(key_file_create(at("key"), ring, message, sizeof message), 0);
    keyring_install(ring, &keys[1]);
    ck_assert_int_eq(key_file_create(at("key"), ring, message, sizeof message), MESH_EEXISTS);
    ck_assert_int_eq(key_file_read(at("key"), other, message, sizeof message), 0);
    ck_assert_uint_eq(keyring_count(other), 1);
    ck_assert_uint_eq(count_files(root), 1);
}
END_TEST

START_TEST(replacing_is_whole_and_follows_a_link)
{
    struct stat st;

    ck_assert_int_eq(key_file_replace(at("key"), ring, message, sizeof message), MESH_ENOTFOUND);
    ck_assert_int_eq(key_file_create(at("real/key"), ring, message, sizeof message), 0);
    ck_assert_int_eq(symlink("real/key", at("key")), 0);
    keyring_install(ring, &keys[1]);
    keyring_use(ring, keys[1].id);
    ck_assert_msg(key_file_replace(at("key"), ring, message, sizeof message) == 0, "%s", message);
    ck_assert_int_eq(lstat(at("key"), &st), 0);
    ck_assert(S_ISLNK(st.st_mode));
    ck_assert_int_eq(stat(at("real/key"), &st), 0);
    ck_assert_int_eq(st.st_mode & 07777, 0600);
    ck_assert_int_eq(key_file_read(at("real/key"), other, message, sizeof message), 0);
    ck_assert_uint_eq(keyring_in_use(other)->id, keys[1].id);
    ck_assert_uint_eq(count_files(at("real")), 1);
}
END_TEST

static const struct {
    mode_t mode;
    int want;
} mode_cases[] = {
    {0600, 0}, {0400, 0}, {0700, 0}, {0644, MESH_EUNAUTHORIZED}, {0640, MESH_EUNAUTHORIZED}, {0604, MESH_EUNAUTHORIZED},
    {0602, MESH_EUNAUTHORIZED}, {0620, MESH_EUNAUTHORIZED}, {0666, MESH_EUNAUTHORIZED},
};

START_TEST(what_others_may_read_is_refused)
{
    char key[CLUSTER_KEY_TEXT_SIZE];

    put("key", mode_cases[_i].mode, cluster_key_format(&keys[1], key));
    ck_assert_int_eq(key_file_read(at("key"), other, message, sizeof message), mode_cases[_i].want);
    ck_assert_uint_eq(keyring_count(other), mode_cases[_i].want == 0);
    if (mode_cases[_i].want == 0) return;
    ck_assert_ptr_nonnull(strstr(message, "chmod 600"));
    ck_assert_ptr_null(strstr(message, key));
}
END_TEST

START_TEST(what_is_no_key_file_is_refused_with_its_path)
{
    ck_assert_int_eq(key_file_read(at("nothing"), other, message, sizeof message), MESH_ENOTFOUND);
    ck_assert_ptr_nonnull(strstr(message, at("nothing")));
    put("key", 0600, "mesh1:oops\n");
    ck_assert_int_eq(key_file_read(at("key"), other, message, sizeof message), MESH_EINVAL);
    ck_assert_ptr_nonnull(strstr(message, at("key: line 1")));
    ck_assert_int_ne(key_file_read(root, other, message, sizeof message), 0);
    ck_assert_int_eq(mkfifo(at("pipe"), 0600), 0);
    ck_assert_int_eq(key_file_read(at("pipe"), other, message, sizeof message), MESH_EINVAL); /* and does not wait */
    ck_assert_uint_eq(keyring_count(other), 0);
}
END_TEST

START_TEST(places_are_searched_in_their_order)
{
    char option[256], environment[256], data[256], config[256], home[256], path[KEY_PATH_MAX];
    struct key_places places = {.data_dir = data, .xdg_config_home = config, .home = home};

    snprintf(option, sizeof option, "%s", at("option"));
    snprintf(environment, sizeof environment, "%s", at("environment"));
    snprintf(data, sizeof data, "%s", at("data"));
    snprintf(config, sizeof config, "%s", at("config"));
    snprintf(home, sizeof home, "%s", at("home"));
    ck_assert_int_eq(key_file_find(&places, path, message, sizeof message), MESH_ENOTFOUND);
    ck_assert_int_eq(key_file_place_for_new(&places, path, message, sizeof message), 0);
    ck_assert_str_eq(path, at("config/mesh/key"));
    ck_assert_int_eq(key_file_create(path, ring, message, sizeof message), 0);
    ck_assert_int_eq(key_file_find(&places, path, message, sizeof message), 0);
    ck_assert_str_eq(path, at("config/mesh/key"));
    ck_assert_int_eq(key_file_create(at("data/key"), ring, message, sizeof message), 0);
    ck_assert_int_eq(key_file_find(&places, path, message, sizeof message), 0);
    ck_assert_str_eq(path, at("data/key"));
    places.environment = environment;
    ck_assert_int_eq(key_file_find(&places, path, message, sizeof message), MESH_EIO); /* what was named must be there */
    ck_assert_ptr_nonnull(strstr(message, "MESH_KEY_FILE"));
    put("environment", 0600, "");
    ck_assert_int_eq(key_file_find(&places, path, message, sizeof message), 0);
    ck_assert_str_eq(path, environment);
    places.option = option;
    ck_assert_int_eq(key_file_find(&places, path, message, sizeof message), MESH_EIO);
    ck_assert_ptr_nonnull(strstr(message, "--key-file"));
    put("option", 0600, "");
    ck_assert_int_eq(key_file_find(&places, path, message, sizeof message), 0);
    ck_assert_str_eq(path, option);
}
END_TEST

START_TEST(a_home_is_enough_and_without_one_there_is_the_data_directory)
{
    char path[KEY_PATH_MAX];
    struct key_places places = {.xdg_config_home = "relative", .home = root};

    ck_assert_int_eq(key_file_place_for_new(&places, path, message, sizeof message), 0);
    ck_assert_str_eq(path, at(".config/mesh/key"));
    ck_assert_int_eq(key_file_create(path, ring, message, sizeof message), 0);
    ck_assert_int_eq(key_file_find(&places, path, message, sizeof message), 0);
    ck_assert_str_eq(path, at(".config/mesh/key"));
    places = (struct key_places){.data_dir = root, .home = ""};
    ck_assert_int_eq(key_file_place_for_new(&places, path, message, sizeof message), 0);
    ck_assert_str_eq(path, at("key"));
    put("no_home", 0600, ""); /* nothing can be made below a file */
    places.home = at("no_home/user");
    ck_assert_int_eq(key_file_place_for_new(&places, path, message, sizeof message), 0);
    ck_assert_str_eq(path, at("key"));
    places.home = root;
    ck_assert_int_eq(key_file_place_for_new(&places, path, message, sizeof message), 0);
    ck_assert_str_eq(path, at(".config/mesh/key"));
    places.home = NULL;
    places.data_dir = NULL;
    ck_assert_int_eq(key_file_place_for_new(&places, path, message, sizeof message), MESH_ENOTFOUND);
}
END_TEST

/* Several first starts at once: one key comes of it. */
static void *create_at_once(void *user)
{
    char text[256];

    return (void *)(intptr_t)key_file_create(at(user), ring, text, sizeof text);
}

START_TEST(of_many_that_create_one_wins)
{
    pthread_t threads[8];
    int winners = 0;

    for (int i = 0; i < 8; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, create_at_once, (void *)(uintptr_t)"raced/key"), 0);
    for (int i = 0; i < 8; i++) {
        void *result;
        pthread_join(threads[i], &result);
        if (result == NULL)
            winners++;
        else
            ck_assert_int_eq((int)(intptr_t)result, MESH_EEXISTS);
    }
    ck_assert_int_eq(winners, 1);
    ck_assert_uint_eq(count_files(at("raced")), 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("key file");
    TCase *tcase = tcase_create("files");

    crypto_init();
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, a_created_file_is_private_and_holds_the_ring);
    tcase_add_test(tcase, creating_never_replaces);
    tcase_add_test(tcase, replacing_is_whole_and_follows_a_link);
    tcase_add_loop_test(tcase, what_others_may_read_is_refused, 0, sizeof mode_cases / sizeof mode_cases[0]);
    tcase_add_test(tcase, what_is_no_key_file_is_refused_with_its_path);
    tcase_add_test(tcase, places_are_searched_in_their_order);
    tcase_add_test(tcase, a_home_is_enough_and_without_one_there_is_the_data_directory);
    tcase_add_test(tcase, of_many_that_create_one_wins);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
