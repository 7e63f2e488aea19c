/* Who is on this machine, by the address that a connection comes from. */
#include "cmd/broker/front/accept.h"
#include "support/run_suite.h"

#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>

static const struct {
    int family;
    const char *address;
    bool is_loopback;
} cases[] = {
    {AF_INET, "127.0.0.1", true},          {AF_INET, "127.255.255.254", true}, {AF_INET, "128.0.0.1", false},        {AF_INET, "10.0.0.127", false},
    {AF_INET, "0.0.0.0", false},           {AF_INET6, "::1", true},            {AF_INET6, "::", false},              {AF_INET6, "::2", false},
    {AF_INET6, "::ffff:127.0.0.1", true},  {AF_INET6, "::127.0.0.1", false},   {AF_INET6, "::ffff:10.0.0.1", false}, {AF_INET6, "fe80::1", false},
};

START_TEST(loopback_is_told_from_a_network)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    bool is_v4 = cases[_i].family == AF_INET;

    ck_assert_int_eq(inet_pton(cases[_i].family, cases[_i].address, is_v4 ? (void *)&v4.sin_addr : (void *)&v6.sin6_addr), 1);
    ck_assert(accept_is_loopback(is_v4 ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6) == cases[_i].is_loopback);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("accept");
    TCase *tcase = tcase_create("loopback");

    tcase_add_loop_test(tcase, loopback_is_told_from_a_network, 0, (int)(sizeof(cases) / sizeof(cases[0])));
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
