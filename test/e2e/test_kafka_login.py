#!/usr/bin/env python3
"""Logging in at the Kafka door: SCRAM by Python's own hashes, PLAIN, tokens with and without headers, and everybody who may not come in."""
import base64
import hashlib
import hmac
import os
import random
import shutil
import socket
import struct
import subprocess
import threading

import kafka_wire as wire
from harness import COMMAND_SECONDS, Case, environment, main, under_sanitizer

HANDSHAKE, AUTHENTICATE, METADATA, VERSIONS = 17, 36, 3, 18
UNSUPPORTED_MECHANISM, ILLEGAL_STATE, FAILED = 33, 34, 58
SCRAMS = {"SCRAM-SHA-256": "sha256", "SCRAM-SHA-512": "sha512"}


class Scram:
    """A client's side of RFC 5802."""

    def __init__(self, mechanism, name, password):
        self.hash, self.password, self.nonce = SCRAMS[mechanism], password, os.urandom(12).hex()
        self.bare = f"n={name.replace('=', '=3D').replace(',', '=2C')},r={self.nonce}"
        self.first = b"n,," + self.bare.encode()

    def mac(self, key, text):
        return hmac.new(key, text, self.hash).digest()

    def final(self, challenge):
        fields = dict(field.split("=", 1) for field in challenge.decode().split(","))
        assert fields["r"].startswith(self.nonce) and len(fields["r"]) > len(self.nonce) + 16, challenge
        self.salt = fields["s"]
        salted = hashlib.pbkdf2_hmac(self.hash, self.password.encode(), base64.b64decode(fields["s"]), int(fields["i"]))
        key = self.mac(salted, b"Client Key")
        text = f"{self.bare},{challenge.decode()},c=biws,r={fields['r']}".encode()
        proof = bytes(a ^ b for a, b in zip(key, self.mac(hashlib.new(self.hash, key).digest(), text)))
        self.signature = b"v=" + base64.b64encode(self.mac(self.mac(salted, b"Server Key"), text))
        return f"c=biws,r={fields['r']},p={base64.b64encode(proof).decode()}".encode()


class Login(wire.Client):
    def handshake(self, mechanism, version=1):
        answer = self.ask(HANDSHAKE, version, wire.string(mechanism))
        return answer.take("h"), answer.array(answer.string)

    def authenticate(self, token, version=1):
        """(error, token, lifetime)"""
        answer = self.ask(AUTHENTICATE, version, struct.pack(">i", len(token)) + token)
        error = answer.take("h")
        size = answer.take("h")
        if size >= 0:
            answer.bytes(size)
        return error, answer.bytes(answer.take("i")), answer.take("q") if version > 0 else 0

    def raw(self, token):
        self.connection.sendall(struct.pack(">i", len(token)) + token)
        return self.read(struct.unpack(">i", self.read(4))[0])

    def plain(self, name, password, version=1):
        assert self.handshake("PLAIN")[0] == 0
        return self.authenticate(b"\0" + name.encode() + b"\0" + password.encode(), version)

    def scram(self, mechanism, name, password, version=1):
        """(error, lifetime), and the exchange."""
        scram = Scram(mechanism, name, password)
        assert self.handshake(mechanism)[0] == 0
        error, challenge, _ = self.authenticate(scram.first, version)
        assert error == 0, error
        error, signature, lifetime = self.authenticate(scram.final(challenge), version)
        assert error != 0 or signature == scram.signature, signature
        return error, lifetime, scram


