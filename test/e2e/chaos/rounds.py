"""A round: topics, those who write and read them, a time of faults, healing, and the verdict over all that was written down meanwhile."""
import os
import random
import subprocess
import threading

from history import History
from nemesis import Contract, Nemesis, plan
from stored import differing

HEAL_SECONDS = 150  # a limit is for what hangs; how long it took is told
RATE = 120          # records a second of each producer
REPLICAS = 3


class Limit(Exception):
    """Something that has to come did not."""


class Recorder:
    """One recorder.c, its history in a file."""

    def __init__(self, world, folder, name, words):
        self.name, self.path = name, os.path.join(folder, name)
        with open(self.path, "wb") as out, open(self.path + ".err", "wb") as err:
            self.process = subprocess.Popen([*world.prefix(world.clients), world.programs["recorder"], *map(str, words)], stdin=subprocess.PIPE,
                                            stdout=out, stderr=err, env=world.env)

    def release(self):
        self.process.stdin.close()

    def wait(self, seconds):
        """What is wrong with how it ended, or None."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return f"{self.name} did not end within {seconds} s"
        if code == 0:
            return None
        with open(self.path + ".err", encoding="utf-8", errors="replace") as file:
            return f"{self.name} ended with {code}: {file.read().strip()}"

    def lines(self):
        with open(self.path, encoding="utf-8", errors="replace") as file:
            yield from file


class TopicUnderTest:
    def __init__(self, world, folder, name, partitions, settings=(), replicas=REPLICAS):
        self.world, self.name, self.partitions, self.replicas = world, name, partitions, replicas
        self.may_lose = "unclean=proactive" in settings
        self.needs_all = "mode=sync-double-write" in settings  # writes only to both: without one of them it waits, which is what it promises
        self.folder = os.path.join(folder, name)
        os.mkdir(self.folder)
        self.create = ["topic", "create", name, "--partitions", partitions, "--replicas", replicas, "--set", "segment.bytes=1048576"]
        for setting in settings:
            self.create += ["--set", setting]
        self.producers, self.consumers = [], []
        self.uuid, self.ends = None, []

    def brokers(self, first):
        addresses = self.world.addresses
        return ",".join(addresses[first % len(addresses):] + addresses[:first % len(addresses)])

    def record(self, kind, name, number, *words):
        recorder = Recorder(self.world, self.folder, name, [kind, self.brokers(number), self.name, *words])
        (self.producers if kind == "produce" else self.consumers).append(recorder)

    def start(self, seed):
        for number, (kind, acks, timeout_s) in enumerate((("idempotent", -1, 20), ("idempotent", -1, 120), ("plain", -1, 20), ("plain", 1, 20))):
            self.record("produce", f"p{number}", number, f"p{number}", kind, acks, RATE, timeout_s * 1000)
        self.record("follow", "c0", seed)
        self.record("again", "c1", seed + 1, seed)

    def describe(self, broker):
        facts = self.world.ask("topic", "describe", self.name, broker=broker)
        if facts is None:
            return None
        self.uuid = facts["id"]
        return facts["partitions"]

    def unhealthy(self, broker):
        """What is not as it should be, as this broker sees it; None: nothing."""
        partitions = self.describe(broker)
        if partitions is None:
            return f"b{broker} says nothing about {self.name}"
        for partition in partitions:
            if len(partition["isr"]) != self.replicas or partition["problem"] is not None or partition["leader"] < 0:
                return f"b{broker} says of {self.name}: {partition}"
        return None


class AckWatch:
    """Follows what the producers write down, until each partition has taken records of each idempotent producer."""

    def __init__(self, topic):
        self.files = [open(recorder.path, encoding="utf-8", errors="replace") for recorder in topic.producers[:2]]
        for file in self.files:
            file.seek(0, os.SEEK_END)
        self.missing = {(number, partition) for number in range(len(self.files)) for partition in range(topic.partitions)}

    def look(self):
        for number, file in enumerate(self.files):
            for line in file:
                words = line.split()
                if len(words) == 8 and words[0] == "a":
                    self.missing.discard((number, int(words[2])))
        return self.missing

    def close(self):
        for file in self.files:
            file.close()


class Round:
    def __init__(self, world, number, seed, seconds, abilities, only):
        self.world, self.number, self.seconds = world, number, seconds
        self.folder = os.path.join(world.folder, f"round{number}")
        os.mkdir(self.folder)
        generator = random.Random(seed)
        self.steps = plan(generator.getrandbits(32), len(world.machines), seconds, abilities, only)
        self.topics = [TopicUnderTest(world, self.folder, f"isr-{number}", generator.choice((2, 5, 8)))]
        if generator.random() < 0.3:
            self.topics.append(TopicUnderTest(world, self.folder, f"double-{number}", 3, ["mode=sync-double-write"], 2))
        if generator.random() < 0.5:
            self.topics.append(TopicUnderTest(world, self.folder, f"quorum-{number}", 2, ["mode=quorum"]))
        if generator.random() < 0.4:
            self.topics.append(TopicUnderTest(world, self.folder, f"risky-{number}", 3, ["min.insync=1", "unclean=proactive"]))
        self.seed = generator.getrandbits(16)
        self.contract = Contract(2)
        self.findings = []
        self.pause = threading.Event()  # never set: waiting for the time of the next fault

    def until(self, what, is_so):
        begin = self.world.seconds()
        while (wrong := is_so()) is not None:
            if self.world.seconds() - begin > HEAL_SECONDS:
                raise Limit(f"{what}: not within {HEAL_SECONDS} s: {wrong}")
            self.findings += self.world.complaints()
            self.pause.wait(0.2)
        return self.world.seconds() - begin

    def each_broker(self, topic):
        return lambda: next((text for text in map(topic.unhealthy, range(len(self.world.machines))) if text), None)

    def run(self):
        try:
            self.begin()
            nemesis = self.do_harm()
            self.settle(nemesis)
            self.end()
        except Limit as limit:
            self.findings.append(str(limit))
            self.tell_what_brokers_see()
        finally:
            for topic in self.topics:
                for recorder in topic.producers + topic.consumers:
                    if recorder.process.poll() is None:
                        recorder.process.kill()
                        recorder.process.wait()
        return self.findings

    def tell_what_brokers_see(self):
        """For whoever studies it, into the events alone."""
        for broker in range(len(self.world.machines)):
            for topic in self.topics:
                for partition in topic.describe(broker) or ["it says nothing"]:
                    self.world.note(f"b{broker} {topic.name}: {partition}", False)
            self.world.note(f"b{broker}: {self.world.ask('status', broker=broker)}", False)

    def begin(self):
        for topic in self.topics:
            self.until(f"{topic.name} is made", lambda topic=topic: self.try_to_create(topic))
            self.until(f"{topic.name} is in sync", self.each_broker(topic))
            topic.start(self.seed)

    def try_to_create(self, topic):
        code, _, err = self.world.mesh(*topic.create, "--if-absent")
        return None if code == 0 else err

    def do_harm(self):
        begin = self.world.seconds()
        self.world.note(f"round {self.number}: {', '.join(f'{t.name} ({t.partitions})' for t in self.topics)}; the plan:")
        for step in self.steps:
            self.world.note(f"    {step}")
        nemesis = Nemesis(self.world, self.steps, self.contract)
        while True:
            at = nemesis.next_at()
            left = begin + (self.seconds if at is None else min(at, self.seconds)) - self.world.seconds()
            self.pause.wait(max(0.0, min(left, 0.5)))
            self.findings += self.world.complaints()
            if left > 0:
                continue
            if at is None or at >= self.seconds:
                break
            nemesis.run_next()
        self.world.note("heal")
        nemesis.heal()
        self.findings += nemesis.findings
        return nemesis

    def wait_writable(self, topic):
        watch = AckWatch(topic)
        took = self.until(f"{topic.name}: every partition takes records again", lambda: f"not from {sorted(watch.look())}" if watch.look() else None)
        watch.close()
        return took

    def settle(self, nemesis):
        took = {}
        self.until("who lost a disk for good is removed", nemesis.remove_the_wiped)
        for topic in self.topics:
            if not topic.needs_all:
                took[topic] = self.wait_writable(topic)
        nemesis.mend_the_sick()
        for topic in self.topics:
            if topic.needs_all:
                took[topic] = self.wait_writable(topic)
        for topic in self.topics:
            took_all = took[topic] + self.until(f"{topic.name}: all replicas are in sync", self.each_broker(topic))
            self.world.note(f"{topic.name}: writable after {took[topic]:.1f} s, in sync after {took_all:.1f} s")

    def end(self):
        for topic in self.topics:
            for recorder in topic.producers:
                recorder.release()
            for recorder in topic.producers:
                self.complain(recorder.wait(HEAL_SECONDS))
            self.find_ends(topic)
            for recorder in topic.consumers:
                recorder.release()
            for recorder in topic.consumers:
                self.complain(recorder.wait(60))
            took = self.until(f"{topic.name}: all replicas are equal", lambda topic=topic: differing(self.world.machines, topic))
            self.world.note(f"{topic.name}: equal after {took:.1f} s")
        self.contract.healed()
        for topic in self.topics:
            self.judge(topic)

    def complain(self, text):
        if text is not None:
            self.findings.append(text)

    def find_ends(self, topic):
        """The ends of all partitions, when nothing is written any more and all that was is committed."""
        def look():
            partitions = topic.describe(None)
            if partitions is None or any(p["high_watermark"] != p["log_end"] for p in partitions):
                return partitions or "no answer"
            topic.ends = [p["high_watermark"] for p in partitions]
            return None
        self.until(f"{topic.name}: all is committed", look)

    def judge(self, topic):
        history, told = History(), set()
        for machine in self.world.machines:
            told |= machine.told_losses().get(topic.name, set())
        may_lose = topic.may_lose or self.contract.is_exceeded
        if told and not may_lose:
            self.findings.append(f"{topic.name}: partitions {sorted(told)} are said to have lost records, though no fault was more than is promised to be survived")
        for recorder in topic.producers:
            history.read_producer(recorder.lines(), recorder.name)
        for recorder in topic.consumers:
            history.read_consumer(recorder.lines(), recorder.name, told if may_lose else frozenset())
        finals = []
        for number in range(len(self.world.machines)):
            recorder = Recorder(self.world, topic.folder, f"all-b{number}", ["until", self.world.addresses[number], topic.name, ",".join(map(str, topic.ends))])
            self.complain(recorder.wait(90))
            finals.append((recorder.name, history.read_consumer(recorder.lines(), recorder.name)))
        history.check(told if may_lose else frozenset())
        history.check_homes()
        for name, seen in finals:
            history.check_complete(seen, topic.ends, name)
        self.world.note(f"{topic.name}: {history.summary()}")
        if history.violations:
            self.findings.append(f"{topic.name}:\n{history.report()}")

    def forget(self):
        """Its topics are deleted: the disks are small."""
        for topic in self.topics:
            self.world.mesh("topic", "delete", topic.name, "--timeout", "30s")
