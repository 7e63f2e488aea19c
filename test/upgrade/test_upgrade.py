#!/usr/bin/env python3
"""Three brokers roll from the previous version's program to this one's and back, one by one, while clients of both versions produce and consume in a group:
no client sees an error, nothing is lost or doubled, order and committed offsets stay, and what one version's coordinator did the other version's reads."""
import os
import signal
import subprocess
import sys
import threading
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "e2e"))

from harness import MESH, main  # noqa: E402
from mesh_case import MeshCase  # noqa: E402

PARTITIONS = 4
LINES_PER_STEP, STEP_S = 20, 0.02


class Producer(threading.Thread):
    """`mesh produce` of one version, fed with numbered lines until it is told to stop; keys spread them over all partitions."""

    def __init__(self, test, program, name):
        super().__init__(daemon=True)
        self.name, self.count, self.is_over = name, 0, threading.Event()
        self.child = subprocess.Popen([program, "produce", "orders", "--key-delimiter", "\\t"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                      env=test.everybody)
        test.children.append(self.child)
        self.start()

    def run(self):
        while not self.is_over.wait(STEP_S):
            try:
                self.child.stdin.write(b"".join(b"%d\t%s %07d\n" % (i, self.name.encode(), self.count + i) for i in range(LINES_PER_STEP)))
                self.child.stdin.flush()
            except BrokenPipeError:
                return
            self.count += LINES_PER_STEP

    def finish(self, test):
        self.is_over.set()
        self.join()
        test.finish(self.child)  # 0: every line was acknowledged


class Member(threading.Thread):
    """`mesh consume --group` of one version; what it wrote out."""

    def __init__(self, test, program):
        super().__init__(daemon=True)
        self.seen = []
        self.child = subprocess.Popen([program, "consume", "orders", "--group", "billing"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=test.everybody)
        test.children.append(self.child)
        self.start()

    def run(self):
        for line in self.child.stdout:
            self.seen.append(line)

    def finish(self, test):
        self.child.send_signal(signal.SIGINT)
        self.join()
        complaint = self.child.stderr.read().decode(errors="replace")
        self.child.stderr.close()
        test.assertIn(self.child.wait(60), (0, 128 + signal.SIGINT, -signal.SIGINT), complaint)


class Upgrade(MeshCase):
    @classmethod
    def setUpClass(cls):
        built = subprocess.run([os.path.join(HERE, "build_previous")], capture_output=True, text=True, check=False)
        if built.returncode == 77:
            raise unittest.SkipTest(built.stderr.strip())
        if built.returncode != 0:
            raise AssertionError(built.stderr)
        cls.previous = built.stdout.strip()

    def launch_previous(self):
        """Founded by the previous version, all three by the same line."""
        self.addCleanup(setattr, self, "new_broker", self.new_broker)
        new_broker = self.new_broker

        def of_previous(*arguments, **keywords):
            broker = new_broker(*arguments, **keywords)
            broker.program = self.previous
            return broker

        self.new_broker = of_previous
        brokers = self.launch_together(3)
        self.everybody = {**self.command_environment(), "MESH_BROKER": ",".join(broker.address for broker in brokers)}
        return brokers

    def is_whole(self, broker, topic, count):
        partitions = self.mesh("topic", "describe", topic, "--json", broker=broker).json["partitions"]
        return len(partitions) == count and all(len(p["isr"]) == 3 and p["problem"] is None for p in partitions)

    def roll(self, brokers, program, killed=None):
        """One by one; the next when all copies are in sync again, as whoever runs a mesh does it. `killed` leaves its files as a crash does."""
        for broker in brokers:
            if broker is killed:
                broker.kill()
            else:
                self.assertEqual(broker.stop(), 0, broker.log())
            broker.program = program
            broker.launch()
            self.wait_ready(broker)
            self.until("not in sync after a restart", lambda b=broker: self.is_whole(b, "orders", PARTITIONS), *brokers)
        self.wait_coordinator(brokers)

    def version_of(self, broker):
        return os.path.realpath(f"/proc/{broker.pid}/exe")

    def work_with(self, brokers, name):
        """What only a coordinator can do, by each broker; and one who has just come reads what the others decided."""
        for number, broker in enumerate(brokers):
            self.mesh("topic", "create", f"{name}-{number}", "--partitions", "2", broker=broker)
            self.mesh("topic", "alter", f"{name}-{number}", "--set", "retention.ms=3600000", broker=broker)
            self.mesh("produce", f"{name}-{number}", stdin=b"hello\n", broker=broker)

    def check_log(self, producers, broker):
        """Each line once, and of each producer and partition in the order in which they went in."""
        found = []
        for partition in range(PARTITIONS):
            lines = self.mesh("consume", "orders", "--partition", partition, "--until-end", broker=broker).out.splitlines()
            for producer in producers:
                mine = [line for line in lines if line.startswith(producer.name.encode() + b" ")]
                self.assertEqual(mine, sorted(mine), f"{producer.name} in partition {partition}")
            found += lines
        self.assertEqual(len(found), len(set(found)), "lines that are there twice")
        self.assertEqual(len(found), sum(producer.count for producer in producers))

    def test_a_mesh_rolls_to_this_version_and_back_under_load(self):
        brokers = self.launch_previous()
        self.mesh("topic", "create", "orders", "--partitions", PARTITIONS, "--replicas", "3", broker=brokers[0])
        self.work_with(brokers, "before")
        producers = [Producer(self, self.previous, "old"), Producer(self, MESH, "new")]
        members = [Member(self, self.previous), Member(self, MESH)]
        self.until("both consume", lambda: all(member.seen for member in members), *brokers)

        self.roll(brokers, MESH, killed=brokers[2])
        self.assertEqual({self.version_of(broker) for broker in brokers}, {os.path.realpath(MESH)})
        self.work_with(brokers, "amid")
        self.roll(brokers, self.previous, killed=brokers[1])
        self.assertEqual({self.version_of(broker) for broker in brokers}, {os.path.realpath(self.previous)})
        self.work_with(brokers, "after")

        for producer in producers:
            producer.finish(self)
        total = sum(producer.count for producer in producers)
        self.until("the group has everything", lambda: len({line for member in members for line in list(member.seen)}) >= total, *brokers)
        self.until("it is committed", lambda: self.lag(brokers[1]) == 0, *brokers)
        for member in members:
            member.finish(self)
        self.check_log(producers, brokers[2])
        for name in ("before", "amid", "after"):
            for number in range(3):
                self.assertEqual(self.mesh("consume", f"{name}-{number}", "--until-end", broker=brokers[number - 1]).out, b"hello\n")
        print(f"{total} lines, six restarts", file=sys.stderr)

    def lag(self, broker):
        """Of records: what leaders write of themselves at the beginning of their epochs nobody commits."""
        offsets = self.mesh("group", "describe", "billing", "--json", broker=broker).json["offsets"]
        return sum(cell["lag"] or 0 for cell in offsets) if len(offsets) == PARTITIONS else -1


if __name__ == "__main__":
    main()
