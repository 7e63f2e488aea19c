#!/usr/bin/env python3
"""librdkafka's own test suite against a mesh of three brokers: each of its tests in a process of its own, and what became of it.

usage: librdkafka.py VERSION WAY RESULTS [NUMBER...]      (test/interop/run has fetched and built it: build/interop/librdkafka-VERSION)
WAY: direct: clients go to whoever leads; forward: by a broker that keeps no records, so that all is forwarded; gateway: by one
broker of three, which leads a third. NUMBERs: these tests only. RESULTS: a file of JSON, what it knew of other tests is kept.
"""
import concurrent.futures
import glob
import os
import re
import subprocess
import sys
import threading
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [ os.path.join(ROOT, "test", "e2e")]
from addresses import free_addresses  # noqa: E402
from keeper import update  # noqa: E402
from mesh_case import QUICK, MeshCase  # noqa: E402

TEST_SECONDS = 420  # each has limits of its own, below that
AT_ONCE = 2
SETTINGS = ["--set", "topic.partitions=4", "--set", "groups.gather.ms=0"]
LAST_LINES = 12

# Tests that need what is not there: why. Tests of the client alone (local and mock) are no business of a broker's.
NOT_APPLICABLE = {
    "0016": "reads the log of a Java broker",
    "0028": "known to fail anywhere (upstream)",
    "0047": "known to fail anywhere (upstream)",
    "0052": "makes its topics by scripts of a Java distribution",
    "0077": "compaction by Kafka's schedule",
    "0092": "message formats 0 and 1, which no broker since 4.0 has",
    "0097": "needs certificates of upstream's launcher",
    "0098": "transactions, and a helper in Java",
    "0101": "fetching from followers, and racks set by upstream's launcher",
    "0103": "transactions",
    "0109": "ends with ACLs, set by a script of a Java distribution (what comes before passes)",
    "0115": "ACLs", "0119": "ACLs",
    "0126": "needs an OpenID provider",
    "0129": "transactions",
    "0139": "of the client alone", "0150": "of the client alone",
    "0135": "needs SASL in all connections", "0142": "needs SASL in all connections",
    **{f"{number:04d}": "share groups" for number in range(170, 191)},
}
# Those that fail, and what of it is known.
KNOWN = {
    "0011": "one of its parts wants a compacted topic, which refuses records without a key; there is no compaction here",
    "0081": "makes topics with compression.type=lz4 and delete.retention.ms: brokers here do not compress, and nothing is compacted",
}
NO_AUTO_CREATION = {"0107", "0111"}  # they are of the scenario where brokers make no topic by themselves


def numbers_of(suite):
    """Those that need a broker, by their table."""
    with open(os.path.join(suite, "tests", "test.c"), encoding="utf-8") as file:
        table = re.findall(r"_TEST\(\s*(\d{4})_\w+,\s*([^,)]*)", file.read())
    return sorted({number for number, flags in table if "TEST_F_LOCAL" not in flags and "TEST_F_MANUAL" not in flags})


def names_of(suite, number):
    """The first of them that needs a broker, as the summary calls it."""
    with open(os.path.join(suite, "tests", "test.c"), encoding="utf-8") as file:
        return next(name for name, flags in re.findall(rf"_TEST\(\s*({number}_\w+),\s*([^,)]*)", file.read()) if "TEST_F_LOCAL" not in flags)


def rows(text):
    """What the summary says of each: name, state, why."""
    return [(name, state, why.strip()) for name, state, why in re.findall(r"^\| (\d{4}_\w+) +\| +(\w+(?: \w+)?) \| +[\d.]+s \|(.*)$", text, re.M)
            if state in ("PASSED", "FAILED", "SKIPPED", "RUNNING")]


