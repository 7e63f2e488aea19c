"""Requests about groups, in old and in flexible versions, as kafka_wire.py has those about records."""
import struct

import kafka_wire as wire

OFFSET_COMMIT, OFFSET_FETCH, FIND_COORDINATOR, JOIN, HEARTBEAT, LEAVE, SYNC = 8, 9, 10, 11, 12, 13, 14
DESCRIBE_GROUPS, LIST_GROUPS, DELETE_GROUPS, OFFSET_DELETE = 15, 16, 42, 47


def uvarint(number):
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(out + bytes([number]))


class Form:
    """How a version writes strings, arrays and ends of structs."""

    def __init__(self, is_flexible):
        self.is_flexible = is_flexible
        self.end = b"\0" if is_flexible else b""

    def string(self, text):
        if not self.is_flexible:
            return wire.string(text)
        return b"\0" if text is None else uvarint(len(text.encode()) + 1) + text.encode()

    def bytes(self, data):
        return (uvarint(len(data) + 1) if self.is_flexible else struct.pack(">i", len(data))) + data

    def array(self, items):
        if items is None:
            return b"\0" if self.is_flexible else struct.pack(">i", -1)
        return (uvarint(len(items) + 1) if self.is_flexible else struct.pack(">i", len(items))) + b"".join(items)


class Answer:
    def __init__(self, reader, is_flexible):
        self.reader, self.is_flexible, self.take = reader, is_flexible, reader.take

    def uvarint(self):
        number = shift = 0
        while True:
            byte = self.take("B")
            number, shift = number | (byte & 0x7F) << shift, shift + 7
            if byte < 0x80:
                return number

    def size(self, form):
        return self.uvarint() - 1 if self.is_flexible else self.take(form)

    def bytes(self):
        size = self.size("i")
        return None if size < 0 else self.reader.bytes(size)

    def string(self):
        size = self.size("h")
        return None if size < 0 else self.reader.bytes(size).decode()

    def array(self, read):
        return [self.struct(read) for _ in range(self.size("i"))]

    def struct(self, read):
        item = read()
        self.end()
        return item

    def end(self):
        if self.is_flexible:
            assert self.uvarint() == 0  # nothing that is sent has tags

    def numbers(self, form):
        return [self.take(form) for _ in range(self.size("i"))]


class Joined:
    """What a member is told: error, generation, kind, protocol, leader, skips, member, members {id: (instance, metadata)}."""


