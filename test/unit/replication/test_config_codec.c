/* The configuration of consensus as bytes: round trips, cuts, lies. */
#include "base/error.h"
#include "replication/consensus/config_codec.h"
#include "support/run_suite.h"

#include <stdlib.h>
#include <string.h>

static struct raft_server server(uint8_t broker, uint8_t dir)
{
    struct raft_server made;

    memset(&made, 0, sizeof(made));
    made.broker.bytes[0] = broker;
    made.dir.bytes[15] = dir;
    return made;
}

static struct raft_config sample(void)
{
    struct raft_config config;

    memset(&config, 0, sizeof(config));
    config.voters[config.voter_count++] = server(1, 1);
    config.voters[config.voter_count++] = server(2, 1);
    config.old_voters[config.old_voter_count++] = server(1, 1);
    config.old_voters[config.old_voter_count++] = server(2, 9); /* the same broker on the disk that it lost */
    config.learners[config.learner_count++] = server(3, 1);
    return config;
}

/* Decodes from memory of exactly that size, so that a sanitizer sees a read beyond it. */
static int decode(struct slice bytes, struct raft_config *ret_config)
{
    uint8_t *exact = malloc(bytes.size + 1);
    int err;

    ck_assert_ptr_nonnull(exact);
    memcpy(exact + 1, bytes.data, bytes.size);
    err = raft_config_decode(slice_of(exact + 1, bytes.size), ret_config);
    free(exact);
    return err;
}

START_TEST(a_configuration_reads_back_as_written_and_needs_every_byte)
{
    struct raft_config config = sample(), read;
    struct buffer bytes = BUFFER_INIT;

    ck_assert_int_eq(raft_config_encode(&bytes, &config), 0);
    for (size_t cut = 0; cut < bytes.size; cut++)
        ck_assert_int_eq(decode(slice_of(bytes.data, cut), &read), MESH_ECORRUPT);
    ck_assert_int_eq(decode(buffer_slice(&bytes), &read), 0);
    ck_assert(raft_config_equal(&read, &config));
    ck_assert_mem_eq(&read, &config, sizeof(read));
    ck_assert_int_eq(buffer_append(&bytes, "", 1), 0);
    ck_assert_int_eq(decode(buffer_slice(&bytes), &read), MESH_ECORRUPT);
    bytes.data[0] = 2;
    ck_assert_int_eq(decode(buffer_slice(&bytes), &read), MESH_EVERSION);
    bytes.data[0] = 0;
    ck_assert_int_eq(decode(buffer_slice(&bytes), &read), MESH_ECORRUPT);
    buffer_deinit(&bytes);
}
END_TEST

START_TEST(the_largest_fits_its_limit_and_nobody_is_a_configuration_too)
{
    struct raft_config config, read;
    struct buffer bytes = BUFFER_INIT;

    memset(&config, 0, sizeof(config));
    ck_assert_int_eq(raft_config_encode(&bytes, &config), 0);
    ck_assert_int_eq(decode(buffer_slice(&bytes), &read), 0);
    ck_assert_uint_eq(read.voter_count, 0);
    for (uint8_t i = 0; i < RAFT_SERVERS_MAX; i++) {
        config.voters[i] = config.old_voters[i] = server((uint8_t)(i + 1), 1);
        config.learners[i] = server((uint8_t)(i + 1), 2);
    }
    config.voter_count = config.old_voter_count = config.learner_count = RAFT_SERVERS_MAX;
    buffer_clear(&bytes);
    ck_assert_int_eq(raft_config_encode(&bytes, &config), 0);
    ck_assert_uint_eq(bytes.size, RAFT_CONFIG_BYTES_MAX);
    ck_assert_int_eq(decode(buffer_slice(&bytes), &read), 0);
    ck_assert(raft_config_equal(&read, &config));
    buffer_deinit(&bytes);
}
END_TEST

START_TEST(what_cannot_be_is_refused)
{
    struct raft_config config = sample(), read;
    struct buffer bytes = BUFFER_INIT;

    if (_i == 0) config.voters[1] = config.voters[0];     /* twice */
    if (_i == 1) config.learners[0] = config.voters[0];   /* voter and learner */
    if (_i == 2) config.voters[0] = server(0, 1);         /* nobody's uuid */
    if (_i == 3) config.voter_count = 0;                  /* learners of nobody */
    if (_i == 4) config.old_voters[1] = config.old_voters[0];
    ck_assert(!raft_config_is_sound(&config));
    ck_assert_int_eq(raft_config_encode(&bytes, &config), 0);
    ck_assert_int_eq(decode(buffer_slice(&bytes), &read), MESH_ECORRUPT);
    buffer_clear(&bytes);
    config = sample();
    ck_assert_int_eq(raft_config_encode(&bytes, &config), 0);
    bytes.data[1] = RAFT_SERVERS_MAX + 1;
    ck_assert_int_eq(decode(buffer_slice(&bytes), &read), MESH_ECORRUPT);
    buffer_deinit(&bytes);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("config_codec");
    TCase *tcase = tcase_create("config_codec");

    tcase_add_test(tcase, a_configuration_reads_back_as_written_and_needs_every_byte);
    tcase_add_test(tcase, the_largest_fits_its_limit_and_nobody_is_a_configuration_too);
    tcase_add_loop_test(tcase, what_cannot_be_is_refused, 0, 5);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
