"""What every end-to-end test stands on: brokers as child processes, commands with a time limit, temporary folders.

The binary comes from $MESH_BINARY. Ports are free ones (--listen 127.0.0.1:0), readiness is the broker's ready line, and
nothing waits without a limit. Only processes started here are ended, each by its own handle. Under a sanitizer every
broker's log is searched for its reports.
"""
import json
import os
import queue
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import sweeper

MESH = os.path.abspath(os.environ.get("MESH_BINARY", "mesh"))
SKIPPED = 77  # ctest's SKIP_RETURN_CODE

# Sanitizers and small machines are slow; a limit is for what hangs.
COMMAND_SECONDS = 120
START_SECONDS = 60
STOP_SECONDS = 60

SANITIZER_MARKS = ("AddressSanitizer", "LeakSanitizer", "ThreadSanitizer", "runtime error:", "assertion failed")


FOLDER = sweeper.new_folder()  # everything of this test program
# Brokers and commands of one test program are those of one user with a configuration of his own: they share a cluster key.
CONFIG_HOME = os.path.join(FOLDER, "config")
os.mkdir(CONFIG_HOME)


def environment(extra=None):
    env = {k: v for k, v in os.environ.items() if not k.startswith("MESH_")}
    env["NO_COLOR"] = "1"
    env["XDG_CONFIG_HOME"] = CONFIG_HOME
    env.update(extra or {})
    return env


class Result:
    """What a command said and how it ended."""

    def __init__(self, words, code, out, err):
        self.words, self.code, self.out, self.err = words, code, out, err

    @property
    def json(self):
        return json.loads(self.out)

    def __str__(self):
        return f"{' '.join(map(str, self.words))}: exit {self.code}\nstdout: {self.out[-2000:]!r}\nstderr: {self.err[-4000:].decode(errors='replace')}"


