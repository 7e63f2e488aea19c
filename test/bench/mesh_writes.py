"""Changes of the metadata as a client sees them: a small client of the native protocol (lib/wire/PROTOCOL.md) with one connection
to each broker, and what is measured with it.

A broker is asked whether it knows a topic only once the change was answered, and again only after it said no, so that asking
takes next to nothing from the brokers; a figure is late by one question (0.2 ms), never early.
"""
import json
import random
import selectors
import socket
import struct
import time
from urllib.request import urlopen

PATIENCE_S = 30
HEADER = 24
HELLO, CREATE, DESCRIBE = 1, 3, 6
ASK_AGAIN_S = 0.0002


def _crc_table():
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


CRC_TABLE = _crc_table()


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = (crc >> 8) ^ CRC_TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def frame(operation, message, correlation=1):
    head = b"MESH" + struct.pack("<BBHIII", 1, 0, operation, correlation, len(message), 0)
    return head + struct.pack("<I", crc32c(head + message)) + message


def varint(value):
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def text(field, value):
    return varint(field << 3 | 2) + varint(len(value)) + value.encode()


def number(field, value):
    return varint(field << 3) + varint(value)


def create_frame(name, partitions=1, replicas=1, correlation=1):
    return frame(CREATE, text(1, name) + number(2, partitions) + number(3, replicas), correlation)


def describe_frame(name):
    return frame(DESCRIBE, text(1, name))


class Connection:
    def __init__(self, address):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=PATIENCE_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.bytes = b""
        self.call(frame(HELLO, text(1, "bench") + number(3, 1) + number(4, 1)))

    def send(self, data):
        self.socket.sendall(data)

    def take(self):
        """The next whole answer of those that have arrived: (is an error, message), or None."""
        if len(self.bytes) < HEADER:
            return None
        size = HEADER + sum(struct.unpack_from("<II", self.bytes, 12))
        if len(self.bytes) < size:
            return None
        answer = self.bytes[5] == 3, self.bytes[HEADER:size]
        self.bytes = self.bytes[size:]
        return answer

    def feed(self):
        data = self.socket.recv(1 << 20)
        if not data:
            raise ConnectionError("closed by the broker")
        self.bytes += data

    def receive(self):
        answer = self.take()
        while answer is None:
            self.feed()
            answer = self.take()
        return answer

    def call(self, data):
        self.send(data)
        return self.receive()

    def close(self):
        self.socket.close()


def is_known(answer):
    """Of a describe of one topic: its first field is an error when there is none."""
    is_error, message = answer
    at = 1
    while message[at] & 128:  # the size
        at += 1
    return not is_error and message[at + 1] != 8


def require(answer):
    if answer[0]:
        raise SystemExit(f"a topic was not created: {answer[1]!r}")


def require_known(member, names):
    connection = Connection(member.address)
    for name in names:
        if not is_known(connection.call(describe_frame(name))):
            raise SystemExit(f"{member.name} is ready and does not know topic {name}")
    connection.close()


def wait_known(connections, name):
    """Until each of them has said that it knows the topic."""
    ask = describe_frame(name)
    with selectors.DefaultSelector() as selector:
        for connection in connections:
            connection.send(ask)
            selector.register(connection.socket, selectors.EVENT_READ, connection)
        missing, again = len(connections), []
        while missing:
            for key, _ in selector.select(ASK_AGAIN_S if again else PATIENCE_S):
                key.data.feed()
                answer = key.data.take()
                if answer is None:
                    continue
                if is_known(answer):
                    missing -= 1
                else:
                    again.append((time.monotonic() + ASK_AGAIN_S, key.data))
            while again and again[0][0] <= time.monotonic():
                again.pop(0)[1].send(ask)


def visible_everywhere(members, count):
    """Creates one topic after the other through a random broker. Returns two lists in seconds: until it was answered (committed,
    and known to the broker asked), and until every broker knew it."""
    connections = [Connection(member.address) for member in members]
    answered, visible = [], []
    for i in range(count):
        name = f"seen-{i}"
        via = random.choice(connections)
        request = create_frame(name)
        begin = time.monotonic()
        require(via.call(request))
        answered.append(time.monotonic() - begin)
        wait_known([c for c in connections if c is not via], name)
        visible.append(time.monotonic() - begin)
    for connection in connections:
        connection.close()
    return answered, visible


def pipelined(member, count, in_flight=256):
    """Topics created per second with so many requests under way through one broker."""
    connection = Connection(member.address)
    requests = [create_frame(f"piped-{i}", correlation=i + 1) for i in range(count)]
    begin, sent = time.monotonic(), 0
    for answered in range(count):
        if sent < count and sent - answered < in_flight // 2:
            batch = requests[sent:answered + in_flight]
            connection.send(b"".join(batch))
            sent += len(batch)
        require(connection.receive())
    took = time.monotonic() - begin
    connection.close()
    return count / took


def coordinator(members):
    """The member that coordinates, as the first one sees it; None: it knows of none."""
    with urlopen(f"http://{members[0].address}/v1/cluster", timeout=PATIENCE_S) as answer:
        cluster = json.loads(answer.read())
    address = next((f"{b['host']}:{b['port']}" for b in cluster["brokers"] if b["broker"] == cluster["coordinator"]), None)
    return next((m for m in members if m.address == address), None)


def create_until_it_is_there(member, name):
    """Creates a topic whatever it takes; an error is asked again at once. Returns the time when it was there, on the wall clock."""
    request, end = create_frame(name), time.monotonic() + PATIENCE_S
    connection = Connection(member.address)
    while True:
        is_error, message = connection.call(request)
        if not is_error or b"exists" in message:
            connection.close()
            return time.time()
        if time.monotonic() > end:
            raise SystemExit(f"no topic could be created within {PATIENCE_S} s: {message!r}")
