"""As much of Kafka's protocol as the tests need, written here once more so that no client library stands between a test and the broker."""
import struct

PRODUCE, FETCH, LIST_OFFSETS, METADATA, API_VERSIONS, CREATE_TOPICS, DELETE_TOPICS, INIT_PRODUCER_ID = 0, 1, 2, 3, 18, 19, 20, 22
OFFSET_FOR_LEADER_EPOCH = 23


def _table():
    rows = []
    for n in range(256):
        for _ in range(8):
            n = n >> 1 ^ (0x82F63B78 if n & 1 else 0)
        rows.append(n)
    return rows


CRC_TABLE = _table()


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ CRC_TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def varint(number):
    """Zigzag."""
    number = number << 1 ^ number >> 63
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(out + bytes([number]))


def string(text):
    return struct.pack(">h", -1) if text is None else struct.pack(">h", len(text)) + text.encode()


def array(items):
    return struct.pack(">i", len(items)) + b"".join(items)


def batch(values, timestamp=1_700_000_000_000, producer=(-1, -1, -1)):
    """A RecordBatch v2 without compression; producer: (id, epoch, sequence of the first)"""
    records = b""
    for delta, value in enumerate(values):
        body = b"\0" + varint(0) + varint(delta) + varint(-1) + varint(len(value)) + value + varint(0)
        records += varint(len(body)) + body
    checked = struct.pack(">hiqqqhii", 0, len(values) - 1, timestamp, timestamp, *producer, len(values)) + records
    return struct.pack(">qiibI", 0, len(checked) + 9, -1, 2, crc32c(checked)) + checked


def values_of(records):
    """The values in batches as batch() makes them."""
    out = []
    while records:
        size = struct.unpack_from(">i", records, 8)[0] + 12
        count, at = struct.unpack_from(">i", records, 57)[0], 61
        for _ in range(count):
            fields = []
            at = read_varint(records, at)[1] + 1  # length; attributes
            for _ in range(4):  # time, offset, key, value
                number, at = read_varint(records, at)
                fields.append(number)
            out.append(records[at:at + fields[3]])
            at = read_varint(records, at + fields[3])[1]  # headers
        records = records[size:]
    return out


def batches_of(records):
    """[(base offset, offset behind it, attributes)], each held against its CRC."""
    out = []
    while records:
        base, length, _, _, crc, attributes, delta = struct.unpack_from(">qiibIhi", records)
        assert crc == crc32c(records[21:length + 12])
        out.append((base, base + delta + 1, attributes))
        records = records[length + 12:]
    return out


def read_varint(data, at):
    number = shift = 0
    while True:
        byte = data[at]
        number, shift, at = number | (byte & 0x7F) << shift, shift + 7, at + 1
        if byte < 0x80:
            return number >> 1 ^ -(number & 1), at


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, form):
        values = struct.unpack_from(">" + form, self.data, self.at)
        self.at += struct.calcsize(">" + form)
        return values[0] if len(values) == 1 else values

    def bytes(self, size):
        self.at += max(size, 0)
        return self.data[self.at - max(size, 0):self.at]

    def string(self):
        return self.bytes(self.take("h")).decode()

    def array(self, read):
        return [read() for _ in range(self.take("i"))]


