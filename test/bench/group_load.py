"""Groups as their brokers see them, by a small client: commits without members, of many cells and of many groups; when each broker knows them; and when commits
are taken again after a kill. No library: its waits are not what is measured."""
import json
import struct
import subprocess
import threading
import time

import many_brokers
import mesh_writes
import replicated
from mesh_writes import frame, number, text, varint

COMMIT, LIST = 25, 30
IN_FLIGHT = 128
LOOK_AGAIN_S = 0.01


def data(field, value):
    return varint(field << 3 | 2) + varint(len(value)) + value


def packed(field, values):
    return data(field, b"".join(varint(value) for value in values))


def commit_frame(group, topic, partitions, offset=0, correlation=1):
    """By nobody: a group without members takes that from anyone. Whoever gets it sends it on to the group's leader."""
    cells = data(1, topic) + packed(2, partitions) + packed(3, [offset + 1] * len(partitions))
    return frame(COMMIT, text(1, group) + number(2, 1) + number(7, 10000) + data(10, cells), correlation)


def list_frame(group):
    """The group alone: a list is what the asked broker knows by itself; offsets it would ask the leader for."""
    return frame(LIST, text(1, group[:-1] + chr(ord(group[-1]) - 1) + "~") + number(4, 1))


def is_taken(answer):
    """An answer to a commit: no error, neither of all of it nor of a partition."""
    is_error, message = answer
    if is_error:
        return False
    for key, value in replicated.fields(message):
        if key == 1 and value != 0:
            return False
        if key == 8 and any(inner == 7 and any(error for error in errors) for inner, errors in replicated.fields(value)):
            return False
    return True


def offsets_of(answer, group):
    """Of a list: how many offsets of the group are known; 0: not even the group."""
    rows = [] if answer[0] else [dict(replicated.fields(value)) for key, value in replicated.fields(answer[1]) if key == 3]
    return next((row.get(9, 0) for row in rows if row.get(1) == group.encode()), 0)


def commit_all(member, frames):
    """Pipelined; returns how long it took."""
    connection = mesh_writes.Connection(member.address)
    begin, waiting = time.monotonic(), 0

    def take():
        answer = connection.receive()
        if not is_taken(answer):
            raise SystemExit(f"a commit was refused: {answer[1]!r}")

    for one in frames:
        if waiting == IN_FLIGHT:
            take()
            waiting -= 1
        connection.send(one)
        waiting += 1
    for _ in range(waiting):
        take()
    connection.close()
    return time.monotonic() - begin


def receive_numbered(connection):
    """The next answer, and the number of its question: answers of different leaders overtake each other."""
    while len(connection.bytes) < 12:
        connection.feed()
    which, = struct.unpack_from("<I", connection.bytes, 8)
    return which, connection.receive()


