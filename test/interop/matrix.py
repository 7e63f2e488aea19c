#!/usr/bin/env python3
"""One client of Kafka's protocol against a mesh of three brokers: does it work, unchanged?

usage: matrix.py NAME RESULTS COMMAND...      (test/interop/run installs clients and starts this)
COMMAND is a small program of ours around the client (kafkajs/client.js, ...), which understands:
  codecs                            prints the names of what it compresses with
  produce SERVERS TOPIC CODEC       sends the lines of its input, the n-th to partition n modulo 4, and ends when all are acknowledged
  consume SERVERS TOPIC GROUP       prints what it is given as a member of the group, commits it; at the end of its input it leaves and ends
  seek SERVERS TOPIC TIME_MS COUNT  prints COUNT records that were written at that time or later, and ends (offsets do not count records: leaders have some)
  transaction SERVERS TOPIC         tries one: prints "refused: ..." when it is told no, "absent" when it has none
What became of each case goes to RESULTS, a file of JSON for all clients.
"""
import os
import shutil
import subprocess
import sys
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "test", "e2e"))
from keeper import run_and_keep  # noqa: E402
from kafka_wire_groups import Client  # noqa: E402
from mesh_case import MeshCase  # noqa: E402

PATIENCE_S = 90  # a limit is for what hangs
LINES = 500


