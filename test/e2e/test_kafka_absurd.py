#!/usr/bin/env python3
"""Every request that the Kafka door offers, absurd in every place, from a user who has logged in: each is answered or ends its connection, and nobody else is harmed.

The requests are the codec's own samples (test/unit/kafka/kafka_samples.c), so that what is wrong with them is deep inside, too."""
import os
import random
import struct
import subprocess

import kafka_wire as wire
from harness import Case, main, under_sanitizer
from test_kafka_login import Login

SEED = 20261123
MARK = 0x4D41524B  # the correlation id of what is sent behind each request
ABSURD = (b"\xff", b"\xff\xff", b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"\xff\xff\xff\xff", b"\xff\xff\xff\xff\x0f", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
          b"\x80\x94\xeb\xdc\x07", b"\0\0\0\0\0\0\0\0", b"\x7f\xff\xff\xff\xff\xff\xff\xff")


def samples():
    """{(key, version): the frame of a request, without its size}"""
    frames = {}
    for line in subprocess.run([os.environ["MESH_KAFKA_SAMPLES"]], stdout=subprocess.PIPE, check=True).stdout.decode().splitlines():
        key, version, kind, frame = line.split(" ")[:4]
        if kind == "request":
            frames[int(key), int(version)] = bytes.fromhex(frame)[4:]
    return frames


def spoiled(rng, frame, body):
    """One frame out of another: cut, longer, or absurd somewhere behind its header."""
    at = rng.randrange(body, len(frame)) if len(frame) > body else len(frame)
    kind = rng.randrange(10)
    if kind == 0:
        return frame[:at]
    if kind == 1:
        return frame + rng.randbytes(rng.randrange(1, 9))
    if kind == 2:  # the last tags: one twice, or one of which nobody knows
        return frame[:-1] + rng.choice((b"\x02\x63\x01a\x63\x01b", b"\x01\x63\x02ab", b"\x01\x63\xff\xff\xff\xff\x0f", b"\xff\xff\xff\xff\x0f"))
    absurd = rng.choice(ABSURD)
    return frame[:at] + absurd + frame[at + (len(absurd) if kind < 8 else 0):]


class KafkaAbsurd(Case):
    def login(self):
        connection = self.connect(seconds=60)
        self.addCleanup(connection.close)
        client = Login(connection)
        self.assertEqual(client.scram("SCRAM-SHA-256", "alice", "pencil")[0], 0)
        return client

    def offers(self, client):
        """{key: (oldest, newest version)}"""
        answer = client.ask(wire.API_VERSIONS, 0, b"")
        self.assertEqual(answer.take("h"), 0)
        return {key: (oldest, newest) for key, oldest, newest in answer.array(lambda: answer.take("hhh"))}

    def goes_on(self, client, frame):
        """Sends the frame and a question behind it. Whether that is answered; otherwise the connection has been closed."""
        mark = struct.pack(">hhi", wire.API_VERSIONS, 0, MARK) + wire.string("mark")
        try:
            client.connection.sendall(struct.pack(">i", len(frame)) + frame + struct.pack(">i", len(mark)) + mark)
            while client.receive()[0] != MARK:
                pass
        except TimeoutError:
            self.fail(f"neither answered nor closed: {frame.hex()}")
        except (EOFError, ConnectionError):
            client.connection.close()
            return False
        return True

    def test_every_request_absurd_in_every_place(self):
        self.start_broker(options=["--set", "auth.required=1", "--set", "kafka.topics.create=0", "--set", "memory.bytes.max=67108864"])
        self.mesh("user", "add", "alice", "--iterations", "4096", stdin=b"pencil\n")
        known, client = self.login(), self.login()
        before = self.broker.memory_kib()
        frames, rng, answered, closed = samples(), random.Random(SEED), 0, 0
        offers = self.offers(known)
        self.assertGreater(len(offers), 30)
        for key, (oldest, newest) in offers.items():
            for version in sorted({oldest, rng.randint(oldest, newest), newest}):
                frame = frames[key, version]
                body = 10 + struct.unpack_from(">h", frame, 8)[0]
                for number in range(4 if under_sanitizer() else 8):
                    if self.goes_on(client, frame if number == 0 else spoiled(rng, frame, body)):
                        answered += 1
                        continue
                    closed += 1
                    client = self.login()
            self.assertEqual(len(known.metadata()[1]), 1, key)
        self.assertGreater(answered, 100)  # it is not all closed by the first look
        self.assertGreater(closed, 100)
        if not under_sanitizer():
            self.assertLess(self.broker.memory_kib() - before, 64 << 10)


if __name__ == "__main__":
    main()
