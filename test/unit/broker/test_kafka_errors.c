/* What Kafka's clients are told of our errors: of those that groups know, none is "unknown"; and members hear nothing that a Java client dies of. */
#include "cmd/broker/front/kafka/errors.h"

#include "base/error.h"
#include "support/run_suite.h"

static const struct {
    int error;
    int16_t of_group, of_member;
} cases[] = {
    {0, 0, 0},
    {MESH_EBUSY, 14, 15}, /* a coordinator that loads: known to those who join and commit, not to those who sync */
    {MESH_ENOMEM, 14, 15},
    {MESH_EFULL, 44, 15},
    {MESH_EAGAIN, 15, 15},
    {MESH_EUNREACHABLE, 15, 15},
    {MESH_ETIMEDOUT, 15, 15},
    {MESH_ESTORAGE, 15, 15}, /* the leader's disk */
    {MESH_EIO, 15, 15},
    {MESH_ECORRUPT, 15, 15},
    {MESH_ENOT_LEADER, 16, 16},
    {MESH_EINVALID_TOPIC, 17, 17},
    {MESH_ESTALE_GENERATION, 22, 22},
    {MESH_EUNKNOWN_MEMBER, 25, 25},
    {MESH_EREBALANCING, 27, 27},
    {MESH_EFENCED_INSTANCE, 82, 82},
    {MESH_ETOOLARGE, 10, -1}, /* a metadata text of a commit; an assignment */
};

START_TEST(each_error_has_a_code_that_its_client_knows)
{
    ck_assert_int_eq(kafka_group_code_of(cases[_i].error), cases[_i].of_group);
    ck_assert_int_eq(kafka_member_code_of(cases[_i].error), cases[_i].of_member);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("kafka_errors");
    TCase *tcase = tcase_create("codes");

    tcase_add_loop_test(tcase, each_error_has_a_code_that_its_client_knows, 0, (int)(sizeof(cases) / sizeof(cases[0])));
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