class Suite(MeshCase):
    version = way = results = None
    numbers = ()

    def start(self, settings):
        settings = SETTINGS + settings
        if self.way != "forward":
            brokers = self.launch_together(3, options=settings + (["--listen", "kafka-gateway://127.0.0.1:0"] if self.way == "gateway" else []))
        else:  # two that keep records, and a third voice by which the client comes
            addresses = free_addresses(3)
            brokers = [self.new_broker(self.path(f"b{i}"), listen=addresses[i], seeds=addresses, options=[
                "--expect", "3", "--name", f"b{i}", *QUICK, *settings, *(["--witness", "--listen", "kafka-gateway://127.0.0.1:0"] if i == 0 else [])])
                for i in range(3)]
            for broker in brokers:
                broker.launch()
            for broker in brokers:
                self.wait_ready(broker)
            self.broker = brokers[0]
        self.wait_coordinator(brokers)
        if self.way == "direct":
            return ",".join(broker.address for broker in brokers)
        return re.search(r" gateway=(\S+)", brokers[0].ready).group(1)

    def run_one(self, number, servers):
        folder = self.path(f"test-{number}")
        os.mkdir(folder)
        with open(os.path.join(folder, "test.conf"), "w", encoding="ascii") as file:
            file.write(f"metadata.broker.list={servers}\n")
        built = self.suite
        environment = {**os.environ, "TESTS": number, "TEST_KAFKA_VERSION": "3.9.0", "RDKAFKA_TEST_CONF": os.path.join(folder, "test.conf"),
                       "LD_LIBRARY_PATH": f"{built}/src:{built}/src-cpp", "BROKERS": servers}
        begin = time.monotonic()
        with open(os.path.join(folder, "log"), "w+", encoding="utf-8", errors="replace") as log:
            words = [os.path.join(built, "tests", "test-runner"), "-p1", "-L", "-Q", *(["-s", "noautocreate"] if number in NO_AUTO_CREATION else [])]
            try:
                subprocess.run(words, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=environment, timeout=TEST_SECONDS, check=False)
            except subprocess.TimeoutExpired:
                pass
            log.seek(0)
            text = re.sub(r"\x1b\[[0-9;]*m", "", log.read())
        found = rows(text) or [(names_of(self.suite, number), "FAILED", "it ended without a word: " + " / ".join(text.splitlines()[-LAST_LINES:])[-600:])]
        if any(state in ("FAILED", "RUNNING") for _, state, _ in found):
            with open(os.path.join(os.path.dirname(self.suite), f"librdkafka-{self.version}-{self.way}-{number}.log"), "w", encoding="utf-8") as file:
                file.write(text)
        return {name: {"state": "failed" if state == "RUNNING" else state.lower(), "why": why[:300]} for name, state, why in found}, time.monotonic() - begin

    def test_all(self):
        self.suite = os.path.join(ROOT, "build", "interop", f"librdkafka-{self.version}")
        self.assertTrue(glob.glob(os.path.join(self.suite, "tests", "test-runner")), "not built: test/interop/run does that")
        failed, name_of_all = [], f"librdkafka-{self.version}-{self.way}"

        def keep(number, servers):
            found, seconds = self.run_one(number, servers)
            with lock:
                for name, row in found.items():
                    print(f"{row['state']:8} {name} ({seconds:.0f} s) {row['why'][:200]}", flush=True)
                    if row["state"] == "failed":
                        failed.append(name)
                update(self.results, name_of_all, found)

        lock, known = threading.Lock(), numbers_of(self.suite)
        chosen = self.numbers or [number for number in known if number not in NOT_APPLICABLE]
        for wants in (False, True):  # those that count on topics made by naming them, and those that count on the contrary
            numbers = [number for number in chosen if (number in NO_AUTO_CREATION) == wants]
            if not numbers:
                continue
            self.folder = self.path("without" if wants else "with")  # removed with the one it is in
            os.mkdir(self.folder)
            servers = self.start(["--set", "kafka.topics.create=0"] if wants else [])
            with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
                list(pool.map(lambda number, to=servers: keep(number, to), numbers))
            self.assertEqual(self.stop_all(), [])
        if not self.numbers:
            update(self.results, name_of_all, {number: {"state": "skipped", "why": NOT_APPLICABLE[number]} for number in known if number in NOT_APPLICABLE})
        self.assertEqual(failed, [])


if __name__ == "__main__":
    Suite.version, Suite.way, Suite.results, *Suite.numbers = sys.argv[1:]
    unittest.main(argv=sys.argv[:1], verbosity=2)
