/* Short CRCs go another way than long ones: both against the definition, at every length and alignment. */
#include "base/crc32c.h"
#include "base/random.h"
#include "support/run_suite.h"

#include <check.h>

/* Bit by bit, as the polynomial says. */
static uint32_t reference_extend(uint32_t crc, const uint8_t *at, size_t size)
{
    crc = ~crc;
    for (; size > 0; at++, size--) {
        crc ^= *at;
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ 0x82f63b78 : crc >> 1;
    }
    return ~crc;
}

START_TEST(every_length_and_alignment_agrees_with_the_definition)
{
    uint8_t bytes[320];
    struct random random;

    random_init(&random, 1);
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)random_next(&random);
    for (size_t start = 0; start < 16; start++) {
        for (size_t size = 0; size <= 300; size++) {
            uint32_t before = (uint32_t)random_next(&random);
            uint32_t crc = crc32c_extend(before, bytes + start, size);
            if (crc != reference_extend(before, bytes + start, size))
                ck_abort_msg("start=%zu size=%zu", start, size);
        }
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("crc32c");
    TCase *tcase = tcase_create("crc32c");

    tcase_add_test(tcase, every_length_and_alignment_agrees_with_the_definition);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