class Member:
    """A consumer in a process of its own, until its input ends."""

    def __init__(self, command, servers, topic, group, log):
        self.values, self.log = [], log
        with open(log, "wb") as errors:
            self.process = subprocess.Popen([*command, "consume", servers, topic, group], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            self.values.append(line.rstrip(b"\n"))

    def said(self):
        with open(self.log, encoding="utf-8", errors="replace") as file:
            return file.read()[-3000:]

    def leave(self):
        self.process.stdin.close()
        code = self.process.wait(PATIENCE_S)
        self.reader.join(PATIENCE_S)
        self.process.stdout.close()
        return code

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Matrix(MeshCase):
    name = command = None

    def setUp(self):
        super().setUp()
        self.nodes = self.launch_together(3)
        self.wait_coordinator(self.nodes)
        self.servers = ",".join(broker.address for broker in self.nodes)

    def client(self, *words, stdin=b""):
        done = subprocess.run([*self.command, *words], input=stdin, capture_output=True, timeout=PATIENCE_S, check=False)
        self.assertEqual(done.returncode, 0, f"{words[0]}: {done.stderr[-3000:].decode(errors='replace')}")
        return done.stdout

    def produce(self, topic, lines, codec="none"):
        self.client("produce", self.servers, topic, codec, stdin=b"".join(line + b"\n" for line in lines))

    def topic(self, name):
        self.mesh("topic", "create", name, "--partitions", "4", "--replicas", "3")

    def join(self, topic, group):
        member = Member(self.command, self.servers, topic, group, self.path(f"member-{time.monotonic_ns()}"))
        self.addCleanup(member.kill)
        return member

    def consumed(self, *brokers, what, is_true, members):
        def check():
            for member in members:
                self.assertIsNone(member.process.poll(), f"{what}: a member ended\n{member.said()}")
            return is_true()
        try:
            self.until(what, check, *brokers, seconds=PATIENCE_S)
        except AssertionError as error:
            raise AssertionError("\n".join([str(error), *(f"-- {len(m.values)} values\n{m.said()}" for m in members)])) from None

    def test_codecs(self):
        """What it compresses is taken, and read by it and by another client."""
        codecs = self.client("codecs").decode().split()
        for codec in codecs:
            with self.subTest(codec=codec):
                self.topic(codec)
                lines = [f"{codec} {number} ".encode() * 20 for number in range(LINES)]
                self.produce(codec, lines, codec)
                self.assertEqual(sorted(self.client("seek", self.servers, codec, "0", str(LINES)).splitlines()), sorted(lines))
                read = subprocess.run(["kcat", "-b", self.servers, "-C", "-q", "-e", "-t", codec], capture_output=True, timeout=PATIENCE_S, check=True).stdout
                self.assertEqual(sorted(read.splitlines()), sorted(lines))
        self.detail = " ".join(codecs)

    def test_group(self):
        """A second member joins and gets its part, the coordinator is killed, a member leaves, the group stops and comes back."""
        self.topic("t")
        lines = [b"%d" % number for number in range(6 * LINES)]
        part = [lines[begin:begin + LINES] for begin in range(0, len(lines), LINES)]
        members = [self.join("t", "g")]

        def have(some):
            return set(some) <= {value for member in members for value in member.values}
        self.produce("t", part[0])
        self.consumed(what="one consumes", is_true=lambda: have(part[0]), members=members)
        members.append(self.join("t", "g"))
        self.consumed(what="both are members", is_true=lambda: self.count_members() == 2, members=members)
        self.produce("t", part[1])
        self.consumed(what="both consume", is_true=lambda: have(part[1]) and any(value in part[1] for value in members[1].values), members=members)
        self.kill_coordinator("g")
        self.produce("t", part[2])
        self.consumed(what="nothing is lost with the coordinator", is_true=lambda: have(part[2]), members=members)
        self.assertEqual(members[0].leave(), 0, members[0].said())
        members = members[1:]
        self.produce("t", part[3])
        self.consumed(what="the other one takes over", is_true=lambda: have(part[3]), members=members)
        self.assertEqual(members[0].leave(), 0, members[0].said())
        self.produce("t", part[4])
        members = [self.join("t", "g")]
        self.consumed(what="it goes on where they stopped", is_true=lambda: have(part[4]), members=members)
        self.produce("t", part[5])
        self.consumed(what="and goes on", is_true=lambda: have(part[5]), members=members)
        self.assertEqual(members[0].leave(), 0, members[0].said())
        again = set(members[0].values) & set(part[0] + part[1])
        self.assertEqual(again, set(), "what was committed by who left came again")

    def test_seek(self):
        """By time: what was written since."""
        self.topic("t")
        lines = [b"%d" % number for number in range(2 * LINES)]
        self.produce("t", lines[:LINES])
        newest = max(int(stamp) for stamp in subprocess.run(["kcat", "-b", self.servers, "-C", "-q", "-e", "-t", "t", "-f", "%T\n"], capture_output=True,
                                                            timeout=PATIENCE_S, check=True).stdout.split())
        while time.time() * 1000 <= newest + 1:
            pass
        self.produce("t", lines[LINES:])
        self.assertEqual(sorted(self.client("seek", self.servers, "t", str(newest + 1), str(LINES)).splitlines()), sorted(lines[LINES:]))
        self.assertEqual(sorted(self.client("seek", self.servers, "t", "0", str(2 * LINES)).splitlines()), sorted(lines))

    def test_transactions(self):
        """Are refused, in words, and nobody minds."""
        self.topic("t")
        said = self.client("transaction", self.servers, "t").decode(errors="replace").strip()
        self.assertTrue(said.startswith(("refused: ", "absent")), f"neither refused nor absent: {said}")
        self.produce("t", [b"after"])
        self.assertEqual(self.client("seek", self.servers, "t", "0", "1"), b"after\n")
        self.detail = said

    def kill_coordinator(self, group):
        wire = Client(self.connect(self.nodes[0]))
        node = wire.find_coordinator(group)[0]
        wire.connection.close()
        killed = next(broker for broker in self.nodes if broker.address == "%s:%d" % node[3:])
        killed.kill()
        self.broker = next(broker for broker in self.nodes if broker is not killed)

    def count_members(self):
        client = Client(self.connect(self.broker))
        try:
            error, state, _, _, members = client.describe_groups("g")["g"]
            return len(members) if (error, state) == (0, "Stable") else 0
        finally:
            client.connection.close()


def main():
    Matrix.name, results, *Matrix.command = sys.argv[1:]
    if shutil.which("kcat") is None:
        sys.exit("kcat is not installed")
    run_and_keep(Matrix, Matrix.name, results)


if __name__ == "__main__":
    main()
