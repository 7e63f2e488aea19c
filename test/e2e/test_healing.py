#!/usr/bin/env python3
"""Damage in the files of replicas, by real brokers: it is found, told, and mended with records of the others; nothing damaged is ever served."""
import glob
import os
import signal

from harness import main, text_lines
from test_replication import Replication

SCRUB = ["--set", "scrub.first.ms=300", "--set", "scrub.rest.ms=1000"]
FOUND, MENDED = "damaged records were found", "all damaged records are mended"
DIVERGED = "records here are sound, but not those that the other replicas have"


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


class Healing(Replication):
    LINES = text_lines(3000)
    scrub = SCRUB

    # The cases of the class that this one stands on run by themselves.
    for inherited in [name for name in dir(Replication) if name.startswith("test_")]:
        locals()[inherited] = None
    del inherited

    def launch_together(self, count, **keywords):
        return super().launch_together(count, options=self.scrub, **keywords)

    def files(self, broker, name="*"):
        return sorted(glob.glob(os.path.join(broker.data, "topics", "*", "0", name + ".log")))

    def stored(self, broker):
        parts = []
        for path in self.files(broker):
            with open(path, "rb") as file:
                parts.append(file.read())
        return b"".join(parts)

    def filled(self, *settings):
        brokers = self.replicated("orders", 1, *settings)
        self.mesh("produce", "orders", "--partition", 0, stdin=b"\n".join(self.LINES) + b"\n", broker=brokers[0])
        self.until("all of it is in files", lambda: len(self.stored(brokers[0])) > 100000 and len({self.stored(b) for b in brokers}) == 1, *brokers)
        return brokers

    def flip(self, broker, at=0.5):
        path = self.files(broker)[0]
        with open(path, "r+b") as file:
            position = int(os.path.getsize(path) * at)
            file.seek(position)
            byte = file.read(1)[0]
            file.seek(position)
            file.write(bytes([byte ^ 4]))

    def forge(self, *brokers):
        """Another record in the place of one, with a right checksum, the same on each."""
        for broker in brokers:
            path = self.files(broker)[0]
            with open(path, "r+b") as file:
                data = file.read()
                start = 0
                while True:
                    size = 12 + int.from_bytes(data[start + 8:start + 12], "big")
                    if start + size > len(data) // 2:
                        break
                    start += size
                batch = bytearray(data[start:start + size])
                batch[-5] ^= 1
                batch[17:21] = crc32c(batch[21:]).to_bytes(4, "big")
                file.seek(start)
                file.write(batch)

    def seen(self, broker, mark):
        return lambda: any(mark in line for line in broker.lines)

    def check_all(self, brokers):
        """All replicas hold the same bytes, are in sync, and whoever leads serves what was produced."""
        self.until("all are in sync", self.in_sync(brokers[0], "orders", 3), *brokers)
        self.until("their files are equal", lambda: len({self.stored(broker) for broker in brokers}) == 1, *brokers)
        for broker in brokers:
            self.assertEqual(self.mesh("consume", "orders", "--until-end", broker=broker).out.split(b"\n")[:-1], self.LINES)

    def follower_of(self, brokers):
        leader = self.leader_of(brokers, "orders")
        return next(broker for broker in brokers if broker is not leader)

    def test_a_bit_flips_in_a_follower(self):
        brokers = self.filled()
        victim = self.follower_of(brokers)
        self.flip(victim)
        self.until("it is mended", self.seen(victim, MENDED), *brokers)
        self.assertTrue(self.seen(victim, FOUND)())
        self.check_all(brokers)

    def test_a_bit_flips_in_the_leader(self):
        brokers = self.filled()
        victim = self.leader_of(brokers, "orders")
        self.flip(victim)
        self.until("it is mended", self.seen(victim, MENDED), *brokers)
        self.check_all(brokers)

    def test_a_reader_that_gets_damaged_records_makes_their_leader_look(self):
        """Nobody else would: the scrubber begins hours later here."""
        self.scrub = ["--set", "scrub.first.ms=36000000"]
        brokers = self.filled()
        victim = self.leader_of(brokers, "orders")
        self.flip(victim)

        def is_read():
            return self.mesh("consume", "orders", "--until-end", broker=victim, code=None).out.split(b"\n")[:-1] == self.LINES

        self.until("it is mended", lambda: is_read() and self.seen(victim, MENDED)(), *brokers)
        self.assertTrue(self.seen(victim, "a reader got damaged records")())
        self.check_all(brokers)

    def test_bits_flip_while_a_broker_is_away(self):
        brokers = self.filled()
        victim = self.leader_of(brokers, "orders")
        self.assertEqual(victim.stop(), 0)
        for at in (0.1, 0.4, 0.9):
            self.flip(victim, at)
        victim.start()
        self.until("it is mended", self.seen(victim, MENDED), *brokers)
        self.check_all(brokers)

    def test_a_segment_file_is_gone(self):
        brokers = self.filled("--set", "segment.bytes=1m")
        victim = self.follower_of(brokers)
        self.assertEqual(victim.stop(), 0)
        os.unlink(self.files(victim)[0])
        victim.start()
        self.until("it is mended", self.seen(victim, MENDED), *brokers)
        self.check_all(brokers)

    def test_a_file_is_cut_short_and_its_broker_killed(self):
        brokers = self.filled()
        victim = self.follower_of(brokers)
        self.assertEqual(victim.stop(), 0)  # its journal is empty then: what is cut off below is nowhere else on its disk
        victim.start()
        self.until("all are in sync", self.in_sync(brokers[0], "orders", 3), *brokers)
        self.mesh("produce", "orders", "--partition", 0, stdin=b"one more\n", broker=brokers[0])
        self.LINES = self.LINES + [b"one more"]
        victim.kill()
        path = self.files(victim)[0]
        os.truncate(path, os.path.getsize(path) // 3)
        victim.start()
        self.until("it is mended", self.seen(victim, MENDED), *brokers)
        self.check_all(brokers)

    def test_a_follower_whose_records_are_sound_but_others_gets_the_right_ones(self):
        brokers = self.filled()
        victim = self.follower_of(brokers)
        self.assertEqual(victim.stop(), 0)  # what it has in memory would be compared instead
        self.forge(victim)
        victim.start()
        self.until("it is found", self.seen(victim, DIVERGED), *brokers)
        self.until("it is mended", self.seen(victim, MENDED), *brokers)
        self.check_all(brokers)

    def test_what_most_replicas_have_is_right_whoever_leads(self):
        brokers = self.filled()
        size = len(self.stored(brokers[0]))  # what is behind it when all stop, the beginning of an epoch, may not be committed
        for broker in brokers:
            broker.process.send_signal(signal.SIGTERM)
        for broker in brokers:
            broker.wait()
        self.forge(*brokers[:2])
        right = self.stored(brokers[0])[:size]
        self.assertNotEqual(right, self.stored(brokers[2])[:size])
        for broker in brokers:
            broker.launch()
        for broker in brokers:
            self.wait_ready(broker)
        self.until("it is found", self.seen(brokers[2], DIVERGED), *brokers)
        self.until("it is mended", self.seen(brokers[2], MENDED), *brokers)
        self.until("all are in sync", self.in_sync(brokers[0], "orders", 3), *brokers)
        self.until("their files are equal", lambda: len({self.stored(broker)[:len(right)] for broker in brokers}) == 1, *brokers)
        self.assertEqual(self.stored(brokers[2])[:len(right)], right)

    def test_the_only_replica_puts_the_leader_epoch_of_a_sound_batch_right(self):
        """No checksum covers it, and nobody else has the records; the books know which it was."""
        broker = self.launch_together(1)[0]
        self.mesh("topic", "create", "orders", "--partitions", 1, "--replicas", 1, broker=broker)
        self.mesh("produce", "orders", "--partition", 0, stdin=b"\n".join(self.LINES) + b"\n", broker=broker)
        self.assertEqual(broker.stop(), 0)
        path = self.files(broker)[0]
        with open(path, "r+b") as file:
            file.seek(12)  # of the first batch
            epoch = file.read(4)
            file.seek(12)
            file.write(bytes([epoch[0], epoch[1] ^ 2, epoch[2], epoch[3]]))
        broker.start()
        self.until("it is mended", self.seen(broker, MENDED), broker)
        self.assertTrue(self.seen(broker, FOUND)())
        self.assertEqual(self.stored(broker)[12:16], epoch)
        self.mesh("produce", "orders", "--partition", 0, stdin=b"one more\n", broker=broker)
        self.assertEqual(self.mesh("consume", "orders", "--until-end", broker=broker).out.split(b"\n")[:-1], self.LINES + [b"one more"])

    def test_the_last_complete_replica_refuses_what_is_damaged(self):
        brokers = self.filled("--set", "min.insync=1")
        leader = self.leader_of(brokers, "orders")
        others = [broker for broker in brokers if broker is not leader]
        for broker in others:
            broker.process.send_signal(signal.SIGSTOP)
        try:
            self.flip(leader, 0.05)
            self.until("it is found", self.seen(leader, FOUND), leader)
            refused = self.mesh("consume", "orders", "--partition", 0, "--until-end", "--timeout", "3", broker=leader, code=None)
            self.assertNotEqual(refused.code, 0, str(refused))
            self.assertLess(len(refused.out.splitlines()), len(self.LINES))
            self.assertEqual(self.LINES[:len(refused.out.splitlines())], refused.out.split(b"\n")[:-1])
        finally:
            for broker in others:
                broker.process.send_signal(signal.SIGCONT)
        self.until("it is mended", self.seen(leader, MENDED), *brokers)
        self.check_all(brokers)


if __name__ == "__main__":
    main()