class Client:
    """One connection. send() and receive() are apart, so that requests can be sent behind each other."""

    def __init__(self, connection):
        self.connection, self.correlation = connection, 0

    def send(self, key, version, body):
        self.correlation += 1
        request = struct.pack(">hhi", key, version, self.correlation) + string("test") + body
        self.connection.sendall(struct.pack(">i", len(request)) + request)
        return self.correlation

    def read(self, size):
        data = b""
        while len(data) < size:
            piece = self.connection.recv(size - len(data))
            if not piece:
                raise EOFError("the broker has closed the connection")
            data += piece
        return data

    def receive(self):
        """(correlation id, Reader of the rest)"""
        answer = Reader(self.read(struct.unpack(">i", self.read(4))[0]))
        return answer.take("i"), answer

    def ask(self, key, version, body):
        sent = self.send(key, version, body)
        got, answer = self.receive()
        assert got == sent, f"answer {got} to request {sent}"
        return answer

    def is_closed(self):
        try:
            return self.connection.recv(1) == b""
        except ConnectionResetError:
            return True

    # ---- requests ----

    def metadata(self, names=None, create=False):
        """{topic: (error, {partition: leader})}, {node: (host, port)}"""
        body = (struct.pack(">i", -1) if names is None else array([string(name) for name in names])) + struct.pack(">?", create)
        answer = self.ask(METADATA, 4, body)
        answer.take("i")
        brokers = {}

        def broker():
            node = answer.take("i")
            brokers[node] = (answer.string(), answer.take("i"))
            answer.string()

        def partition():
            _, index, leader = answer.take("hii")
            answer.array(lambda: answer.take("i"))
            answer.array(lambda: answer.take("i"))
            return index, leader

        answer.array(broker)
        answer.string()
        self.controller = answer.take("i")
        topics = {}
        for _ in range(answer.take("i")):
            error, name = answer.take("h"), answer.string()
            answer.take("?")
            topics[name] = (error, dict(answer.array(partition)))
        return topics, brokers

    @staticmethod
    def produce_body(topic, partition, records, acks=-1, timeout_ms=30000):
        return string(None) + struct.pack(">hi", acks, timeout_ms) + array(
            [string(topic) + array([struct.pack(">ii", partition, len(records)) + records])])

    @staticmethod
    def produce_answer(answer):
        """(error, base offset) of the only partition, of version 7."""
        assert answer.take("i") == 1
        answer.string()
        assert answer.take("i") == 1
        _, error, offset = answer.take("ihq")
        return error, offset

    def produce(self, topic, partition, records, acks=-1, timeout_ms=30000):
        return self.produce_answer(self.ask(PRODUCE, 7, self.produce_body(topic, partition, records, acks, timeout_ms)))

    @staticmethod
    def fetch_body(parts, wait_ms=0, session=(0, -1)):
        """parts: (topic, partition, offset)"""
        topics = [string(topic) + array([struct.pack(">iqqi", partition, offset, -1, 1 << 20)]) for topic, partition, offset in parts]
        return struct.pack(">iiiib", -1, wait_ms, 1, 1 << 20, 0) + struct.pack(">ii", *session) + array(topics) + array([])

    @staticmethod
    def fetch_answer(answer):
        """error, [(topic, partition, error, high watermark, records)] of version 7."""
        answer.take("i")
        error, session = answer.take("hi")
        assert session == 0
        parts = []
        for _ in range(answer.take("i")):
            topic = answer.string()
            for _ in range(answer.take("i")):
                partition, code, high_watermark, _, _, _ = answer.take("ihqqqi")
                parts.append((topic, partition, code, high_watermark, answer.bytes(answer.take("i"))))
        return error, parts

    def fetch(self, *parts, **keywords):
        return self.fetch_answer(self.ask(FETCH, 7, self.fetch_body(parts, **keywords)))

    def ask_as_of_old(self, topic, partition, offset, wait_ms=0):
        """By version 4, whose clients may not know control batches."""
        body = struct.pack(">iiiib", -1, wait_ms, 1, 1 << 20, 0) + array([string(topic) + array([struct.pack(">iqi", partition, offset, 1 << 20)])])
        return self.send(FETCH, 4, body)

    def hear_as_of_old(self):
        """error, high watermark, records"""
        answer = self.receive()[1]
        assert answer.take("ii")[1] == 1 and answer.string() and answer.take("i") == 1
        _, code, high_watermark, _, _ = answer.take("ihqqi")
        return code, high_watermark, answer.bytes(answer.take("i"))

    def fetch_as_of_old(self, topic, partition, offset):
        self.ask_as_of_old(topic, partition, offset)
        return self.hear_as_of_old()

    def epoch_end(self, topic, partition, epoch, current=-1):
        """(error, epoch, end offset)"""
        body = struct.pack(">i", -1) + array([string(topic) + array([struct.pack(">iii", partition, current, epoch)])])
        answer = self.ask(OFFSET_FOR_LEADER_EPOCH, 3, body)
        assert answer.take("ii") == (0, 1) and answer.string() == topic and answer.take("i") == 1
        error, index, found, end = answer.take("hiiq")
        assert index == partition
        return error, found, end

    def list_offsets(self, topic, partition, timestamp):
        """error, timestamp, offset"""
        answer = self.ask(LIST_OFFSETS, 1, struct.pack(">i", -1) + array([string(topic) + array([struct.pack(">iq", partition, timestamp)])]))
        answer.take("i")
        answer.string()
        answer.take("ii")
        return answer.take("hqq")
