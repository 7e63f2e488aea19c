#!/usr/bin/env python3
"""mesh top: once in a pipe, a line a look with --json, in place on a terminal; brokers that do not answer."""
import json
import os
import pty
import re
import select
import signal
import subprocess
import time

from harness import COMMAND_SECONDS, Case, environment, main
from mesh_case import PATIENCE_S, MeshCase


class Screen:
    """The command on a terminal of its own; what it has drawn so far is collected."""
    def __init__(self, case, broker, *options):
        self.case = case
        self.drawn = b""
        self.master, slave = pty.openpty()
        env = environment()
        env.update(TERM="xterm", MESH_BROKER=broker.address)
        self.process = subprocess.Popen([os.environ["MESH_BINARY"], "top", *options], stdin=slave, stdout=slave, stderr=slave, env=env, start_new_session=True)
        os.close(slave)
        case.addCleanup(self.close)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)

    def read_some(self):
        if select.select([self.master], [], [], 0.2)[0]:
            try:
                self.drawn += os.read(self.master, 65536)
            except OSError:  # the other end is closed
                pass

    def wait_for(self, pattern):
        end = time.monotonic() + PATIENCE_S
        while not re.search(pattern, self.drawn):
            self.case.assertLess(time.monotonic(), end, f"{pattern}\n{self.drawn.decode(errors='replace')}")
            self.read_some()

    def end(self):
        end = time.monotonic() + PATIENCE_S
        while self.process.poll() is None:
            self.case.assertLess(time.monotonic(), end, self.drawn.decode(errors="replace"))
            self.read_some()
        return self.process.returncode


class Top(Case):
    def test_once_in_a_pipe(self):
        self.start_broker()
        self.mesh("produce", "orders", stdin=b"x\n" * 1000)
        out = self.mesh("top", "--interval", "200ms").out.decode()
        self.assertNotIn("\033", out)
        lines = out.splitlines()
        self.assertRegex(lines[0], r"1 broker, 1 topic, 1 partition, healthy$")
        self.assertRegex(out, r"(?m)^BROKER +STATE +RECORDS/S")
        self.assertRegex(out, r"(?m)^\S.* \* +serving +0 .* 1$")  # and leads one partition
        self.assertRegex(out, r"(?m)^orders +0 +0 B +0 B +[0-9.]+ (B|KiB)$")

    def test_rates_are_what_was_added_between_two_looks(self):
        self.start_broker()
        self.mesh("topic", "create", "orders")
        top = self.spawn("top", "--json", "--interval", "300ms", "--count", "400", stdout=subprocess.PIPE, env=self.command_environment())
        self.addCleanup(top.stdout.close)
        looks = [json.loads(top.stdout.readline())]
        self.assertEqual([broker["state"] for broker in looks[0]["brokers"]], ["serving"])
        self.mesh("produce", "orders", stdin=b"x\n" * 5000)
        self.mesh("consume", "orders", "--group", "billing", "--count", "1000")
        end = time.monotonic() + PATIENCE_S
        behind = [{"group": "billing", "topic": "orders", "lag": 4000}]
        while looks[-1]["groups"] != behind and time.monotonic() < end:  # where logs end is told in rounds
            looks.append(json.loads(top.stdout.readline()))
        top.send_signal(signal.SIGINT)
        self.assertEqual(top.wait(COMMAND_SECONDS), 0)
        self.assertEqual(looks[-1]["groups"], behind)
        status = self.mesh("status", "--json").json
        self.assertEqual((status["topics"], status["partitions"]["total"]), (1, 1), "what the mesh keeps for groups is not counted")
        for rows in ([(look["brokers"][0], look) for look in looks], [(topic, look) for look in looks for topic in look["topics"] if topic["topic"] == "orders"]):
            records = sum(row["records_per_s"] * look["seconds"] for row, look in rows)
            self.assertAlmostEqual(records, 5000, delta=50)  # rounded to a tenth in each
        self.assertGreater(sum(look["topics"][0]["out_bytes_per_s"] for look in looks if look["topics"]), 0)
        self.assertTrue(any(look["brokers"][0]["ack_p99_s"] for look in looks))

    def test_on_a_terminal_until_q(self):
        self.start_broker()
        self.mesh("produce", "orders", stdin=b"x\n" * 10)
        screen = Screen(self, self.broker, "--interval", "200ms")
        screen.wait_for(rb"\x1b\[\?1049h(?s:.*)orders(?s:.*)orders")  # drawn twice
        os.write(screen.master, b"xq")
        self.assertEqual(screen.end(), 0)
        self.assertTrue(screen.drawn.rstrip().endswith(b"\x1b[?25h\x1b[?1049l"), screen.drawn[-100:])

    def test_a_terminal_is_given_back_after_an_interrupt_and_when_the_broker_goes(self):
        self.start_broker()
        screen = Screen(self, self.broker, "--interval", "200ms")
        screen.wait_for(rb"healthy")
        screen.process.send_signal(signal.SIGINT)
        screen.end()
        self.assertIn(b"\x1b[?1049l", screen.drawn)
        screen = Screen(self, self.broker, "--interval", "200ms", "--timeout", "10s")
        screen.wait_for(rb"healthy")
        self.broker.kill()
        self.assertIn(screen.end(), (3, 4))
        self.assertLess(screen.drawn.index(b"\x1b[?1049l"), screen.drawn.rindex(b"asking what the mesh does"))  # the reason stays to be read


class TopOfAMesh(MeshCase):
    def test_a_broker_that_does_not_answer_is_shown_without_figures(self):
        brokers = self.launch_together(3)
        self.wait_coordinator(brokers)
        self.until("all serve", lambda: [row["state"] for row in self.status(brokers[0])["brokers"]] == ["serving"] * 3, *brokers)
        os.kill(brokers[2].process.pid, signal.SIGSTOP)
        looks = []

        def others_answer():  # a busy one may be too late for a look
            looks.append(self.mesh("top", "--json", "--count", "1", "--interval", "100ms", broker=brokers[0]).json)
            return sorted(row["answers"] for row in looks[-1]["brokers"]) == [False, True, True]
        self.until("all but one answer", others_answer, *brokers)
        look = looks[-1]
        silent = next(row for row in look["brokers"] if not row["answers"])
        self.assertIsNone(silent["cpu_cores"])
        self.assertRegex(self.mesh("top", broker=brokers[0]).out.decode(), r"(?m)^b2.* timed out .* -$")
        os.kill(brokers[2].process.pid, signal.SIGCONT)


if __name__ == "__main__":
    main()