class Broker:
    """One `mesh serve`, or with seeds one `mesh join`. start() returns when it is ready; the log is gathered in `lines`."""

    def __init__(self, data, listen="127.0.0.1:0", options=(), env=None, seeds=(), prefix=()):
        self.data, self.listen, self.options, self.env, self.seeds = data, listen, list(options), env, list(seeds)
        self.prefix = list(prefix)  # a command that becomes the broker: nsenter
        self.program = MESH
        self.process = self.address = self.ready = None
        self.lines, self.news = [], queue.Queue()

    def start(self, seconds=START_SECONDS):
        self.launch()
        self.ready = self.wait_line("mesh: ready on ", seconds)
        if self.ready is None:
            code = self.process.poll()
            self.kill()
            raise AssertionError(f"the broker did not become ready (exit code {code}):\n{self.log()}")
        self.address = self.ready.split("mesh: ready on ")[1].split()[0]
        return self

    def launch(self):
        self.lines, self.news = [], queue.Queue()
        self.process = subprocess.Popen(
            self.command(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment(self.env))
        self.reader = threading.Thread(target=self._read, args=(self.process, self.lines, self.news), daemon=True)
        self.reader.start()

    def command(self):
        return [*self.prefix, self.program, *(["join", *self.seeds] if self.seeds else ["serve"]), "--data", self.data, "--listen", self.listen, *self.options]

    @staticmethod
    def _read(process, lines, news):
        for line in process.stderr:
            lines.append(line.decode(errors="replace").rstrip("\n"))
            news.put(lines[-1])
        process.stderr.close()
        news.put(None)

    def wait_line(self, mark, seconds=START_SECONDS):
        """The next line that contains mark, or None when the broker has ended or the time is over."""
        end = time.monotonic() + seconds
        while True:
            try:
                line = self.news.get(timeout=max(0.001, end - time.monotonic()))
            except queue.Empty:
                return None
            if line is None or mark in line:
                return line

    def log(self):
        return "\n".join(self.lines[-60:])

    def wait(self, seconds=STOP_SECONDS):
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"the broker did not end within {seconds} s:\n{self.log()}")
        self.reader.join(10)
        return code

    def stop(self, number=signal.SIGTERM, seconds=STOP_SECONDS):
        self.process.send_signal(number)
        return self.wait(seconds)

    def kill(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
        if self.process is not None:
            self.process.wait(STOP_SECONDS)
            self.reader.join(10)

    @property
    def pid(self):
        return self.process.pid

    def memory_kib(self, key="VmRSS"):
        with open(f"/proc/{self.pid}/status", encoding="ascii", errors="replace") as file:
            return next(int(line.split()[1]) for line in file if line.startswith(key + ":"))

    def complaints(self):
        return [line for line in self.lines if any(mark in line for mark in SANITIZER_MARKS)]


class Case(unittest.TestCase):
    """A test with its own folder and brokers, all gone afterwards."""

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="case-", dir=FOLDER)
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)  # the last cleanup: disks are mounted in it
        self.brokers, self.children, self.broker = [], [], None

    def tearDown(self):
        complaints = []
        for child in self.children:
            if child.poll() is None:
                child.kill()
            child.wait(STOP_SECONDS)
            for pipe in (child.stdin, child.stdout, child.stderr):
                if pipe is not None:
                    try:
                        pipe.close()
                    except BrokenPipeError:
                        pass
        complaints += self.stop_all()
        for broker in self.brokers:
            complaints += broker.complaints()
        self.assertEqual(complaints, [], "the brokers' logs")

    def stop_all(self):
        """At once: one after the other, each but the first would wait for a majority that is gone. Returns what is wrong."""
        running = [broker for broker in self.brokers if broker.process is not None and broker.process.poll() is None]
        for broker in running:
            broker.process.send_signal(signal.SIGTERM)
        codes = [(broker, broker.wait()) for broker in running]
        return [f"a broker ended with {code}:\n{broker.log()}" for broker, code in codes if code != 0]

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def new_broker(self, data=None, **keywords):
        broker = Broker(data or self.path("data"), **keywords)
        self.brokers.append(broker)
        return broker

    def start_broker(self, data=None, **keywords):
        """A ready broker, which the following commands of this test talk to."""
        self.broker = self.new_broker(data, **keywords).start()
        return self.broker

    def command_environment(self, broker=None):
        broker = broker or self.broker
        return environment({"MESH_BROKER": broker.address} if broker is not None and broker.address else {})

    def mesh(self, *words, stdin=b"", code=0, seconds=COMMAND_SECONDS, broker=None, env=None):
        """Runs a command; code None: any."""
        full = dict(self.command_environment(broker), **(env or {}))
        done = subprocess.run([MESH, *map(str, words)], input=stdin, capture_output=True, env=full, timeout=seconds)
        result = Result(words, done.returncode, done.stdout, done.stderr)
        for mark in SANITIZER_MARKS:
            self.assertNotIn(mark.encode(), result.err, str(result))
        if code is not None:
            self.assertEqual(result.code, code, str(result))
        return result

    def spawn(self, *words, **keywords):
        """A command that goes on beside the test; ended by tearDown when it still runs."""
        keywords.setdefault("env", self.command_environment())
        child = subprocess.Popen([MESH, *map(str, words)], **keywords)
        self.children.append(child)
        return child

    def finish(self, child, code=0, seconds=COMMAND_SECONDS):
        out, err = child.communicate(timeout=seconds)
        result = Result(child.args[1:], child.returncode, out or b"", err or b"")
        if code is not None:
            self.assertEqual(result.code, code, str(result))
        return result

    def connect(self, broker=None, seconds=60):
        host, port = (broker or self.broker).address.rsplit(":", 1)
        return socket.create_connection((host, int(port)), timeout=seconds)

    def assert_serves(self, broker=None):
        """A fresh client can write and read."""
        topic = f"probe-{random.getrandbits(48):012x}"
        self.mesh("produce", topic, stdin=b"alive\n", broker=broker)
        self.assertEqual(self.mesh("consume", topic, "--until-end", broker=broker).out, b"alive\n")
        self.mesh("topic", "delete", topic, broker=broker)


def text_lines(count, seed=1, longest=400):
    """Lines as real texts have them: many short ones, some empty, some long, some beyond ASCII. Each is unique."""
    generator = random.Random(seed)
    words = ["broker", "offset", "the", "Straße", "of", "café", "日本", "journal", "a", "segment", "\t", "и", "epoch"]
    lines = []
    for number in range(count):
        length = generator.choice((0, 10, 40, 80, longest))
        line = f"{number} "
        while len(line) < length:
            line += generator.choice(words) + " "
        lines.append(line.encode())
    return lines


def under_sanitizer():
    with open(MESH, "rb") as file:
        content = file.read()
    return any(mark in content for mark in (b"__asan_init", b"__tsan_init", b"__ubsan_handle"))


def main():
    """unittest's main, with exit code 77 when there was nothing but skipped tests."""
    if not os.access(MESH, os.X_OK):
        print(f"MESH_BINARY is no program: {MESH}", file=sys.stderr)
        sys.exit(2)
    program = unittest.main(module="__main__", exit=False, verbosity=2)
    outcome = program.result
    if outcome.wasSuccessful() and outcome.testsRun > 0 and len(outcome.skipped) == outcome.testsRun:
        sys.exit(SKIPPED)
    sys.exit(0 if outcome.wasSuccessful() else 1)
