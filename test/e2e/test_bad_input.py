#!/usr/bin/env python3
"""What strangers send to the port costs them their connection, and nobody else anything."""
import random
import socket
import struct

from harness import Case, main

CRC_TABLE = []
for byte in range(256):
    crc = byte
    for _ in range(8):
        crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    CRC_TABLE.append(crc)


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = (crc >> 8) ^ CRC_TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def frame(op=12, message=b"", attachment=b"", magic=b"MESH", version=1, flags=0, correlation=7, message_size=None, attachment_size=None,
          crc=None):
    """A native frame (lib/wire/frame.h), with any field wrong on demand."""
    head = magic + struct.pack("<BBHIII", version, flags, op, correlation, len(message) if message_size is None else message_size,
                               len(attachment) if attachment_size is None else attachment_size)
    return head + struct.pack("<I", crc32c(head + message) if crc is None else crc) + message + attachment


HELLO, PRODUCE, FETCH, PING = 1, 7, 8, 12


class BadInput(Case):
    def setUp(self):
        super().setUp()
        self.start_broker()
        self.mesh("produce", "kept", stdin=b"kept\n")

    def tearDown(self):
        if self.broker is not None and self.broker.process.poll() is None:
            self.assertEqual(self.mesh("consume", "kept", "--until-end").out, b"kept\n")
            self.assert_serves()
        super().tearDown()

    def send_and_read(self, data, half_close=True):
        """What the broker answers until it closes."""
        with self.connect() as peer:
            try:
                peer.sendall(data)
                if half_close:
                    peer.shutdown(socket.SHUT_WR)
            except OSError:  # it has closed already: reset, broken pipe or not connected
                pass
            answer = b""
            try:
                while len(answer) < 1 << 20:
                    part = peer.recv(65536)
                    if not part:
                        break
                    answer += part
            except ConnectionResetError:
                pass
            return answer

    def test_own_frames_are_right(self):
        answer = self.send_and_read(frame(PING))
        self.assertEqual(answer[:4], b"MESH", "the helper of this test speaks the protocol")
        self.assertEqual(struct.unpack("<I", answer[8:12])[0], 7)

    def test_random_bytes(self):
        generator = random.Random(11)
        for size in (1, 2, 3, 4, 23, 24, 25, 1000, 100_000):
            with self.subTest(size):
                self.send_and_read(generator.randbytes(size))

    def test_random_bytes_after_the_magic(self):
        generator = random.Random(12)
        for size in (1, 19, 20, 21, 500, 50_000):
            for _ in range(5):
                self.send_and_read(b"MESH" + generator.randbytes(size))

    def test_frames_with_a_lie(self):
        for name, data in [
            ("magic", frame(magic=b"MESs")), ("version 0", frame(version=0)), ("version 2", frame(version=2)), ("flags", frame(flags=0x80)),
            ("a response", frame(flags=1)), ("an error", frame(flags=2)), ("operation 0", frame(op=0)), ("operation 999", frame(op=999)),
            ("checksum", frame(crc=0)), ("message of 4 GiB", frame(message_size=0xFFFFFFFF)),
            ("attachment of 4 GiB", frame(attachment_size=0xFFFFFFFF)), ("both", frame(message_size=0xFFFFFFFF, attachment_size=0xFFFFFFFF)),
            ("nonsense for a message", frame(PRODUCE, b"\xff" * 100)), ("deep nonsense", frame(FETCH, b"\x22\x7f" * 200)),
            ("an attachment where none belongs", frame(PING, b"", b"x" * 1000)), ("records that are none", frame(PRODUCE, b"", b"\0" * 500)),
        ]:
            with self.subTest(name):
                answer = self.send_and_read(frame(HELLO) + data)
                self.assertTrue(answer == b"" or answer.startswith((b"MESH", b"HTTP")), answer[:40])

    def test_every_flipped_bit_of_a_frame(self):
        good = frame(HELLO, b"\x18\x01\x20\x01")
        for bit in range(len(good) * 8):
            bad = bytearray(good)
            bad[bit // 8] ^= 1 << bit % 8
            with self.connect() as peer:
                peer.sendall(bytes(bad))
                peer.shutdown(socket.SHUT_WR)
                try:
                    while peer.recv(65536):
                        pass
                except ConnectionResetError:
                    pass

    def test_frames_cut_at_every_byte(self):
        good = frame(HELLO, b"\x18\x01\x20\x01") + frame(PING)
        for size in range(len(good)):
            self.send_and_read(good[:size])

    def test_http_that_is_none(self):
        for data in (b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET /" + b"a" * 200_000, b"POST /metrics HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n",
                     b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 20_000 + b"\r\n", b"GET /\0 HTTP/1.1\r\n\r\n", b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"):
            with self.subTest(data[:30]):
                self.assertLess(len(self.send_and_read(data)), 10_000)

    def test_connections_that_break_in_the_middle(self):
        for _ in range(200):
            peer = self.connect()
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close with a reset
            peer.sendall(frame(HELLO)[: random.Random(_).randrange(1, 24)])
            peer.close()

    def test_memory_does_not_follow_what_is_claimed(self):
        before = self.broker.memory_kib()
        peers = []
        for _ in range(200):
            peer = self.connect()
            peer.sendall(frame(PRODUCE, message_size=1 << 20, attachment_size=1 << 20)[:24])
            peers.append(peer)
        self.assert_serves()
        growth = self.broker.memory_kib() - before
        for peer in peers:
            peer.close()
        self.assertLess(growth, 100 * 1024, "200 claims of 2 MiB each")


if __name__ == "__main__":
    main()
