#!/usr/bin/env python3
"""A mesh that is used wrongly or hurt: copies and backups of directories, damaged files, full disks, brokers that sleep or are killed.

Whatever happens: no term has two coordinators, no acknowledged change is lost, and no broker logs an error that the test did not cause."""
import glob
import os
import re
import shutil
import signal
import subprocess
import threading
import time

from addresses import free_addresses
from harness import Broker, main
from mesh_case import MeshCase, QUICK

SMALL = ["--set", "disk.free.bytes.min=16777216", "--set", "journal.bytes.max=67108864", "--shards", "1"]
HASTY = ["--set", "election.ms=100"]  # where many elections are needed
SLEEP_S = 5

COORDINATES = re.compile(r"this broker coordinates the mesh now, term=(\d+)")
# What a command may answer while brokers die: it may be asked again, nothing was done wrongly (mesh/error.h).
RETRIABLE = {"NO_COORDINATOR", "UNREACHABLE", "SHUTDOWN", "CLOSED", "TIMEDOUT", "BUSY", "AGAIN", "FULL"}


class RememberingBroker(Broker):
    """Keeps what its earlier runs said."""

    def __init__(self, *words, **keywords):
        super().__init__(*words, **keywords)
        self.earlier = []

    def launch(self):
        self.earlier += self.lines
        super().launch()

    def all_lines(self):
        return self.earlier + self.lines


