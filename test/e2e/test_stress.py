#!/usr/bin/env python3
"""Everything at once on several shards, with clients that are killed and topics that come and go; then a stop under load."""
import http.client
import json
import os
import random
import signal
import subprocess
import threading
import time

from harness import COMMAND_SECONDS, Case, SANITIZER_MARKS, main

SECONDS = 8        # of load
WINDOW = 50        # lines that a producer sends before it waits for their receipts
PARTITIONS = 6


class Producer:
    """`mesh produce`, fed a window of numbered lines at a time; remembers what was acknowledged."""

    def __init__(self, case, name, topic, *options):
        self.name, self.topic, self.ends, self.acknowledged, self.sent = name, topic, {}, 0, 0
        fifo = case.path(f"receipts-{name}")
        os.mkfifo(fifo)
        self.errors = open(case.path(f"errors-{name}"), "w+b")
        self.process = case.spawn("produce", topic, "--receipts", fifo, "--quiet", *options, stdin=subprocess.PIPE,
                                  stdout=subprocess.DEVNULL, stderr=self.errors)
        self.receipts = open(fifo, "rb")
        self.is_ending = False
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def read_receipt(self):
        line = self.receipts.readline()
        if not line.endswith(b"\n"):
            return False
        receipt = json.loads(line)
        self.acknowledged += receipt["last_offset"] + 1 - receipt["first_offset"]
        self.ends[receipt["partition"]] = max(receipt["last_offset"] + 1, self.ends.get(receipt["partition"], 0))
        return True

    def run(self):
        try:
            while not self.is_ending:
                lines = b"".join(b"%s %d\n" % (self.name.encode(), self.sent + i) for i in range(WINDOW))
                self.process.stdin.write(lines)
                self.process.stdin.flush()
                self.sent += WINDOW
                while self.acknowledged < self.sent:
                    if not self.read_receipt():
                        return
        except BrokenPipeError:
            pass
        while self.read_receipt():
            pass

    def end(self):
        """Waits for the process, which was killed or whose broker is gone."""
        self.is_ending = True
        self.process.wait(COMMAND_SECONDS)
        self.thread.join(COMMAND_SECONDS)
        self.errors.seek(0)
        text = self.errors.read().decode(errors="replace")
        self.errors.close()
        self.receipts.close()
        return [line for line in text.splitlines() if any(mark in line for mark in SANITIZER_MARKS)]


class Stress(Case):
    def spawn_consumer(self, topic, *options):
        return self.spawn("consume", topic, "--quiet", *options, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def churn(self, number):
        """A topic's whole life, while others are served."""
        name = f"brief-{number}"
        self.mesh("topic", "create", name, "--partitions", 1 + number % 5)
        self.mesh("produce", name, stdin=b"x\n" * 100)
        self.mesh("topic", "alter", name, "--partitions", 6, "--set", "flush=" + ("async", "group")[number % 2])
        reader = self.spawn_consumer(name)  # it may wait there when its topic goes
        self.mesh("produce", name, stdin=b"y\n" * 100)
        self.mesh("topic", "delete", name)
        reader.kill()
        reader.wait(COMMAND_SECONDS)

    def read_metrics(self):
        host, port = self.broker.address.rsplit(":", 1)
        connection = http.client.HTTPConnection(host, int(port), timeout=COMMAND_SECONDS)
        connection.request("GET", "/metrics")
        self.assertIn(b"mesh_produced_records_total", connection.getresponse().read())
        connection.close()

    def run_load(self, producers, consumers):
        """Rounds of everything until the time is over. Producers and consumers are killed and replaced."""
        end, number, gone = time.monotonic() + SECONDS, 0, []
        while time.monotonic() < end:
            self.churn(number)
            self.read_metrics()
            self.mesh("topic", "describe", "kept", "--json")
            self.mesh("status", "--json")
            victim = producers.pop(0)
            victim.process.kill()
            gone.append(victim)
            producers.append(Producer(self, f"p{number + 100}", victim.topic, "--batch-bytes", "4KiB", "--timeout", "10s"))
            reader = consumers.pop(0)
            reader.kill()
            reader.wait(COMMAND_SECONDS)
            consumers.append(self.spawn_consumer(random.choice(("kept", "fast")), "--from", random.choice(("end", "beginning"))))
            number += 1
        return gone

    def check(self, topic, producers):
        """All that was acknowledged is there; what one producer sent to one partition is in order, and once."""
        wanted = {}
        for producer in producers:
            for partition, end in producer.ends.items():
                wanted[partition] = max(end, wanted.get(partition, 0))
        next_offset, last = {}, {}
        counts = dict.fromkeys((producer.name for producer in producers), 0)
        for line in self.mesh("consume", topic, "--until-end", "--json").out.splitlines():
            row = json.loads(line)
            partition = row["partition"]
            self.assertEqual(row["offset"], next_offset.get(partition, 0))
            next_offset[partition] = row["offset"] + 1
            name, number = row["value"].split()
            self.assertGreater(int(number), last.get((name, partition), -1), row)
            last[name, partition] = int(number)
            counts[name] += 1
        for partition, end in wanted.items():
            self.assertGreaterEqual(next_offset.get(partition, 0), end, f"{topic} {partition}")
        for producer in producers:
            self.assertGreaterEqual(counts[producer.name], producer.acknowledged, producer.name)

    def test_everything_at_once_then_a_stop_under_load(self):
        self.start_broker(options=["--shards", "3", "--set", "store.memory.bytes.max=48m", "--set", "memory.bytes.max=16m"])
        self.mesh("topic", "create", "kept", "--partitions", PARTITIONS)
        self.mesh("topic", "create", "fast", "--partitions", PARTITIONS, "--set", "flush=async")
        producers = []
        for number in range(4):
            producers.append(Producer(self, f"p{number}", ("kept", "fast")[number % 2], "--batch-bytes", "4KiB", "--timeout", "10s"))
        consumers = [self.spawn_consumer(topic) for topic in ("kept", "fast", "kept")]
        gone = self.run_load(producers, consumers)
        self.assertEqual(self.broker.stop(signal.SIGTERM), 0, self.broker.log())
        everyone = gone + producers
        complaints = [line for producer in everyone for line in producer.end()]
        self.assertEqual(complaints + self.broker.complaints(), [])
        self.assertGreater(min(producer.acknowledged for producer in producers[:-1]), 0)
        self.broker.start()
        for topic in ("kept", "fast"):
            self.check(topic, [producer for producer in everyone if producer.topic == topic])
        self.assert_serves()


if __name__ == "__main__":
    main()
