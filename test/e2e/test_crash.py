#!/usr/bin/env python3
"""kill -9 while records come in: what was acknowledged is there afterwards, once, and in order."""
import json
import os
import subprocess
import threading

from harness import Case, COMMAND_SECONDS, main


class Crash(Case):
    def start_load(self, topic, *options, lines=100_000_000):
        """`seq` into `mesh produce`; returns the producer and the open end of its receipts, which block when there is none."""
        receipts = self.path(f"receipts-{topic}")
        os.mkfifo(receipts)
        producer = self.spawn("produce", topic, "--receipts", receipts, "--json", *options, stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        feeder = subprocess.Popen(["seq", str(lines)], stdout=producer.stdin)
        self.children.append(feeder)
        producer.stdin.close()
        producer.stdin = None
        return producer, open(receipts, "rb")

    @staticmethod
    def read_receipts(file, until):
        """{partition: records acknowledged} so far, once they are `until` altogether (or the producer has ended)."""
        ends = {}
        while sum(ends.values()) < until:
            line = file.readline()
            if not line:
                break
            receipt = json.loads(line)
            assert receipt["replicas_synced"] >= 1, receipt
            ends[receipt["partition"]] = receipt["last_offset"] + 1
        return ends

    def check_everything_acknowledged_is_there(self, topic, ends):
        topic_info = self.mesh("topic", "describe", topic, "--json").json
        for partition in topic_info["partitions"]:
            self.assertGreaterEqual(partition["high_watermark"], ends.get(partition["partition"], 0), partition)
        out = self.mesh("consume", topic, "--until-end", "--json").out
        seen = {}
        for row in map(json.loads, out.splitlines()):
            values = seen.setdefault(row["partition"], [])
            self.assertEqual(row["offset"], len(values))
            values.append(int(row["value"]))
        for values in seen.values():
            self.assertEqual(values, sorted(set(values)), "order, and no duplicates")
        return seen

    def test_acknowledged_records_survive(self):
        broker = self.start_broker()
        self.mesh("topic", "create", "t")
        producer, receipts = self.start_load("t", "--timeout", "10s")
        with receipts:
            ends = self.read_receipts(receipts, 300_000)
            broker.kill()
            for partition, end in self.read_receipts(receipts, 1 << 62).items():
                ends[partition] = max(end, ends.get(partition, 0))
        self.assertEqual(producer.wait(COMMAND_SECONDS), 1)  # it could not deliver the rest, and says so
        facts = json.loads(producer.stdout.read())
        self.assertEqual(facts["records"], sum(ends.values()))
        self.assertGreater(facts["unknown"] + facts["failed"], 0)
        broker.start()
        seen = self.check_everything_acknowledged_is_there("t", ends)
        self.assertEqual(seen[0], list(range(1, len(seen[0]) + 1)), "no gap in what one producer sent to one partition")
        self.assert_serves()

    def test_acknowledged_records_survive_in_many_partitions(self):
        broker = self.start_broker()
        self.mesh("topic", "create", "t", "--partitions", "40")
        producer, receipts = self.start_load("t", "--timeout", "10s", "--batch-bytes", "4KiB")
        with receipts:
            ends = self.read_receipts(receipts, 200_000)
            broker.kill()
            for partition, end in self.read_receipts(receipts, 1 << 62).items():
                ends[partition] = max(end, ends.get(partition, 0))
        self.assertEqual(producer.wait(COMMAND_SECONDS), 1)
        self.assertGreater(len(ends), 20)
        broker.start()
        self.check_everything_acknowledged_is_there("t", ends)

    def test_producer_goes_on_after_the_crash_and_nothing_comes_twice(self):
        broker = self.start_broker()
        self.mesh("topic", "create", "t")
        lines = 3_000_000
        producer, receipts = self.start_load("t", "--timeout", "60s", lines=lines)
        with receipts:
            for until in (200_000, 800_000):
                self.read_receipts(receipts, until)
                broker.kill()
                broker.listen = broker.address  # the producer knows only this one
                broker.start()
            self.read_receipts(receipts, 1 << 62)
        result = self.finish(producer)
        self.assertEqual((result.json["records"], result.json["failed"], result.json["unknown"]), (lines, 0, 0))
        expected = subprocess.run(["seq", str(lines)], capture_output=True, check=True).stdout
        self.assertTrue(self.mesh("consume", "t", "--until-end").out == expected, "exactly what was sent, once, in order")

    def test_many_crashes_in_a_row(self):
        broker = self.start_broker()
        self.mesh("topic", "create", "t", "--partitions", "3")
        total = {}
        for number in range(6):
            self.mesh("produce", "t", "--partition", number % 3, stdin=b"%d\n" % number * 1000)
            total[number % 3] = total.get(number % 3, 0) + 1000
            broker.kill()
            broker.start()
            for partition in self.mesh("topic", "describe", "t", "--json").json["partitions"]:
                self.assertEqual(partition["high_watermark"], total.get(partition["partition"], 0))
        self.assertEqual(len(self.mesh("consume", "t", "--until-end").out.splitlines()), 6000)

    def test_topics_survive_a_crash_as_they_were_confirmed(self):
        broker = self.start_broker()
        for number in range(20):
            self.mesh("topic", "create", f"t{number}", "--partitions", number + 1)
        for number in range(0, 20, 2):
            self.mesh("topic", "delete", f"t{number}")
        self.mesh("topic", "alter", "t1", "--partitions", "9", "--set", "flush=async")
        broker.kill()
        broker.start()
        topics = {t["name"]: t["partitions"] for t in self.mesh("topic", "list", "--json").json["topics"]}
        self.assertEqual(topics, dict({f"t{n}": n + 1 for n in range(3, 20, 2)}, t1=9))
        self.assertEqual(self.mesh("topic", "describe", "t1", "--json").json["configs"]["flush"], "async")

    def test_consumer_goes_on_after_the_crash(self):
        broker = self.start_broker()
        self.mesh("topic", "create", "t")
        consumer = self.spawn("consume", "t", "--count", "2000", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        lines = []
        reader = threading.Thread(target=lambda: lines.extend(consumer.stdout), daemon=True)
        self.mesh("produce", "t", stdin=b"".join(b"%d\n" % n for n in range(1000)))
        reader.start()
        broker.kill()
        broker.listen = broker.address
        broker.start()
        self.mesh("produce", "t", stdin=b"".join(b"%d\n" % n for n in range(1000, 2000)))
        self.assertEqual(consumer.wait(COMMAND_SECONDS), 0)
        reader.join(60)
        self.assertEqual(lines, [b"%d\n" % n for n in range(2000)])


if __name__ == "__main__":
    main()