class Load(threading.Thread):
    """`rate` cells a second, in commits of all `partitions`, of `groups` groups by turns, until it is stopped."""

    def __init__(self, member, topic, partitions, groups, rate, is_patient=False):
        super().__init__(daemon=True)
        self.connection = mesh_writes.Connection(member.address)
        self.frames = [[commit_frame(f"load-{i}", topic, range(partitions), offset) for offset in (0, 1)] for i in range(groups)]
        self.pause_s = partitions / rate
        self.is_patient = is_patient  # what is refused while leaders change is asked again by the next round
        self.cells, self.partitions, self.is_over = 0, partitions, threading.Event()
        self.begin = time.monotonic()
        self.start()

    def run(self):
        begin, count = self.begin, 0
        while not self.is_over.wait(max(0, begin + count * self.pause_s - time.monotonic())):
            frames = self.frames[count % len(self.frames)]
            if is_taken(self.connection.call(frames[count // len(self.frames) % 2])):
                self.cells += self.partitions
            elif not self.is_patient:
                raise SystemExit("a commit was refused")
            count += 1

    def stop(self):
        """Returns how many cells a second there were."""
        self.is_over.set()
        self.join()
        self.connection.close()
        return self.cells / (time.monotonic() - self.begin)


def known_everywhere(members, topic, group):
    """Commits once, and returns after how long every broker says so by itself."""
    connections = [mesh_writes.Connection(member.address) for member in members]
    if any(offsets_of(c.call(list_frame(group)), group) for c in connections):
        raise SystemExit("it is known before it is committed")
    if not is_taken(connections[0].call(commit_frame(group, topic, [0]))):
        raise SystemExit("a commit was refused")
    begin, missing = time.monotonic(), list(connections)
    question = list_frame(group)
    while missing:
        missing = [c for c in missing if not offsets_of(c.call(question), group)]
        if time.monotonic() > begin + many_brokers.PATIENCE_S:
            raise SystemExit("a committed offset does not become known")
        if missing:
            many_brokers.pass_time(members[0].process, LOOK_AGAIN_S)
    took = time.monotonic() - begin
    for connection in connections:
        connection.close()
    return took


class Watcher(threading.Thread):
    """How long after its commit was acknowledged one broker knows every offset of each group that it is told of."""

    def __init__(self, member, offsets):
        super().__init__(daemon=True)
        self.connection, self.offsets = mesh_writes.Connection(member.address), offsets
        self.pending, self.delays, self.is_over = [], [], threading.Event()
        self.start()

    def run(self):
        while not (self.is_over.is_set() and not self.pending):
            for group, since in list(self.pending):
                if offsets_of(self.connection.call(list_frame(group)), group) < self.offsets:
                    if time.monotonic() > since + many_brokers.PATIENCE_S:
                        self.delays.append(float("inf"))
                        self.pending.remove((group, since))
                    continue
                self.delays.append(time.monotonic() - since)
                self.pending.remove((group, since))
            threading.Event().wait(LOOK_AGAIN_S)
        self.connection.close()


def all_known_everywhere(members, topic, partitions, rate, seconds):
    """`rate` offsets a second, each of a partition that its group never had one of: every delay at every broker, of a whole commit, and the rate that it was."""
    watchers, connection = [Watcher(member, partitions) for member in members], mesh_writes.Connection(members[0].address)
    pause_s, count, begin = partitions / rate, int(seconds * rate / partitions), time.monotonic()
    for i in range(count):
        threading.Event().wait(max(0, begin + i * pause_s - time.monotonic()))
        if not is_taken(connection.call(commit_frame(f"all-{i}", topic, range(partitions)))):
            raise SystemExit("a commit was refused")
        now = time.monotonic()
        for watcher in watchers:
            watcher.pending.append((f"all-{i}", now))
    took = time.monotonic() - begin
    for watcher in watchers:
        watcher.is_over.set()
    for watcher in watchers:
        watcher.join()
    connection.close()
    return [delay for watcher in watchers for delay in watcher.delays], count * partitions / took


class CommitProber(threading.Thread):
    """Commits for each of `groups` at one broker until each was taken once; asks again those that were refused."""

    def __init__(self, member, topic, groups):
        super().__init__(daemon=True)
        self.groups = groups
        self.frames = [commit_frame(group, topic, [0], 0, i + 1) for i, group in enumerate(groups)]
        self.connection = mesh_writes.Connection(member.address)
        self.accepted = {}

    def run(self):
        missing, end = set(range(len(self.frames))), time.monotonic() + many_brokers.PATIENCE_S
        while missing and time.monotonic() < end:
            self.connection.send(b"".join(self.frames[i] for i in sorted(missing)))
            for _ in range(len(missing)):
                which, answer = receive_numbered(self.connection)
                if is_taken(answer):
                    self.accepted[self.groups[which - 1]] = time.monotonic()
                    missing.discard(which - 1)
        self.connection.close()


class Crews:
    """Groups with living members: each a `mesh consume --group` of its own process, on libmesh, that reads and commits until the end."""

    def __init__(self, mesh, topic, groups, members_each):
        self.mesh, self.names, self.members_each, self.partitions = mesh, [f"crew-{i}" for i in range(groups)], members_each, len(mesh.partitions(topic))
        brokers = ",".join(member.address for member in mesh.members)
        self.processes = [subprocess.Popen([mesh.mesh, "consume", topic, "--group", name, "--from", "end", "--quiet", "--broker", brokers],
                                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=mesh.environment)
                          for name in self.names for _ in range(members_each)]

    def standing(self):
        """Of each group its generation, and who consumes what."""
        found = {}
        for name in self.names:
            group = json.loads(self.mesh.run("group", "describe", name, "--json"))
            members = sorted(member["member"] for member in group["members"] or [])
            found[name] = group["generation"], members, sorted((p["partition"], p["owner"] or "", p["target"] or "") for p in group["offsets"])
        return found

    def settled(self):
        """What stands, once every member has all of its share and nothing changed between two looks."""
        looks = [None]

        def is_settled():
            looks.append(self.standing())
            rows = looks[-1].values()
            return looks[-1] == looks[-2] and all(len(members) == self.members_each and sum(owner == target != "" for _, owner, target in shares) == self.partitions
                                                  for _, members, shares in rows)

        many_brokers.wait_until(is_settled, "groups are settled", self.mesh.members[0].process)
        return looks[-1]

    def stop(self):
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.wait(many_brokers.PATIENCE_S)
