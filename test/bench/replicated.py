"""Replicated partitions, measured from outside: a mesh of brokers whose topics have several replicas, and a client of the native
protocol that finds out when each partition takes records again after a broker was killed or fell silent.

The prober keeps one request with all partitions that are still missing at each broker; who does not lead one says so at once. A figure
is late by one such question (a few ms), never early.
"""
import collections
import json
import os
import selectors
import signal
import struct
import subprocess
import time

import many_brokers
import mesh_writes
from mesh_writes import crc32c, frame, number, text, varint

PRODUCE = 7
ACKS_ALL = 1  # -1 in zigzag
ASK_AGAIN_S = 0.005


class ReplicatedMesh(many_brokers.Mesh):
    """Brokers that all vote, with as many shards as the product gives itself."""

    def __init__(self, mesh, work, count, environment, options=()):
        super().__init__(mesh, work, count, environment, lambda number: options)
        try:
            self.wait_agreement()
            self.wait_voters(count)
        except BaseException:
            self.close()
            raise

    def run(self, *arguments, member=None):
        command = [self.mesh, *arguments, "--broker", (member or self.members[0]).address]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, timeout=many_brokers.PATIENCE_S, env=self.environment)
        if done.returncode != 0:
            raise SystemExit(f"failed ({done.returncode}): {' '.join(command)}")
        return done.stdout

    def partitions(self, topic):
        return json.loads(self.run("topic", "describe", topic, "--json"))["partitions"]

    def topic(self, name, partitions, replicas, *settings):
        """Creates a topic and waits until all its replicas are in sync."""
        self.run("topic", "create", name, "--partitions", str(partitions), "--replicas", str(replicas), *settings)
        self.wait_in_sync(name, replicas)
        return name

    def wait_in_sync(self, name, replicas):
        def is_in_sync():
            return all(len(p["isr"]) == replicas and p["problem"] is None for p in self.partitions(name))

        many_brokers.wait_until(is_in_sync, f"{name} is in sync", self.members[0].process)

    def by_node_id(self):
        rows = json.loads(self.run("status", "--json"))["brokers"]
        return {row["node_id"]: next((m for m in self.members if m.name == row["name"]), None) for row in rows}

    def busiest_leader(self, name):
        """The member that leads most of its partitions."""
        leaders = collections.Counter(p["leader"] for p in self.partitions(name))
        return self.by_node_id()[leaders.most_common(1)[0][0]]

    def coordinator(self):
        """Waits until a broker that has just started knows it, too."""
        many_brokers.wait_until(lambda: mesh_writes.coordinator(self.members), "a coordinator is known", self.members[0].process)
        return mesh_writes.coordinator(self.members)

    def led_by(self, name, member):
        """How many of its partitions."""
        members = self.by_node_id()
        return sum(members.get(p["leader"]) is member for p in self.partitions(name))

    def hosts(self, name):
        """The members that hold its first partition."""
        members = self.by_node_id()
        return [members[node_id] for node_id in self.partitions(name)[0]["replicas"]]

    def leave_alone(self, members):
        """kill -9 to all others."""
        for member in self.members:
            if member not in members:
                member.process.kill()
        for member in self.members:
            if member not in members:
                member.process.wait(many_brokers.PATIENCE_S)
        self.members = members

    def rest_until_quiet(self):
        many_brokers.rest_until_quiet(self.all_cpu_s, self.rest)

    def rest_until_written(self):
        many_brokers.rest_until_written(self.all_cpu_s, self.rest)

    def all_cpu_s(self):
        return sum(member.cpu_s() for member in self.members)

    def bench(self, kind, *arguments):
        """`mesh bench`, with what all brokers together used."""
        before = self.all_cpu_s()
        result = json.loads(self.run("bench", kind, "--json", *(str(a) for a in arguments)))
        if result.get("bytes"):
            result["mesh_cpu"] = {"seconds_per_gb": (self.all_cpu_s() - before) / (result["bytes"] / 1e9)}
        return result

    def load(self, topic, rate, seconds, members):
        """A producer that goes on until it is killed, or gives up."""
        command = [self.mesh, "bench", "produce", "--topic", topic, "--record-size", "1024", "--rate", str(rate), "--seconds", str(seconds),
                   "--partitioner", "round-robin", "--broker", ",".join(m.address for m in members)]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=self.environment)