class KafkaLogin(Case):
    def start(self, *settings):
        self.start_broker(options=[word for setting in ("auth.required=1",) + settings for word in ("--set", setting)])
        self.mesh("user", "add", "alice", stdin=b"pencil\n")
        self.mesh("user", "add", "a=b,c", "--iterations", "4096", stdin=b"pen\n")

    def client(self):
        connection = self.connect()
        self.addCleanup(connection.close)
        return Login(connection)

    def assert_in(self, client):
        self.assertEqual(len(client.metadata()[1]), 1)

    # ---- who may ----

    def test_users_log_in_with_every_mechanism(self):
        self.start()
        for mechanism in SCRAMS:
            for name, password in (("alice", "pencil"), ("a=b,c", "pen")):
                with self.subTest(mechanism=mechanism, name=name):
                    client = self.client()
                    self.assertEqual(client.scram(mechanism, name, password)[:2], (0, 0))
                    self.assert_in(client)
        for version in (0, 1):
            client = self.client()
            self.assertEqual(client.plain("a=b,c", "pen", version), (0, b"", 0))
            self.assert_in(client)

    def test_tokens_come_without_headers_after_the_old_handshake(self):
        self.start()
        for mechanism in SCRAMS:
            client, scram = self.client(), Scram(mechanism, "alice", "pencil")
            self.assertEqual(client.handshake(mechanism, 0)[0], 0)
            self.assertEqual(client.raw(scram.final(client.raw(scram.first))), scram.signature)
            self.assert_in(client)
        client = self.client()
        client.handshake("PLAIN", 0)
        self.assertEqual(client.raw(b"\0alice\0pencil"), b"")
        self.assert_in(client)
        client = self.client()
        client.handshake("PLAIN", 0)
        with self.assertRaises(EOFError):
            client.raw(b"\0alice\0pencil ")

    def test_a_new_password_holds_at_once(self):
        self.start()
        self.mesh("user", "passwd", "alice", stdin=b"crayon\n")
        self.assertEqual(self.client().plain("alice", "pencil")[0], FAILED)
        self.assertEqual(self.client().plain("alice", "crayon")[0], 0)
        self.assertEqual(self.client().scram("SCRAM-SHA-256", "alice", "crayon")[0], 0)
        self.mesh("user", "remove", "alice")
        self.assertEqual(self.client().plain("alice", "crayon")[0], FAILED)
        self.assertEqual(self.client().scram("SCRAM-SHA-256", "alice", "crayon")[0], FAILED)

    def test_nobody_has_to_where_it_is_not_required(self):
        self.start_broker()
        self.mesh("user", "add", "alice", stdin=b"pencil\n")
        self.assert_in(self.client())
        client = self.client()
        self.assertEqual(client.scram("SCRAM-SHA-512", "alice", "pencil")[0], 0)
        self.assert_in(client)
        client = self.client()
        self.assertEqual(client.plain("alice", "crayon")[0], FAILED)
        self.assertTrue(client.is_closed())
        self.mesh("topic", "list")

    def test_the_log_says_of_an_open_port_whether_anybody_is_asked(self):
        for required in (False, True):
            broker = self.new_broker(self.path(f"open-{required}"), listen="LOCALHOST:0", options=["--set", f"auth.required={int(required)}"])  # not known as this machine's by its name
            broker.launch()
            self.assertIsNotNone(broker.wait_line("mesh: ready on "), broker.log())
            self.assertEqual("asks nobody who they are" in broker.log(), not required, broker.log())

    # ---- who may not ----

    def test_a_stranger_is_told_what_a_user_with_a_wrong_password_is(self):
        self.start()
        told = {}
        for name in ("alice", "nobody", "nobody"):
            for mechanism in SCRAMS:
                client = self.client()
                error, _, scram = client.scram(mechanism, name, "wrong")
                self.assertEqual(error, FAILED)
                self.assertTrue(client.is_closed())
                self.assertEqual(len(base64.b64decode(scram.salt)), 16)
                self.assertEqual(told.setdefault((name, mechanism), scram.salt), scram.salt)
            client = self.client()
            self.assertEqual(client.plain(name, "wrong")[0], FAILED)
            self.assertTrue(client.is_closed())
        self.assertEqual(len(set(told.values())), 4)
        self.broker.stop()
        self.broker.start()
        self.assertEqual(self.client().scram("SCRAM-SHA-256", "nobody", "wrong")[2].salt, told["nobody", "SCRAM-SHA-256"])

    def test_nothing_is_served_before(self):
        self.start()
        client = self.client()
        client.ask(VERSIONS, 0, b"")
        for body in ((METADATA, 4, struct.pack(">i?", -1, False)), (0, 3, b""), (1, 4, b""), (10, 0, wire.string("g")), (19, 2, b"")):
            client = self.client()
            client.send(*body)
            self.assertTrue(client.is_closed())
        client = self.client()
        self.assertEqual(client.handshake("GSSAPI"), (UNSUPPORTED_MECHANISM, ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]))
        self.assertTrue(client.is_closed())
        client = self.client()
        self.assertEqual(client.authenticate(b"\0alice\0pencil")[0], ILLEGAL_STATE)
        self.assertTrue(client.is_closed())
        client = self.client()
        client.handshake("PLAIN")
        client.send(METADATA, 4, struct.pack(">i?", -1, False))
        self.assertTrue(client.is_closed())
        client = self.client()
        client.handshake("PLAIN")
        client.send(HANDSHAKE, 1, wire.string("PLAIN"))
        self.assertTrue(client.is_closed())

    def test_what_is_large_or_wrong_is_closed(self):
        self.start()
        client = self.client()
        client.connection.sendall(struct.pack(">i", 65537))
        self.assertTrue(client.is_closed())
        client = self.client()
        client.handshake("PLAIN", 0)
        client.connection.sendall(struct.pack(">i", 65537))
        self.assertTrue(client.is_closed())
        for token in (b"", b"\0", b"\0" * 2048, b"x" * 2049, b"\0alice\0" + b"x" * 1025, b"\0" + b"a" * 256 + b"\0x", b"bob\0alice\0pencil"):
            client = self.client()
            client.handshake("PLAIN")
            self.assertEqual(client.authenticate(token)[0], FAILED)
            self.assertTrue(client.is_closed())
        for token in (b"n,,n=alice,r=", b"p=x,,n=alice,r=abc", b"\xff" * 100):
            client = self.client()
            client.handshake("SCRAM-SHA-256")
            self.assertEqual(client.authenticate(token)[0], FAILED)
        client = self.client()
        client.connection.sendall(struct.pack(">ihhi", 14, AUTHENTICATE, 1, 1) + struct.pack(">hi", -1, -5))
        self.assertTrue(client.is_closed())
        client = self.client()
        self.assertEqual(client.plain("alice", "pencil")[0], 0)
        client.send(METADATA, 4, struct.pack(">i", 70000) + b"\0" * 70000)  # not too large any more, but it holds half of the names that it says
        self.assertTrue(client.is_closed())
        self.assert_in_after_all()

    def assert_in_after_all(self):
        client = self.client()
        self.assertEqual(client.plain("alice", "pencil")[0], 0)
        self.assert_in(client)

    def frame(self, rng):
        """A request of a login, or what was left of it after some bytes were changed, cut or repeated."""
        mechanism = rng.choice(["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "", "x" * 300])
        token = rng.choice([b"\0alice\0pencil", b"n,,n=alice,r=" + rng.randbytes(12).hex().encode(), b"c=biws,r=x,p=", rng.randbytes(rng.randrange(3000))])
        key, version, body = rng.choice([(HANDSHAKE, rng.randrange(3), wire.string(mechanism)), (AUTHENTICATE, rng.randrange(4), struct.pack(">i", len(token)) + token),
                                         (VERSIONS, rng.randrange(7), b""), (rng.randrange(-2, 100), rng.randrange(-1, 15), rng.randbytes(40))])
        request = bytearray(struct.pack(">hhi", key, version, rng.getrandbits(31)) + wire.string("test") + body)
        request = bytearray(struct.pack(">i", len(request))) + request
        for _ in range(rng.choice([0, 0, 1, 3])):
            request[rng.randrange(len(request))] = rng.getrandbits(8)
        if rng.randrange(8) == 0:
            del request[rng.randrange(len(request)):]
        return bytes(request)

    def test_hostile_clients_get_nowhere_and_harm_nobody(self):
        """Frames of logins in any order, whole and broken, by many at once; half requests that are never ended. None comes in."""
        self.start("connection.stall.ms=2000", "memory.bytes.max=33554432")
        known = self.client()
        self.assertEqual(known.plain("alice", "pencil")[0], 0)
        before = self.broker.memory_kib()
        rng = random.Random(20261122)
        half = []
        for number in range(300):
            client = self.client()
            client.connection.settimeout(60)
            try:
                for _ in range(rng.randrange(1, 6)):
                    client.connection.sendall(self.frame(rng))
                # Whatever was answered: with anything but a login it is closed, so no metadata come.
                if number % 3 == 0:
                    client.connection.sendall(struct.pack(">i", 60000) + rng.randbytes(rng.randrange(59000)))
                    half.append(client)
                    continue
                client.connection.shutdown(socket.SHUT_WR)
                while client.connection.recv(65536):
                    pass
            except TimeoutError:
                self.fail("the broker neither answers nor closes")
            except OSError:  # closed already: reset, or not connected any more
                pass
            client.connection.close()
            if number % 50 == 0:
                self.assert_in(known)
        self.assert_in(known)
        for client in half:
            try:
                while client.connection.recv(65536):
                    pass
            except ConnectionError:
                pass
        self.assert_in(known)
        self.assert_in_after_all()
        if not under_sanitizer():
            self.assertLess(self.broker.memory_kib() - before, 48 << 10)

    def test_who_does_not_log_in_is_closed_in_time(self):
        self.start("connection.stall.ms=5000")  # a busy machine has so long for a login
        known = self.client()
        self.assertEqual(known.plain("alice", "pencil")[0], 0)
        silent, dribbling = self.client(), self.client()
        silent.ask(VERSIONS, 0, b"")
        dribbling.handshake("SCRAM-SHA-256")
        dribbling.connection.settimeout(0.1)
        closed = False
        for _ in range(600):  # each byte is progress, and earns no time
            try:
                dribbling.connection.sendall(b"\0")
                closed = dribbling.connection.recv(1) == b""
            except TimeoutError:
                continue
            except OSError:
                closed = True
            break
        self.assertTrue(closed)
        self.assertTrue(silent.is_closed())
        self.assert_in(known)

    def test_many_logins_at_once_wait_or_are_closed(self):
        """Passwords are compared beside the shards: whoever is in is served meanwhile."""
        self.start("auth.lifetime.ms=600000")
        self.mesh("user", "add", "slow", "--iterations", "200000", stdin=b"pencil\n")
        known = self.client()
        self.assertEqual(known.plain("alice", "pencil")[0], 0)
        clients = [self.client() for _ in range(140)]
        for client in clients:
            client.handshake("PLAIN")
        for client in clients:
            token = b"\0slow\0crayon"
            client.send(AUTHENTICATE, 1, struct.pack(">i", len(token)) + token)
        for _ in range(20):
            self.assert_in(known)
        for client in clients:  # who goes away in the middle harms nobody
            client.connection.close()
        self.assert_in(known)

    def test_passwords_that_take_long_count_for_more(self):
        """About a second's work waits, by iterations: of users with a million of them that is one, not 128."""
        self.start()
        self.mesh("user", "add", "slow", "--iterations", "1000000", stdin=b"pencil\n")
        clients, token = [self.client() for _ in range(20)], b"\0slow\0crayon"
        for client in clients:
            client.handshake("PLAIN")
        for client in clients:
            client.send(AUTHENTICATE, 1, struct.pack(">i", len(token)) + token)
        self.assertIsNotNone(self.broker.wait_line("too many logins at once"), self.broker.log())
        told = 0
        for client in clients:
            try:
                told += client.receive()[1].take("h") == FAILED
            except (EOFError, ConnectionError):
                pass
        self.assertGreater(told, 0)
        self.assert_in_after_all()

    def test_a_broker_that_stops_calls_no_password_wrong(self):
        """Those who wait for it are let in, or their connection ends: then they come back. Clients that are told of a wrong password give up."""
        self.start_broker(options=["--set", "auth.required=1", "--shards", "1"])
        self.mesh("user", "add", "slow", "--iterations", "1000000", stdin=b"pencil\n")
        clients, token = [self.client() for _ in range(6)], b"\0slow\0pencil"
        for client in clients:
            client.handshake("PLAIN")
        for client in clients:
            client.send(AUTHENTICATE, 1, struct.pack(">i", len(token)) + token)
        for _ in range(2):  # behind them: they are being served
            self.client().ask(VERSIONS, 0, b"")
        self.assertEqual(self.broker.stop(), 0)
        told = []
        for client in clients:
            try:
                told.append(client.receive()[1].take("h"))
            except (EOFError, ConnectionError):
                told.append(None)
        self.assertNotIn(FAILED, told)
        self.assertIn(None, told)

    def test_a_login_is_renewed_or_ends(self):
        self.start("auth.lifetime.ms=10000")
        client, idle, other = self.client(), self.client(), self.client()
        for one in (client, idle, other):
            self.assertEqual(one.plain("alice", "pencil")[::2], (0, 10000))
        self.assert_in(idle)
        late = threading.Event()
        for _ in range(4):
            late.wait(3)  # a third of it: the rest is for a machine with much else to do
            error, lifetime, _ = client.scram("SCRAM-SHA-256", "alice", "pencil")
            self.assertEqual((error, lifetime), (0, 10000))
            self.assert_in(client)
        idle.send(METADATA, 4, struct.pack(">i?", -1, False))
        self.assertTrue(idle.is_closed())
        self.assertEqual(other.plain("a=b,c", "pen")[0], FAILED)  # somebody else than before
        self.assertTrue(other.is_closed())

    # ---- clients of the wild ----

    def kcat(self, *words, stdin=b"", code=0):
        if shutil.which("kcat") is None:
            if os.environ.get("MESH_TEST_TOOLS") == "all":
                self.fail("kcat is not installed")
            self.skipTest("kcat is not installed")
        done = subprocess.run(["kcat", "-b", self.broker.address, *words], input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=COMMAND_SECONDS, env=environment(), check=False)
        self.assertEqual(done.returncode, code, done.stderr.decode(errors="replace"))
        return done

    def test_kcat_logs_in(self):
        self.start()
        for mechanism in ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"):
            login = ["-X", "security.protocol=SASL_PLAINTEXT", "-X", f"sasl.mechanisms={mechanism}", "-X", "sasl.username=alice"]
            topic = "t-" + mechanism
            self.kcat("-P", "-t", topic, *login, "-X", "sasl.password=pencil", stdin=b"one\ntwo\n")
            self.assertEqual(self.kcat("-C", "-t", topic, "-o", "beginning", "-e", "-q", *login, "-X", "sasl.password=pencil").stdout, b"one\ntwo\n")
            refused = self.kcat("-L", "-m", "3", *login, "-X", "sasl.password=crayon", code=1)
            self.assertIn(b"uthentication", refused.stderr)


if __name__ == "__main__":
    main()