class MeshFaults(MeshCase):
    def setUp(self):
        super().setUp()
        self.expected_errors = []  # parts of lines that this test causes

    def tearDown(self):
        complaints = self.stop_all()
        errors = [line for broker in self.brokers for line in broker.all_lines()
                  if " error " in line and not any(part in line for part in self.expected_errors)]
        shared = self.shared_terms()
        super().tearDown()
        self.assertEqual(complaints, [])
        self.assertEqual(errors, [], "errors that nobody caused")
        self.assertEqual(shared, {}, "a term has one coordinator")

    def shared_terms(self):
        """Terms that more than one coordinator began, by what the brokers say."""
        terms = {}
        for broker in self.brokers:
            for line in broker.all_lines():
                found = COORDINATES.search(line)
                if found:
                    terms.setdefault((broker.cluster, int(found.group(1))), []).append(f"{broker.data}: {line}")
        return {term: lines for term, lines in terms.items() if len(lines) > 1}

    def new_broker(self, data=None, **keywords):
        broker = RememberingBroker(data or self.path("data"), **keywords)
        broker.cluster = "one"
        self.brokers.append(broker)
        return broker

    def three(self, options=()):
        brokers = self.launch_together(3)
        for broker in brokers:
            broker.options += options
        self.wait_coordinator(brokers)
        return brokers

    def create(self, name, broker, timeout="10s", **keywords):
        return self.mesh("topic", "create", name, "--partitions", "2", "--replicas", "1", "--json", "--timeout", timeout, broker=broker, **keywords)

    def wait_topics(self, wanted, *brokers):
        for broker in brokers:
            self.until(f"{broker.address} does not have exactly these topics: {sorted(wanted)}", lambda: self.topics(broker) == wanted, broker)

    def descriptions(self, broker):
        """What is the same on every broker, of every topic."""
        names = sorted(self.topics(broker))
        return [[topic["name"], topic["id"], [(p["leader"], p["replicas"]) for p in topic["partitions"]]]
                for topic in (self.mesh("topic", "describe", name, "--json", broker=broker).json for name in names)]

    def assert_same(self, brokers):
        self.until("the brokers do not agree on the topics", lambda: len({str(self.descriptions(broker)) for broker in brokers}) == 1, *brokers)

    def states(self, broker):
        return {member["name"]: member["state"] for member in self.mesh("members", "--json", broker=broker).json["members"]}

    def coordinator_of(self, brokers):
        self.wait_coordinator(brokers)
        return self.broker_of(brokers, self.coordinators(brokers).pop())

    def refuses(self, broker, *parts):
        """It does not start, and says why."""
        broker.launch()
        self.assertNotEqual(broker.wait(), 0, broker.log())
        for part in parts:
            self.assertIn(part, broker.log())
        self.assertNotIn("mesh: ready", broker.log())
        broker.lines = []  # errors that were wanted

    def node_id(self, broker):
        return next(row["node_id"] for row in self.status(broker)["brokers"] if f"broker={row['broker']}" in broker.ready)

    def losses(self, broker, node_id):
        """Of the partitions whose only replica is there: how many exist, and how many say that records may be lost."""
        names = [(name, p["partition"]) for name in sorted(self.topics(broker))
                 for p in self.mesh("topic", "describe", name, "--json", broker=broker).json["partitions"] if p["replicas"] == [node_id]]
        reasons = [self.mesh("why", f"{name}/{number}", "--json", broker=broker).json["reason"] for name, number in names]
        return len(names), sum("acknowledged records may be lost" in reason for reason in reasons)

    def wait_losses(self, broker, of):
        """It keeps no place that rests on what it may have forgotten; where it has the only copy, it leads, and that is said."""
        number = self.node_id(of)

        def told():
            there, lost = self.losses(broker, number)
            return there > 0 and lost == there
        self.until("it is trusted with what it forgot", told, of, broker)

    # ---- used wrongly ----

    def test_different_expectations_name_both_numbers_and_are_mended_by_a_restart(self):
        addresses = free_addresses(2)
        brokers = [self.new_broker(self.path(f"b{i}"), listen=addresses[i], seeds=addresses, options=["--expect", str(2 + i), "--name", f"b{i}", *QUICK])
                   for i in range(2)]
        for broker in brokers:
            broker.launch()
        for broker, own, other in zip(brokers, "23", "32"):
            self.assertIsNotNone(broker.wait_line(f"started with --expect {own}, and 127.0.0.1"), broker.log())
            self.assertIn(f"with --expect {other}", broker.log())
            self.assertIn("start all founders with the same --expect", broker.log())
        brokers[1].kill()
        brokers[1].options[1] = "2"
        brokers[1].launch()
        for broker in brokers:
            self.wait_ready(broker)
        self.assertEqual(len(self.clusters(brokers)), 1)

    def problem_text(self, broker):
        return "\n".join(problem["what"] + ": " + problem["remedy"] for problem in self.status(broker)["problems"])

    def votes(self, broker):
        """The broker, on the disk that it has now, votes, and nobody else does in its name."""
        voters = [voter for voter in self.status(broker)["voters"] if f"broker={voter['broker']}" in broker.ready]
        return len(voters) == 1 and voters[0]["heard"] and not voters[0]["learner"] and "older state" not in self.problem_text(broker)

    def said(self, words, *brokers):
        return [broker for broker in brokers if any(words in line for line in broker.all_lines())]

    def test_a_copied_directory_that_is_started_beside_the_original_is_told_and_kills_nobody(self):
        self.expected_errors = ["two processes use the identity", "another process with this broker's identity", "this broker votes no more", "acknowledged records may be lost",
                                "is older than the mesh knows"]  # who of the two comes second is told so where the other has registered with that boot
        brokers = self.three()
        twin = brokers[2] if self.coordinator_of(brokers) is not brokers[2] else brokers[1]
        rest = [broker for broker in brokers if broker is not twin]
        self.create("before", brokers[0])
        shutil.copytree(twin.data, self.path("copy"), ignore=shutil.ignore_patterns("ready.json"))
        copy = self.new_broker(self.path("copy"), seeds=[rest[0].address], options=["--name", "copy", *QUICK])
        copy.launch()
        self.assertIsNotNone(rest[0].wait_line("two processes use the identity"), rest[0].log())
        self.until("neither of the two is told", lambda: self.said("votes no more", twin, copy) or "copy of this broker" in self.problem_text(twin), twin, copy)
        topics = {"before"}
        for number in range(10):
            for broker in rest:
                self.assertEqual({self.states(broker)[name] for name in (rest[0].options[3], rest[1].options[3])}, {"alive"})
            self.create(f"t{number}", rest[number % 2])
            topics.add(f"t{number}")
        self.wait_topics(topics, *rest)
        copy.kill()
        self.wait_topics(topics, twin)
        self.until("nobody has found out that it was set back", lambda: self.said("votes no more", twin, copy), twin)
        # The copy is gone: whatever the original has forgotten of what that said, it gets a vote of its own.
        if self.said("votes no more", twin):
            self.assertIn("restart this broker", self.problem_text(twin))
            self.assertEqual(twin.stop(), 0)
            twin.start()
        self.until("it does not vote", lambda: self.votes(twin), *brokers)
        rest[0].kill()
        self.wait_coordinator([twin, rest[1]])
        self.create("last", twin)
        rest[0].start()
        self.wait_topics(topics | {"last"}, *brokers)
        self.assert_same(brokers)

    def test_a_directory_of_another_mesh_merges_nothing(self):
        self.expected_errors = ["belongs to another mesh"]
        one = self.start_broker(self.path("one"), options=["--name", "one", *QUICK])
        self.create("in-one", one)
        other = self.new_broker(self.path("two"), options=["--name", "two", *QUICK])
        other.cluster = "two"
        other.start()
        self.create("in-two", other)
        self.assertEqual(other.stop(), 0)
        other.seeds = [one.address]
        other.start()
        line = other.wait_line("belongs to another mesh")
        self.assertIsNotNone(line, other.log())
        self.assertIn(one.address, line)
        self.assertIn("start with an empty directory", "\n".join(other.lines))
        self.create("more-in-two", other)
        self.create("more-in-one", one)
        self.assertEqual(self.topics(one), {"in-one", "more-in-one"})
        self.assertEqual(self.topics(other), {"in-two", "more-in-two"})
        self.assertEqual(len(self.clusters([one, other])), 2)
        for broker in (one, other):
            self.assertEqual(len(self.status(broker)["brokers"]), 1)
            self.assertEqual(len(self.states(broker)), 1)

    def test_an_old_backup_of_a_voter_catches_up_and_elects_nobody_wrongly(self):
        self.expected_errors = ["two processes use the identity",  # it cannot be told from a copy at first
                                "this broker votes no more", "acknowledged records may be lost"]
        brokers = self.three()
        old = brokers[1]
        self.create("before", brokers[0])
        self.wait_topics({"before"}, *brokers)
        self.assertEqual(old.stop(), 0)
        shutil.copytree(old.data, self.path("backup"))
        old.start()
        topics = {"before"}
        for number in range(8):
            self.create(f"after{number}", brokers[number % 3])
            topics.add(f"after{number}")
        rest = [broker for broker in brokers if broker is not old]
        self.wait_topics(topics, *brokers)
        old.kill()
        shutil.rmtree(old.data)
        shutil.copytree(self.path("backup"), old.data)
        old.start()
        self.until("it does not know that it was set back", lambda: self.said("this broker votes no more", old), old)
        self.wait_topics(topics, *brokers)
        self.wait_losses(rest[0], old)
        self.until("status does not say so", lambda: "older state" in self.problem_text(old) and "restart this broker" in self.problem_text(old), old)
        self.until("status elsewhere does not say so", lambda: "b1" in self.problem_text(rest[0]), rest[0])
        # It is not needed for a majority: without one of the others there is none.
        rest[1].kill()
        self.until("it still votes", lambda: self.create("never", rest[0], code=None, timeout="2s").code != 0, rest[0], old)
        rest[1].start()
        self.wait_coordinator(brokers)
        if "never" in self.topics(rest[0]):  # it was refused for want of a majority, and may yet have been decided
            topics.add("never")
        self.assertEqual(old.stop(), 0)
        old.start()
        self.assertIn("has given its vote up", "\n".join(old.lines))
        self.wait_topics(topics, *brokers)
        self.until("it does not get a vote again", lambda: self.votes(old), *brokers)
        # Now it counts: with one of the others gone, it is needed for a majority.
        coordinator = self.coordinator_of(brokers)
        victim = coordinator if coordinator is not old else rest[0]
        before = self.coordinators(brokers)
        victim.kill()
        living = [broker for broker in brokers if broker is not victim]
        self.wait_coordinator(living, but=before if victim is coordinator else ())
        self.create("last", old)
        self.wait_topics(topics | {"last"}, *living)
        victim.start()
        self.wait_topics(topics | {"last"}, *brokers)
        self.assert_same(brokers)

    def test_an_old_backup_of_a_broker_that_does_not_vote_is_not_trusted_with_its_records(self):
        self.expected_errors = ["two processes use the identity", "this broker votes no more", "acknowledged records may be lost"]
        brokers = self.three()
        old = self.new_broker(self.path("b3"), seeds=[brokers[0].address], options=["--name", "b3", *QUICK])
        old.start()
        for number in range(4):
            self.create(f"t{number}", brokers[0])
        self.until("nothing is placed there", lambda: self.losses(brokers[0], self.node_id(old))[0] > 0, *brokers)
        self.assertEqual(old.stop(), 0)
        shutil.copytree(old.data, self.path("backup"))
        for _ in range(2):  # later boots, which the others hear of
            old.start()
            old.kill()
        shutil.rmtree(old.data)
        shutil.copytree(self.path("backup"), old.data)
        old.start()
        self.until("it does not know that it was set back", lambda: self.said("the mesh knows more of this broker than its disk", old), old)
        self.wait_losses(brokers[0], old)
        before = self.losses(brokers[0], self.node_id(old))
        self.assertEqual(old.stop(), 0)
        old.start()
        self.assertIn("has given its vote up", "\n".join(old.lines))
        self.wait_topics({f"t{number}" for number in range(4)}, *brokers, old)
        self.until("it does not lead", lambda: self.node_id(old) in {p["leader"] for name in self.topics(old)
                                                                     for p in self.mesh("topic", "describe", name, "--json", broker=old).json["partitions"]}, old)
        self.assertEqual(self.losses(brokers[0], self.node_id(old)), (before[0], 0), "what was told once is not told again")

    def test_two_copies_of_a_voter_that_run_in_turns_make_one_history(self):
        """Each of the others meets each copy before the other two decide anything with it."""
        self.expected_errors = ["two processes use the identity", "this broker votes no more", "acknowledged records may be lost"]
        brokers = self.three(HASTY)
        one, *rest = brokers
        self.create("t", one)
        self.wait_topics({"t"}, *brokers)
        self.assertEqual(one.stop(), 0)
        shutil.copytree(one.data, self.path("copy"), ignore=shutil.ignore_patterns("ready.json"))
        copy = self.new_broker(self.path("copy"), seeds=[broker.address for broker in rest], options=["--name", "b0", *QUICK, *HASTY])
        acknowledged = {"t"}
        for turn in range(4):
            running = (one, copy)[turn % 2]
            running.start()
            self.until("it does not hear of a coordinator", lambda: self.status(running)["coordinator"] is not None, running)
            for number, away in enumerate(rest):
                here = rest[1 - number]
                away.kill()
                name = f"t{turn}-{number}"
                if self.create(name, here, code=None, timeout="3s").code == 0:  # with the vote of the one that is running
                    acknowledged.add(name)
                away.start()
                self.wait_coordinator(rest)
            running.kill()
        self.assertGreater(len(acknowledged), 1, "the first of the two was to count")
        self.assertEqual(len(self.said("votes no more", one, copy)), 1, "the other one was not to")
        self.until("acknowledged topics are missing", lambda: all(acknowledged <= self.topics(broker) for broker in rest), *rest)
        self.assert_same(rest)

    # ---- files ----

    def damage(self, path, at):
        with open(path, "r+b") as file:
            file.seek(at)
            byte = file.read(1)
            file.seek(at)
            file.write(bytes([byte[0] ^ 0x10]))

    def log_of(self, broker):
        return sorted(glob.glob(os.path.join(broker.data, "consensus", "log-*")))[-1]

    def body_of(self, broker, number):
        """Where a byte of an entry's body lies; -1: the last one's (consensus/FORMAT.md)."""
        path, places = self.log_of(broker), []
        with open(path, "rb") as file:
            content = file.read()
        for slot in range(512):
            header = content[4096 + 128 * slot:4096 + 128 * (slot + 1)]
            if header[:4] != b"MREN":
                break
            size = int.from_bytes(header[48:52], "little")
            if size > 0:
                places.append(int.from_bytes(header[40:48], "little") + 128 + size // 2)
        return places[number if number < 0 else len(places) // 2]

    def damaged_mesh(self):
        brokers = self.three()
        topics = {f"t{number}" for number in range(6)}
        for name in sorted(topics):
            self.create(name, brokers[0])
        self.wait_topics(topics, *brokers)
        return brokers, topics

    def problems(self, topic, broker):
        partitions = self.mesh("topic", "describe", topic, "--json", broker=broker).json["partitions"]
        return {p["problem"] for p in partitions if p["problem"] is not None}

    def check_repaired(self, broker, brokers, topics, said):
        self.assertIn(said, "\n".join(broker.lines))
        self.wait_topics(topics, broker)
        self.until("it does not answer for itself again", lambda: self.create("probe", broker, code=None).code == 0, broker)
        self.wait_topics(topics | {"probe"}, *brokers)
        self.until("it does not reach the leaders of others' partitions", lambda: self.problems("probe", broker) == set(), broker)
        self.mesh("topic", "delete", "probe", broker=broker)
        self.wait_topics(topics, *brokers)

    def test_a_damaged_log_is_repaired_by_the_others(self):
        self.expected_errors = ["the metadata log is damaged: it is fetched from the others"]
        brokers, topics = self.damaged_mesh()
        for broker, number in zip(brokers, (-1, 0, -1)):
            self.assertEqual(broker.stop(), 0)
            self.damage(self.log_of(broker), self.body_of(broker, number))
            broker.start()
            self.check_repaired(broker, brokers, topics, "the metadata log is damaged")
        self.assert_same(brokers)

    def test_one_damaged_copy_of_the_vote_is_told_and_both_are_refused(self):
        brokers, topics = self.damaged_mesh()
        broker = brokers[1]
        state = os.path.join(broker.data, "consensus", "state")
        for at in (60, 4096 + 60):
            self.assertEqual(broker.stop(), 0)
            self.damage(state, at)
            broker.start()
            self.check_repaired(broker, brokers, topics, "one of the two copies of the vote is damaged")
        self.assertEqual(broker.stop(), 0)
        for at in (60, 4096 + 60):
            self.damage(state, at)
        self.refuses(broker, "DIR/consensus/state: both copies of term and vote are damaged", "it could vote twice", "an empty data directory", "restore")
        self.wait_topics(topics, brokers[0], brokers[2])
        self.create("still", brokers[0])

    def test_what_nobody_else_has_is_refused_with_file_cause_and_cure(self):
        broker = self.start_broker(self.path("b0"), options=["--name", "b0", *QUICK])
        for number in range(6):
            self.create(f"t{number}", broker)
        self.assertEqual(broker.stop(), 0)
        shutil.copytree(broker.data, self.path("good"))

        def spoilt(*places):
            shutil.rmtree(broker.data)
            shutil.copytree(self.path("good"), broker.data)
            for path, at in places:
                self.damage(path, at)

        log, state = self.log_of(broker), os.path.join(broker.data, "consensus", "state")
        for number in (-1, 0):
            spoilt((log, self.body_of(broker, number)))
            self.refuses(broker, "DIR/consensus/log-", "damaged", "restore")
        spoilt((state, 60), (state, 4096 + 60))
        self.refuses(broker, "DIR/consensus/state", "damaged", "restore")
        spoilt((state, 60))
        broker.start()
        self.assertEqual(len(self.topics(broker)), 6)

    def test_a_member_without_its_log_or_its_identity_is_refused(self):
        broker = self.start_broker(self.path("b0"), options=["--name", "b0", *QUICK])
        self.create("t", broker)
        self.assertEqual(broker.stop(), 0)
        shutil.copytree(broker.data, self.path("good"))
        shutil.rmtree(os.path.join(broker.data, "consensus"))
        self.refuses(broker, "DIR/consensus is empty", "restore it")
        shutil.rmtree(broker.data)
        shutil.copytree(self.path("good"), broker.data)
        os.remove(os.path.join(broker.data, "identity"))
        self.refuses(broker, "DIR/identity is missing", "restore DIR/identity")
        shutil.rmtree(broker.data)
        shutil.copytree(self.path("good"), broker.data)
        broker.start()
        self.assertEqual(self.topics(broker), {"t"})

    # ---- full disks ----

    def small_disk(self, name):
        if os.geteuid() != 0:
            self.skipTest("only root may mount a tmpfs")
        os.mkdir(self.path(name))
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=192m", "tmpfs", self.path(name)], capture_output=True, text=True)
        if done.returncode != 0:
            self.skipTest(f"a tmpfs cannot be mounted here: {done.stderr.strip()}")
        self.addCleanup(subprocess.run, ["umount", "-l", self.path(name)], check=False)

    def fill_disk(self, name):
        with open(self.path(name, "filler"), "wb", buffering=0) as file:
            size = 1 << 20
            while size >= 1:
                try:
                    while file.write(b"x" * size) == size:
                        pass
                    size //= 2
                except OSError:
                    size //= 2

    def until_full(self, broker):
        """Asks for topics until one does not come: room within a file's last page is still used."""
        made = set()
        for number in range(40):
            name = f"fill-{number}"
            done = self.mesh("topic", "create", name, "--json", "--timeout", "2s", broker=broker, code=None)
            if done.code != 0:
                return made, name, done
            made.add(name)
        self.fail("the disk never got full")

    def test_a_full_disk_under_one_voter_leaves_the_others_to_serve(self):
        self.expected_errors = ["the disk is full"]
        self.small_disk("disk0")
        addresses = free_addresses(3)
        brokers = [self.new_broker(self.path("disk0", "data") if i == 0 else self.path(f"b{i}"), listen=addresses[i], seeds=addresses,
                                   options=["--expect", "3", "--name", f"b{i}", *QUICK, *SMALL]) for i in range(3)]
        for broker in brokers:
            broker.launch()
        for broker in brokers:
            self.wait_ready(broker)
        self.wait_coordinator(brokers)
        self.create("before", brokers[0])
        topics = {"before"}
        self.wait_topics(topics, *brokers)
        self.fill_disk("disk0")
        rest = brokers[1:]
        for number in range(12):  # each takes some room of the log
            made = []
            self.until("nothing can be changed through the others", lambda: made.append(self.create(f"t{number}", rest[number % 2], code=None)) or
                       made[-1].code == 0 or b"exists already" in made[-1].out + made[-1].err, *brokers)
            topics.add(f"t{number}")
        self.wait_topics(topics, *rest)
        os.remove(self.path("disk0", "filler"))
        self.wait_topics(topics, *brokers)
        self.create("after", brokers[0])
        self.wait_topics(topics | {"after"}, *brokers)

    def test_a_full_disk_under_a_mesh_of_one_refuses_changes_and_recovers(self):
        self.expected_errors = ["the disk is full"]
        self.small_disk("disk0")
        broker = self.start_broker(self.path("disk0", "data"), options=["--name", "b0", *QUICK, *SMALL])
        self.create("before", broker)
        self.fill_disk("disk0")
        made, name, refused = self.until_full(broker)
        self.assertIn(refused.json["error"]["name"], ("FULL", "NO_COORDINATOR", "TIMEDOUT"), str(refused))
        self.until("status does not name the full disk", lambda: any("disk is full" in problem["what"] for problem in self.status(broker)["problems"]), broker)
        os.remove(self.path("disk0", "filler"))
        self.create("after", broker)
        self.assertEqual(self.topics(broker) - {name}, made | {"before", "after"})  # the refused one: may have been made since
        broker.kill()
        broker.start()
        self.assertEqual(self.topics(broker) - {name}, made | {"before", "after"})

    # ---- brokers that sleep ----

    def test_a_coordinator_that_slept_steps_down(self):
        brokers = self.three()
        topics = set()
        for turn in range(2):
            sleeper = self.coordinator_of(brokers)
            before = self.coordinators(brokers)
            rest = [broker for broker in brokers if broker is not sleeper]
            begin = time.monotonic()
            os.kill(sleeper.pid, signal.SIGSTOP)
            try:
                self.wait_coordinator(rest, but=before)
                while not topics or time.monotonic() - begin < SLEEP_S * (1 - turn):
                    name = f"t{len(topics)}"
                    self.create(name, rest[len(topics) % 2])
                    topics.add(name)
            finally:
                os.kill(sleeper.pid, signal.SIGCONT)
            self.wait_topics(topics, *brokers)
            self.wait_coordinator(brokers)
            self.create(f"by-sleeper{turn}", sleeper)
            topics.add(f"by-sleeper{turn}")
            self.wait_topics(topics, *brokers)
        self.assert_same(brokers)

    # ---- kills and restarts while topics are made ----

    def creating(self, brokers, prefix, stop):
        """Threads that make topics through each of the brokers until `stop`. Returns them, what was acknowledged, and what else was answered."""
        done, others = [], []

        def work(number):
            count = 0
            while not stop.is_set():
                name = f"{prefix}-{number}-{count}"
                result = self.create(name, brokers[number % len(brokers)], code=None)
                count += 1
                (done if result.code == 0 else others).append((name, result))

        threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
        for thread in threads:
            thread.start()
        return threads, done, others

    def check_answers(self, others):
        for name, result in others:
            self.assertIn(result.json["error"]["name"], RETRIABLE, str(result))

    def test_all_are_killed_while_topics_are_made_and_none_that_was_acknowledged_is_lost(self):
        brokers = self.three(HASTY)
        acknowledged, unclear = set(), set()
        for turn in range(20):
            stop = threading.Event()
            threads, done, others = self.creating(brokers, f"k{turn}", stop)
            self.until("no topic is made", lambda: len(done) > turn % 4, *brokers)
            for broker in brokers:
                broker.process.kill()
            stop.set()
            for broker in brokers:
                broker.kill()
                broker.launch()
            for broker in brokers:
                self.wait_ready(broker)
            for thread in threads:
                thread.join()
            self.wait_coordinator(brokers)
            acknowledged |= {name for name, _ in done}
            unclear |= {name for name, _ in others}
            self.check_answers(others)
            seen = self.topics(brokers[turn % 3])
            self.assertEqual(acknowledged - seen, set(), "acknowledged and lost")
            self.assertEqual(seen - acknowledged - unclear, set(), "made by nobody")
        self.assert_same(brokers)
        for topic in self.descriptions(brokers[0]):
            self.assertEqual(len(topic[2]), 2, topic)

    def test_five_are_restarted_one_by_one_while_topics_are_made(self):
        brokers = self.launch_together(5)
        self.wait_coordinator(brokers)
        stop = threading.Event()
        everywhere = ",".join(broker.address for broker in brokers)
        done, others = [], []

        def work(number):
            count = 0
            while not stop.is_set():
                name = f"r-{number}-{count}"
                result = self.mesh("topic", "create", name, "--partitions", "2", "--replicas", "1", "--json", code=None, env={"MESH_BROKER": everywhere})
                count += 1
                (done if result.code == 0 else others).append((name, result))

        threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
        for thread in threads:
            thread.start()
        try:
            for broker in brokers:
                before = len(done)
                self.assertEqual(broker.stop(), 0)
                broker.start()
                self.until("it does not coordinate with the others", lambda: self.status(broker)["coordinator"] is not None, broker)
                self.until("no topic is made", lambda: len(done) > before, *brokers)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        self.check_answers(others)
        acknowledged, unclear = {name for name, _ in done}, {name for name, _ in others}
        for broker in brokers:
            self.until("acknowledged topics are missing", lambda: acknowledged <= self.topics(broker) <= acknowledged | unclear, broker)
        self.assert_same(brokers)


if __name__ == "__main__":
    main()
