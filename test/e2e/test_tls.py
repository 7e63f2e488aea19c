#!/usr/bin/env python3
"""TLS on the one port, beside what it speaks without: certificates made, replaced and refused; clients by Python's ssl and kcat."""
import ctypes
import ctypes.util
import os
import resource
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import time
from urllib.request import urlopen

import kafka_wire as wire
from harness import COMMAND_SECONDS, Case, environment, main, text_lines

ECDSA = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]


class Tls(Case):
    def setUp(self):
        super().setUp()
        if shutil.which("openssl") is None:
            self.skipTest("openssl is not installed")

    def openssl(self, *words):
        subprocess.run(["openssl", *words], check=True, capture_output=True, timeout=COMMAND_SECONDS)

    def make(self, name="one", common="localhost"):
        """A certificate that signs itself; returns its path and its key's."""
        certificate, key = self.path(name + ".crt"), self.path(name + ".key")
        self.openssl("req", "-x509", *ECDSA, "-nodes", "-days", "2", "-subj", f"/CN={common}", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out", certificate)
        return certificate, key

    def start(self, *settings, certificate=None, key=None):
        self.certificate, self.key = (certificate, key) if certificate else self.make()
        given = (f"tls.certificate={self.certificate}", f"tls.key={self.key}") + settings
        self.start_broker(options=["--shards", "4"] + [word for setting in given for word in ("--set", setting)])

    def context(self, trusted=None):
        context = ssl.create_default_context(cafile=trusted or self.certificate)
        context.check_hostname = False
        return context

    def wrapped(self, context=None, version=None):
        context = context or self.context()
        if version is not None:
            context.minimum_version = context.maximum_version = version
        connection = context.wrap_socket(self.connect(), server_hostname="localhost")
        self.addCleanup(connection.close)
        return connection

    def client(self, **keywords):
        return wire.Client(self.wrapped(**keywords))

    def fetch(self, client, topic, offset):
        """(error, records) of partition 0"""
        error, parts = client.fetch((topic, 0, offset))
        self.assertEqual((error, len(parts)), (0, 1))
        return parts[0][2], parts[0][4]

    def expect_line(self, mark):
        self.assertIsNotNone(self.broker.wait_line(mark), mark)

    def serial(self, trusted):
        connection = self.wrapped(self.context(trusted))
        return connection.getpeercert()["serialNumber"]

    def metric_of_expiry(self):
        with urlopen(f"http://{self.broker.address}/metrics", timeout=60) as answer:
            return next(float(line.split()[1]) for line in answer.read().decode().splitlines() if line.startswith("mesh_tls_certificate_expiry_timestamp_seconds "))

    # ---- records ----

    def test_records_come_and_go_in_both_versions(self):
        self.start()
        values = [b"%d" % i * 100 for i in range(200)]
        for number, version in enumerate((ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)):
            client, topic = self.client(version=version), f"t{number}"
            client.metadata([topic], create=True)
            self.assertEqual(client.produce(topic, 0, wire.batch(values))[0], 0)
            plain = wire.Client(self.connect())
            self.addCleanup(plain.connection.close)
            for reader in (client, plain):  # the port speaks both
                error, records = self.fetch(reader, topic, 0)
                self.assertEqual(error, 0)
                self.assertEqual(wire.values_of(records), values)

    def test_large_answers_and_requests_in_pieces(self):
        """Some megabytes each way, by a client that reads slowly, so that both sockets fill; also from segments on the disk."""
        self.start("request.bytes.max=16777216")
        client = self.client()
        client.metadata(["t"], create=True)
        big = [os.urandom(1_000_000) for _ in range(6)]
        for value in big:
            self.assertEqual(client.produce("t", 0, wire.batch([value], timestamp=int(time.time() * 1000)))[0], 0)
        for round_number in range(2):
            client = self.client()
            client.connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32768)
            got, offset = [], 0
            while offset < len(big):
                error, records = self.fetch(client, "t", offset)
                self.assertEqual(error, 0)
                new = wire.values_of(records)
                got += new
                offset += len(new)
            self.assertEqual(got, big)
            if round_number == 0:
                self.broker.stop()  # from here on they are on the disk
                self.broker.start()

    def test_pipelined_requests_in_one_record_are_all_answered(self):
        self.start()
        client = self.client()
        sent = [client.send(18, 0, b"") for _ in range(50)]
        self.assertEqual([client.receive()[0] for _ in sent], sent)
        one = b""
        for number in range(100):
            request = struct.pack(">hhi", 18, 0, number) + wire.string("test")
            one += struct.pack(">i", len(request)) + request
        client.connection.sendall(one)
        self.assertEqual([client.receive()[0] for _ in range(100)], list(range(100)))

    def test_the_native_protocol_is_spoken_inside(self):
        """Also when the hello moves the connection to another shard, with what came behind it in the same record."""
        def golden(name):
            with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden", "native", name + ".hex"), encoding="utf-8") as file:
                return b"".join(bytes.fromhex(line.split("#")[0]) for line in file)

        self.start()
        for _ in range(8):  # whichever shard accepts it
            connection = self.wrapped()
            connection.sendall(golden("hello_request") + golden("ping_request") * 20)
            client = wire.Client(connection)
            for op in (1,) + (12,) * 20:
                magic, _, flags, got, _, size, more, _ = struct.unpack("<4sBBHIIII", client.read(24))
                self.assertEqual((magic, flags, got, more), (b"MESH", 1, op, 0))
                client.read(size)

    def test_clients_change_keys_whenever_they_like(self):
        """Both kinds of key update, in one packet with a request behind them. Python's ssl cannot; what it stands on can."""
        path = ctypes.util.find_library("ssl")
        library = ctypes.CDLL(path) if path else None
        if library is None or not hasattr(library, "SSL_key_update"):
            self.skipTest("there is no library of OpenSSL")
        for name in ("TLS_client_method", "SSL_CTX_new", "SSL_new"):
            getattr(library, name).restype = ctypes.c_void_p
        self.start()
        connection = self.connect()
        self.addCleanup(connection.close)
        connection.setblocking(True)
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            connection.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", 60, 0))
        context = ctypes.c_void_p(library.SSL_CTX_new(ctypes.c_void_p(library.TLS_client_method())))
        stream = ctypes.c_void_p(library.SSL_new(context))
        library.SSL_CTX_free(context)
        self.addCleanup(library.SSL_free, stream)
        self.assertEqual((library.SSL_set_fd(stream, connection.fileno()), library.SSL_connect(stream)), (1, 1))
        answer = ctypes.create_string_buffer(8)
        for number in range(20):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
            for kind in (0, 1, 0, 0):  # 1: the broker is asked for new keys, too
                self.assertEqual((library.SSL_key_update(stream, kind), library.SSL_do_handshake(stream)), (1, 1))
            request = struct.pack(">hhi", 18, 0, number) + wire.string("test")
            self.assertEqual(library.SSL_write(stream, struct.pack(">i", len(request)) + request, len(request) + 4), len(request) + 4)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)
            self.assertEqual(library.SSL_read(stream, answer, 8), 8)
            size, correlation = struct.unpack(">ii", answer.raw)
            self.assertEqual(correlation, number)
            rest = ctypes.create_string_buffer(size - 4)
            self.assertEqual(library.SSL_read(stream, rest, size - 4), size - 4)

    def test_who_hangs_up_breaks_no_protocol(self):
        self.start()
        for _ in range(3):
            client = self.client()
            client.metadata()
            client.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.connection.close()  # a reset
        with self.assertRaises(ssl.SSLError):
            self.wrapped(ssl.create_default_context())  # which does not know our certificate, and says so
        self.expect_line("closed a connection that speaks TLS")
        lines = [line for line in self.broker.log().splitlines() if "closed a connection that speaks TLS" in line]
        self.assertEqual(len(lines), 1, lines)

    # ---- certificates ----

    def test_a_new_certificate_is_taken_without_a_restart(self):
        self.start()
        first = self.serial(self.certificate)
        self.assertEqual(self.metric_of_expiry(), ssl.cert_time_to_seconds(self.wrapped().getpeercert()["notAfter"]))
        old = self.client()
        newer = self.make("two")
        for source, target in zip(newer, (self.certificate, self.key)):
            os.replace(source, target)
        os.kill(self.broker.process.pid, signal.SIGHUP)
        self.expect_line("the certificate was read again")
        self.assertNotEqual(self.serial(self.certificate), first)
        old.metadata()  # who is there stays
        with open(self.key, "w", encoding="utf-8") as file:
            file.write("no key\n")
        self.expect_line("the old one holds")  # seen without a signal
        self.client().metadata()

    def test_what_could_not_be_read_is_tried_again(self):
        """The files are good, and stay as they are: it was the broker that had no descriptor left."""
        self.start()
        first, pid = self.serial(self.certificate), self.broker.process.pid
        soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        newer = self.make("two")
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, hard))
        for source, target in zip(newer, (self.certificate, self.key)):
            os.replace(source, target)
        self.expect_line("Too many open files")
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
        self.expect_line("the certificate was read again")
        self.assertNotEqual(self.serial(self.certificate), first)

    def test_files_that_look_as_old_as_before_are_read_again(self):
        """Written over in place, with the old size and time: as copies that keep both do it."""
        pairs = self.make(), self.make("two")
        for path in pairs[0] + pairs[1]:
            with open(path, "a", encoding="utf-8") as file:
                file.write("\n" * (4096 - os.path.getsize(path)))
        self.start(certificate=pairs[0][0], key=pairs[0][1])
        first = self.serial(self.certificate)
        for source, target in zip(pairs[1], pairs[0]):
            shutil.copystat(target, source)
            with open(source, "rb") as file, open(target, "r+b") as into:
                into.write(file.read())
            shutil.copystat(source, target)
        self.expect_line("the certificate was read again")
        self.assertNotEqual(self.serial(self.certificate), first)

    def test_what_cannot_be_used_is_told_at_the_start(self):
        certificate, key = self.make()
        _, other = self.make("other")
        nothing = self.path("nothing")
        cases = ((f"tls.certificate={certificate}",), "tls.key is not"), ((f"tls.key={key}",), "tls.certificate is not"), \
            ((f"tls.certificate={nothing}", f"tls.key={key}"), "No such file"), ((f"tls.certificate={certificate}", f"tls.key={nothing}"), "No such file"), \
            ((f"tls.certificate={certificate}", f"tls.key={other}"), "key"), ((f"tls.certificate={key}", f"tls.key={key}"), "certificate"), \
            ((f"tls.clients.ca={certificate}",), "tls.certificate is not")
        for number, (settings, said) in enumerate(cases):
            with self.subTest(settings):
                options = [word for setting in settings for word in ("--set", setting)]
                result = self.mesh("serve", "--data", self.path(f"data-{number}"), "--listen", "127.0.0.1:0", *options, code=2)
                self.assertIn(said, result.err.decode())
                self.assertIn("no TLS", result.err.decode())
                self.assertFalse(os.path.exists(self.path(f"data-{number}", "identity")))

    def test_an_expired_certificate_is_warned_of(self):
        certificate, key = self.path("old.crt"), self.path("old.key")
        self.openssl("req", *ECDSA, "-nodes", "-subj", "/CN=localhost", "-keyout", key, "-out", self.path("old.csr"))
        self.openssl("x509", "-req", "-in", self.path("old.csr"), "-signkey", key, "-days", "-1", "-out", certificate)
        self.start(certificate=certificate, key=key)
        self.assertIn("has expired", self.broker.log())

    def test_clients_show_certificates_where_they_must(self):
        trusted, its_key = self.make("client", "a client")
        self.start(f"tls.clients.ca={trusted}")
        context = self.context()
        context.load_cert_chain(trusted, its_key)
        self.client(context=context).metadata()
        stranger, strange_key = self.make("stranger")
        wrong = self.context()
        wrong.load_cert_chain(stranger, strange_key)
        for context in (self.context(), wrong):
            with self.assertRaises((OSError, EOFError)):
                self.client(context=context).metadata()

    # ---- who harms nobody ----

    def test_handshakes_that_go_wrong_or_nowhere_are_closed(self):
        self.start("connection.stall.ms=1000")
        hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
        silent = [self.connect() for _ in range(3)]
        for connection, piece in zip(silent, (hello[:1], hello[:5], hello)):
            self.addCleanup(connection.close)
            connection.sendall(piece)
        for garbage in (b"\x16" + b"\xff" * 200, b"\x16\x03\x01\x00\x02xx" + b"\0" * 100, b"\x16\x03\x03\xff\xff" + b"\0" * 70000):
            connection = self.connect()
            self.addCleanup(connection.close)
            try:
                connection.sendall(garbage)
                while connection.recv(4096):
                    pass
            except ConnectionError:
                pass
        old = self.connect()
        self.addCleanup(old.close)
        old.sendall(b"\x16\x03\x01\x00\x2f\x01\x00\x00\x2b\x03\x01" + os.urandom(32) + b"\x00\x00\x04\x00\x2f\x00\x35\x01\x00")  # TLS 1.0
        while old.recv(4096):
            pass
        self.client().metadata()
        for connection in silent:
            while connection.recv(4096):
                pass

    def test_other_doors_inside_tls_are_closed(self):
        self.start()
        connection = self.wrapped()
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertEqual(connection.recv(4096), b"")
        self.client().metadata()

    def test_without_a_certificate_tls_is_refused(self):
        self.certificate, self.key = self.make()
        self.start_broker()
        with self.assertRaises(OSError):
            self.wrapped()
        self.expect_line("tls.certificate")

    # ---- clients of the wild ----

    def test_kcat_logs_in_over_tls(self):
        if shutil.which("kcat") is None:
            if os.environ.get("MESH_TEST_TOOLS") == "all":
                self.fail("kcat is not installed")
            self.skipTest("kcat is not installed")
        self.start("auth.required=1")
        self.mesh("user", "add", "alice", stdin=b"pencil\n")
        text = b"\n".join(text_lines(20_000)) + b"\n"
        for mechanism in ("PLAIN", "SCRAM-SHA-512"):
            options = ["-b", self.broker.address, "-X", "security.protocol=SASL_SSL", "-X", f"ssl.ca.location={self.certificate}", "-X", f"sasl.mechanisms={mechanism}",
                       "-X", "sasl.username=alice", "-X", "sasl.password=pencil", "-t", "t-" + mechanism]
            for words, data, want in ((["-P"], text, b""), (["-C", "-o", "beginning", "-e", "-q"], b"", text)):
                done = subprocess.run(["kcat", *options, *words], input=data, capture_output=True, timeout=COMMAND_SECONDS, env=environment(), check=False)
                self.assertEqual(done.returncode, 0, done.stderr.decode(errors="replace"))
                self.assertEqual(done.stdout, want)


if __name__ == "__main__":
    main()
