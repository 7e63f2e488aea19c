#!/usr/bin/env python3
"""What idle things cost: memory and start time, with bounds that a slow machine still keeps."""
import time

from harness import Case, main

PARTITIONS = 10_000


class Scale(Case):
    def test_idle_broker_is_small_and_quick(self):
        start = time.monotonic()
        broker = self.start_broker()
        self.assertLess(time.monotonic() - start, 2)
        self.assertLess(broker.memory_kib(), 32 * 1024)

    def test_ten_thousand_idle_partitions(self):
        broker = self.start_broker()
        before = broker.memory_kib()
        self.mesh("topic", "create", "wide", "--partitions", PARTITIONS)
        self.mesh("topic", "describe", "wide")
        self.assertLess(broker.memory_kib() - before, 64 * 1024)
        self.assertEqual(broker.stop(), 0)
        start = time.monotonic()
        broker.start()
        self.assertLess(time.monotonic() - start, 5)
        self.assertLess(broker.memory_kib(), 96 * 1024)
        self.mesh("produce", "wide", stdin=b"x\n" * 1000)
        self.assertEqual(self.mesh("consume", "wide", "--until-end").out, b"x\n" * 1000)
        broker.kill()
        start = time.monotonic()
        broker.start()
        self.assertLess(time.monotonic() - start, 10)
        self.assertEqual(self.mesh("consume", "wide", "--until-end").out, b"x\n" * 1000)

    def test_idle_broker_uses_no_cpu(self):
        broker = self.start_broker()
        self.mesh("topic", "create", "t", "--partitions", "1000")
        self.mesh("produce", "t", stdin=b"x\n")
        consumer = self.spawn("consume", "t", "--from", "end", "--timeout", "3s")  # a long poll is no work, either
        before = self.cpu_seconds(broker.pid)
        self.assertEqual(consumer.wait(60), 4)
        self.assertLess(self.cpu_seconds(broker.pid) - before, 0.3, "CPU-seconds in three idle seconds")

    @staticmethod
    def cpu_seconds(pid):
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / 100


if __name__ == "__main__":
    main()