class Client(wire.Client):
    def send_call(self, key, version, flexible_from, make):
        form = Form(version >= flexible_from)
        self.send(key, version, form.end + make(form) + form.end)

    def take_call(self, version, flexible_from, is_throttled):
        answer = Answer(self.receive()[1], version >= flexible_from)
        answer.end()
        if is_throttled:
            assert answer.take("i") == 0
        return answer

    def call(self, key, version, flexible_from, make, is_throttled=True):
        """make(form) is the body. The answer, behind the header and the throttle time."""
        self.send_call(key, version, flexible_from, make)
        return self.take_call(version, flexible_from, is_throttled)

    # ---- members ----

    def send_join(self, group, member="", version=5, instance=None, protocols=(("range", b"m"),), session_ms=10000, rebalance_ms=10000, kind="consumer"):
        def make(f):
            body = f.string(group) + struct.pack(">i", session_ms)
            if version >= 1:
                body += struct.pack(">i", rebalance_ms)
            body += f.string(member)
            if version >= 5:
                body += f.string(instance)
            body += f.string(kind) + f.array([f.string(name) + f.bytes(data) + f.end for name, data in protocols])
            return body + (f.string("for a test") if version >= 8 else b"")
        self.send_call(JOIN, version, 6, make)

    def take_join(self, version=5):
        """A Joined."""
        answer = self.take_call(version, 6, version >= 2)
        joined = Joined()
        joined.error, joined.generation = answer.take("hi")
        joined.kind = answer.string() if version >= 7 else None
        joined.protocol, joined.leader = answer.string(), answer.string()
        joined.skips = answer.take("?") if version >= 9 else False
        joined.member = answer.string()

        def member():
            name = answer.string()
            instance = answer.string() if version >= 5 else None
            return name, (instance, answer.bytes())
        joined.members = dict(answer.array(member))
        answer.end()
        return joined

    def join(self, group, member="", version=5, **keywords):
        self.send_join(group, member, version, **keywords)
        return self.take_join(version)

    def send_sync(self, group, generation, member, assignments=None, version=3, instance=None, kind="consumer", protocol="range"):
        def make(f):
            body = f.string(group) + struct.pack(">i", generation) + f.string(member)
            if version >= 3:
                body += f.string(instance)
            if version >= 5:
                body += f.string(kind) + f.string(protocol)
            return body + f.array([f.string(name) + f.bytes(data) + f.end for name, data in (assignments or {}).items()])
        self.send_call(SYNC, version, 4, make)

    def take_sync(self, version=3):
        """error, assignment"""
        answer = self.take_call(version, 4, version >= 1)
        error = answer.take("h")
        if version >= 5:
            answer.string()
            answer.string()
        return error, answer.bytes()

    def sync(self, group, generation, member, assignments=None, version=3, **keywords):
        self.send_sync(group, generation, member, assignments, version, **keywords)
        return self.take_sync(version)

    def heartbeat(self, group, generation, member, version=3, instance=None):
        return self.call(HEARTBEAT, version, 4, lambda f: f.string(group) + struct.pack(">i", generation) + f.string(member) +
                         (f.string(instance) if version >= 3 else b""), version >= 1).take("h")

    def leave(self, group, *members, version=3):
        """members: ids, or (id, instance); error, [error of each]"""
        both = [member if isinstance(member, tuple) else (member, None) for member in members]

        def make(f):
            if version < 3:
                return f.string(group) + f.string(both[0][0])
            reason = f.string("enough") if version >= 5 else b""
            return f.string(group) + f.array([f.string(name) + f.string(instance) + reason + f.end for name, instance in both])
        answer = self.call(LEAVE, version, 4, make, version >= 1)
        error = answer.take("h")
        return error, [answer.struct(lambda: (answer.string(), answer.string(), answer.take("h")))[2] for _ in range(answer.size("i"))] if version >= 3 else []

    # ---- administrators ----

    def describe_groups(self, *groups, version=4):
        """{group: (error, state, kind, protocol, {member: (instance, metadata, assignment)})}"""
        answer = self.call(DESCRIBE_GROUPS, version, 5, lambda f: f.array([f.string(g) for g in groups]) + (b"\1" if version >= 3 else b""), version >= 1)

        def member():
            ident = answer.string()
            instance = answer.string() if version >= 4 else None
            answer.string()
            answer.string()
            return ident, (instance, answer.bytes(), answer.bytes())

        def group():
            error = answer.take("h")
            if version >= 6:
                answer.string()
            name, told = answer.string(), (error, answer.string(), answer.string(), answer.string(), dict(answer.array(member)))
            if version >= 3:
                answer.take("i")
            return name, told
        return dict(answer.array(group))

    def list_groups(self, version=5, states=(), types=()):
        """error, {group: (kind, state, type)}"""
        def make(f):
            body = f.array([f.string(s) for s in states]) if version >= 4 else b""
            return body + (f.array([f.string(t) for t in types]) if version >= 5 else b"")
        answer = self.call(LIST_GROUPS, version, 3, make, version >= 1)
        error = answer.take("h")
        return error, dict(answer.array(lambda: (answer.string(), (answer.string(), answer.string() if version >= 4 else None,
                                                                   answer.string() if version >= 5 else None))))

    def delete_groups(self, *groups, version=2):
        """{group: error}"""
        answer = self.call(DELETE_GROUPS, version, 2, lambda f: f.array([f.string(g) for g in groups]))

        def result():
            name, error = answer.string(), answer.take("h")
            if version >= 3:
                answer.string()
            return name, error
        return dict(answer.array(result))

    def delete_offsets(self, group, topics):
        """topics: {topic: [partition]}; error, {topic: {partition: error}}"""
        answer = self.call(OFFSET_DELETE, 0, 99, lambda f: f.string(group) + f.array(
            [f.string(name) + f.array([struct.pack(">i", part) for part in parts]) for name, parts in topics.items()]), False)
        error, throttle = answer.take("hi")
        assert throttle == 0
        return error, dict(answer.array(lambda: (answer.string(), dict(answer.array(lambda: answer.take("ih"))))))

    # ---- coordinators and offsets ----
        if is_throttled:
            assert answer.take("i") == 0
        return answer

    def find_coordinator(self, *groups, version=3, key_type=0):
        """[(key, error, node, host, port)]"""
        if version >= 4:
            answer = self.call(FIND_COORDINATOR, version, 3, lambda f: struct.pack(">b", key_type) + f.array([f.string(g) for g in groups]))

            def read():
                key, node, host, port, error = answer.string(), answer.take("i"), answer.string(), answer.take("i"), answer.take("h")
                answer.string()
                return key, error, node, host, port
            return answer.array(read)
        kind = struct.pack(">b", key_type) if version >= 1 else b""
        answer = self.call(FIND_COORDINATOR, version, 3, lambda f: f.string(groups[0]) + kind, version >= 1)
        error = answer.take("h")
        if version >= 1:
            answer.string()
        return [(groups[0], error, answer.take("i"), answer.string(), answer.take("i"))]

    def commit(self, group, cells, version=7, generation=-1, member="", instance=None):
        """cells: {topic or id: {partition: offset or (offset, epoch, metadata)}}; {topic: {partition: error}}"""
        def make(f):
            def partition(number, what):
                offset, epoch, metadata = what if isinstance(what, tuple) else (what, -1, "")
                return struct.pack(">iq", number, offset) + (struct.pack(">i", epoch) if version >= 6 else b"") + f.string(metadata) + f.end

            def topic(name, parts):
                return (name if version >= 10 else f.string(name)) + f.array([partition(*part) for part in parts.items()]) + f.end
            body = f.string(group) + struct.pack(">i", generation) + f.string(member)
            if version >= 7:
                body += f.string(instance)
            if version <= 4:
                body += struct.pack(">q", -1)
            return body + f.array([topic(*item) for item in cells.items()])
        answer = self.call(OFFSET_COMMIT, version, 8, make, version >= 3)

        def read():
            name = answer.reader.bytes(16) if version >= 10 else answer.string()
            return name, dict(answer.array(lambda: answer.take("ih")))
        return dict(answer.array(read))

    def committed(self, group, topics, version=5):
        """topics: {topic: [partition]} or None; error, {topic: {partition: (offset, epoch, metadata, error)}} of one group."""
        return self.committed_of({group: topics}, version)[group]

    def committed_of(self, groups, version=8):
        def make(f):
            def topic(name, parts):
                return (name if version >= 10 else f.string(name)) + f.array([struct.pack(">i", part) for part in parts]) + f.end

            def topics(asked):
                return f.array(None if asked is None else [topic(*item) for item in asked.items()])

            def one(name, asked):
                return f.string(name) + (f.string(None) + struct.pack(">i", -1) if version >= 9 else b"") + topics(asked) + f.end
            stable = b"\0" if version >= 7 else b""
            if version < 8:
                (name, asked), = groups.items()
                return f.string(name) + topics(asked) + stable
            return f.array([one(*item) for item in groups.items()]) + stable
        answer = self.call(OFFSET_FETCH, version, 6, make, version >= 3)

        def partition():
            number, offset = answer.take("iq")
            epoch = answer.take("i") if version >= 5 else None
            return number, (offset, epoch, answer.string(), answer.take("h"))

        def topic():
            name = answer.reader.bytes(16) if version >= 10 else answer.string()
            return name, dict(answer.array(partition))

        def group():
            name, told = answer.string(), dict(answer.array(topic))
            return name, (answer.take("h"), told)
        if version >= 8:
            return dict(answer.array(group))
        told = dict(answer.array(topic))
        return {next(iter(groups)): (answer.take("h") if version >= 2 else 0, told)}