# ---- asking partitions whether they take records ----


def one_record(value=b"?"):
    """A batch as a client sends it."""
    record = b"\0\0\0\1" + varint(len(value) * 2) + value + b"\0"
    rest = struct.pack(">hiqqqhii", 0, 0, 0, 0, -1, -1, -1, 1) + varint(len(record) * 2) + record
    return struct.pack(">qiib", 0, 9 + len(rest), -1, 2) + struct.pack(">I", crc32c(rest)) + rest


def fields(message):
    """The fields of a protobuf message: (number, integer or bytes)."""
    at = 0

    def integer():
        nonlocal at
        value, shift = 0, 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7

    while at < len(message):
        key = integer()
        value = integer()
        if key & 7 == 2:
            yield key >> 3, message[at:at + value]
            at += value
        else:
            yield key >> 3, value


def topic_id(member, name):
    connection = mesh_writes.Connection(member.address)
    _, message = connection.call(mesh_writes.describe_frame(name))
    connection.close()
    topic = next(value for key, value in fields(message) if key == 1)
    return next(value for key, value in fields(topic) if key == 3)


class Prober:
    """Asks `members` until each partition of the topic has taken a record."""

    def __init__(self, members, topic, partitions):
        self.batch = one_record()
        self.topic = b"\x0a\x10" + topic_id(members[0], topic)
        self.missing = set(range(partitions))
        self.accepted = {}  # partition: when
        self.connections = [mesh_writes.Connection(member.address) for member in members]
        self.asked = {}

    def request(self, partitions):
        """One record for each of them."""
        entries = b"".join(b"\x1a" + varint(len(entry)) + entry
                           for entry in (self.topic + number(2, p) + number(4, len(self.batch)) for p in partitions))
        message = number(1, ACKS_ALL) + number(2, 10000) + entries
        attachment = self.batch * len(partitions)
        head = b"MESH" + struct.pack("<BBHIII", 1, 0, PRODUCE, 1, len(message), len(attachment))
        return head + struct.pack("<I", crc32c(head + message)) + message + attachment

    def ask(self, connection):
        self.asked[connection] = sorted(self.missing)
        connection.send(self.request(self.asked[connection]))

    def take(self, connection, now):
        """Whether an answer was there."""
        answer = connection.take()
        if answer is None:
            return False
        is_error, message = answer
        results = [] if is_error else [value for key, value in fields(message) if key == 1]
        for partition, result in zip(self.asked[connection], results):
            if dict(fields(result)).get(1, 0) == 0 and partition in self.missing:
                self.missing.remove(partition)
                self.accepted[partition] = now
        return True

    def run(self):
        again, end = [], time.monotonic() + many_brokers.PATIENCE_S
        with selectors.DefaultSelector() as selector:
            for connection in self.connections:
                selector.register(connection.socket, selectors.EVENT_READ, connection)
                self.ask(connection)
            while self.missing:
                for key, _ in selector.select(ASK_AGAIN_S):
                    key.data.feed()
                    if self.take(key.data, time.monotonic()):
                        again.append((time.monotonic() + ASK_AGAIN_S, key.data))
                while self.missing and again and again[0][0] <= time.monotonic():
                    self.ask(again.pop(0)[1])
                if time.monotonic() > end:
                    raise SystemExit(f"{len(self.missing)} partitions take nothing within {many_brokers.PATIENCE_S} s")

    def close(self):
        for connection in self.connections:
            connection.close()


def take_over(mesh, topic, partitions, victim, how, meanwhile=lambda: None):
    """Stops `victim` with the signal `how`, calls `meanwhile` and returns after how many seconds all of the partitions have taken a record at the others."""
    prober = Prober([m for m in mesh.members if m is not victim], topic, partitions)
    begin = time.monotonic()
    os.kill(victim.process.pid, how)
    meanwhile()
    try:
        prober.run()
    finally:
        prober.close()
    if how == signal.SIGKILL:
        victim.process.wait(many_brokers.PATIENCE_S)
    return max(prober.accepted.values()) - begin
