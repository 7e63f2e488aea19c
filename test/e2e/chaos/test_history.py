#!/usr/bin/env python3
"""The checker notices what it is there for: each kind of lie is planted in a history that is sound without it."""
import unittest

from history import History, told_losses

HASH = "00000000000000aa"


def producer_lines(name="p", kind="idempotent", acks=-1, told=(), sent=None):
    lines = [f"P {name} {kind} {acks}\n", *told]
    if sent is not None:
        lines.append(f"s {sent}\n")
    return lines


def ack(number, offset, partition=0, epoch=1):
    return f"a 100 {partition} {offset} {epoch} {number} 3 3\n"


def read(offset, number, partition=0, epoch=1, name="p", digest=HASH):
    return f"r {partition} {offset} {epoch} {name} {number} {digest}\n"


SOUND_ACKS = [ack(0, 1), ack(1, 2), ack(2, 3), ack(3, 5, epoch=2)]
SOUND_READS = ["n\n", read(1, 0), read(2, 1), read(3, 2), read(5, 3, epoch=2)]


class Checker(unittest.TestCase):
    def judge(self, acks=SOUND_ACKS, reads=SOUND_READS, others=(), kind="idempotent", level=-1, sent=4, excused=(), forgotten=(), ends=(6,)):
        history = History()
        history.read_producer(producer_lines(told=acks, sent=sent, kind=kind, acks=level))
        seen = history.read_consumer(reads, "first")
        if others:
            history.read_consumer(others, "second", forgotten)
        history.check(excused)
        history.check_homes()
        history.check_complete(seen, ends, "first")
        return set(history.violations)

    def test_a_sound_history_is_sound(self):
        self.assertEqual(self.judge(), set())
        self.assertEqual(self.judge(others=["n\n", read(2, 1), read(3, 2), "n\n", read(1, 0), read(2, 1)]), set())

    def test_loss(self):
        self.assertEqual(self.judge(reads=SOUND_READS[:-1], ends=(5,)), {"lost"})
        self.assertIn("lost", self.judge(reads=[*SOUND_READS[:2], *SOUND_READS[3:]]))

    def test_loss_is_excused_only_where_the_mesh_has_told_it(self):
        log = ["ERROR acknowledged records may be lost: no complete replica was left, and this one leads now, with what it has topic=t partition=0 epoch=4 end=5\n"]
        self.assertEqual(told_losses(log), {"t": {0}})
        self.assertEqual(told_losses(["WARN a replica has left topic=t partition=0 epoch=4\n"]), {})
        self.assertEqual(self.judge(reads=SOUND_READS[:-1], ends=(5,), excused=told_losses(log)["t"]), set())
        self.assertEqual(self.judge(reads=SOUND_READS[:-1], ends=(5,), excused={1}), {"lost"})

    def test_what_was_read_before_a_loss_is_forgotten_and_nothing_else(self):
        changed = ["n\n", read(2, 1, digest="00000000000000ab"), read(2, 7), "e 5 0 3 OFFSET_OUT_OF_RANGE\n", "bad 0 2 rubbish\n"]
        self.assertEqual(self.judge(others=changed, forgotten={0}), set())
        self.assertEqual(self.judge(others=changed, forgotten={1}), {"changed", "changed bytes", "disappeared", "read order"})

    def test_loss_of_what_only_the_leader_had_promised_is_no_loss(self):
        self.assertEqual(self.judge(reads=SOUND_READS[:-1], ends=(5,), level=1), set())

    def test_another_record_where_one_was_acknowledged(self):
        self.assertEqual(self.judge(acks=[ack(0, 1), ack(1, 3), ack(2, 2), ack(3, 5)]), {"lost"})

    def test_duplicates(self):
        twice = [*SOUND_READS, read(6, 2, epoch=2)]
        self.assertEqual(self.judge(reads=twice, ends=(7,)), {"duplicate"})
        self.assertEqual(self.judge(reads=twice, ends=(7,), kind="plain"), set())

    def test_one_record_in_two_partitions(self):
        self.assertEqual(self.judge(reads=[*SOUND_READS, read(1, 3, partition=1)], ends=(6, 2)), {"duplicate"})

    def test_order(self):
        swapped = ["n\n", read(1, 0), read(2, 2), read(3, 1), read(5, 3, epoch=2)]
        self.assertEqual(self.judge(acks=[ack(0, 1), ack(2, 2), ack(1, 3), ack(3, 5)], reads=swapped), {"order"})

    def test_bytes_that_change(self):
        self.assertEqual(self.judge(others=["n\n", read(2, 1, digest="00000000000000ab")]), {"changed"})
        self.assertEqual(self.judge(others=["n\n", read(2, 1, epoch=2)]), {"changed"})
        self.assertEqual(self.judge(others=["bad 0 2 rubbish\n"]), {"changed bytes"})

    def test_a_record_that_is_replaced(self):
        self.assertIn("changed", self.judge(others=["n\n", read(2, 3)]))

    def test_a_reader_that_is_led_past_a_record(self):
        self.assertEqual(self.judge(others=["n\n", read(1, 0), read(3, 2)]), {"skipped"})

    def test_a_reader_that_goes_back(self):
        self.assertEqual(self.judge(others=["n\n", read(2, 1), read(1, 0)]), {"read order"})

    def test_an_end_that_comes_too_early(self):
        self.assertEqual(self.judge(ends=(5,)), {"end"})

    def test_a_broker_that_lacks_what_others_have(self):
        self.assertIn("missing", self.judge(others=["n\n", read(4, 9)], sent=10))

    def test_gaps(self):
        acks = [ack(0, 1), ack(1, 9)]
        self.assertEqual(self.judge(acks=acks, reads=["n\n", read(1, 0), read(9, 1)], sent=2, ends=(10,)), {"gap"})
        self.assertEqual(self.judge(acks=acks, reads=["n\n", read(1, 0), read(9, 1, epoch=8)], sent=2, ends=(10,)), set())

    def test_epochs_that_fall(self):
        self.assertEqual(self.judge(acks=[ack(0, 0), ack(1, 1)], reads=["n\n", read(0, 0, epoch=3), read(1, 1, epoch=2)], sent=2, ends=(2,)), {"epochs"})

    def test_offsets_that_are_gone(self):
        self.assertEqual(self.judge(others=["e 5 0 3 OFFSET_OUT_OF_RANGE\n"]), {"disappeared"})
        self.assertEqual(self.judge(others=["e 5 0 3 TIMEDOUT\n"]), set())

    def test_what_failed_and_is_there_all_the_same(self):
        self.assertEqual(self.judge(acks=[*SOUND_ACKS[:-1], "f 5 0 3 NOT_ENOUGH_REPLICAS\n"]), {"stored though failed"})
        self.assertEqual(self.judge(acks=[*SOUND_ACKS[:-1], "u 5 0 3 TIMEDOUT\n"]), set())

    def test_records_that_nobody_sent(self):
        self.assertEqual(self.judge(acks=SOUND_ACKS[:3], sent=3), {"invented"})
        self.assertEqual(self.judge(reads=[*SOUND_READS, read(6, 0, name="stranger", epoch=2)], ends=(7,)), {"invented"})

    def test_outcomes(self):
        self.assertEqual(self.judge(sent=5), {"untold"})
        self.assertIn("told twice", self.judge(acks=[*SOUND_ACKS, ack(3, 5)]))
        self.assertEqual(self.judge(sent=None), {"unfinished"})


if __name__ == "__main__":
    unittest.main()
