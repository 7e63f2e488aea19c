#!/usr/bin/env python3
"""The Kafka door: what clients do, in the order in which they do it, and what nobody should."""
import os
import re
import shutil
import signal
import struct
import subprocess
import time
from urllib.request import urlopen

import kafka_wire as wire
from harness import COMMAND_SECONDS, environment, main, text_lines
from mesh_case import PATIENCE_S, MeshCase

NOT_LEADER, UNKNOWN_TOPIC = 6, 3
FENCED_LEADER_EPOCH, UNKNOWN_LEADER_EPOCH = 74, 75
CONTROL = 0x20  # of a batch's attributes


class Kafka(MeshCase):
    def client(self, broker=None):
        connection = self.connect(broker)
        self.addCleanup(connection.close)
        return wire.Client(connection)

    def kcat(self, *words, stdin=b"", broker=None):
        if shutil.which("kcat") is None:
            if os.environ.get("MESH_TEST_TOOLS") == "all":
                self.fail("kcat is not installed")
            self.skipTest("kcat is not installed")
        done = subprocess.run(["kcat", "-b", (broker or self.broker).address, *words], input=stdin, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=COMMAND_SECONDS, env=environment(), check=False)
        self.assertEqual(done.returncode, 0, done.stderr.decode(errors="replace"))
        return done.stdout

    # ---- a client of the wild ----

    def test_kcat_gets_back_what_it_sent(self):
        self.start_broker()
        text = b"\n".join(text_lines(20_000)) + b"\n"
        for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
            with self.subTest(codec=codec):
                topic = f"t-{codec}"
                self.kcat("-P", "-t", topic, "-z", codec, "-X", "enable.idempotence=true", stdin=text)
                self.assertEqual(self.kcat("-C", "-t", topic, "-o", "beginning", "-e", "-q"), text)
                self.assertEqual(self.mesh("consume", topic, "--until-end").out, text)  # one log, two doors
        self.mesh("produce", "ours", stdin=text)
        self.assertEqual(self.kcat("-C", "-t", "ours", "-o", "beginning", "-e", "-q"), text)

    def test_topics_are_made_and_deleted(self):
        self.start_broker()
        client = self.client()
        # Version 5: the header has tags, lengths are compact.
        body = b"\0" + b"\x02" + b"\x02n" + struct.pack(">ih", 3, -1) + b"\x01" + b"\x01" + b"\0" + struct.pack(">i?", 30000, False) + b"\0"
        answer = client.ask(wire.CREATE_TOPICS, 5, body)
        self.assertEqual(answer.take("biBBshBihBBB"),
                         (0, 0, 2, 2, b"n", 0, 0, 3, 1, 1, 0, 0))  # settings are empty (1), not null (0): a Java client fails on that
        self.assertEqual(len(client.metadata(["n"])[0]["n"][1]), 3)
        answer = client.ask(wire.CREATE_TOPICS, 5, body)
        self.assertEqual(answer.take("biBBsh")[5], 36)
        answer = client.ask(wire.DELETE_TOPICS, 1, wire.array([wire.string("n"), wire.string("never")]) + struct.pack(">i", 30000))
        answer.take("i")
        self.assertEqual(answer.array(lambda: (answer.string(), answer.take("h"))), [("n", 0), ("never", UNKNOWN_TOPIC)])
        self.assertEqual(client.metadata()[0], {})

    def test_a_topic_is_not_taken_for_another(self):
        self.start_broker()
        client = self.client()
        topic = lambda name, partitions=1, replicas=1, value="3600000": (
            wire.string(name) + struct.pack(">ih", partitions, replicas) + wire.array([]) + wire.array([wire.string("retention.ms") + wire.string(value)]))
        for what, order, want in (("a name with a NUL", topic("t\0x"), 17), ("no replica", topic("t", replicas=0), 38),
                                  ("fewer replicas than none", topic("t", replicas=-2), 38), ("no partition", topic("t", partitions=0), 37),
                                  ("a value with a NUL", topic("t", value="3600000\0x"), 40), ("what is good", topic("t", value="3600000"), 0)):
            with self.subTest(what=what):
                answer = client.ask(wire.CREATE_TOPICS, 2, wire.array([order]) + struct.pack(">i?", 30000, False))
                answer.take("i")
                self.assertEqual(answer.array(lambda: (answer.string(), answer.take("h")))[0][1], want)
        answer = client.ask(wire.DELETE_TOPICS, 1, wire.array([wire.string("t\0x")]) + struct.pack(">i", 30000))
        answer.take("i")
        self.assertEqual(answer.array(lambda: (answer.string(), answer.take("h")))[0][1], UNKNOWN_TOPIC)
        self.assertEqual(list(client.metadata()[0]), ["t"])

    # ---- order ----

    def test_answers_come_in_the_order_of_requests(self):
        self.start_broker()
        client = self.client()
        client.metadata(["t"], create=True)
        sent = []
        for round_number in range(50):
            sent.append(client.send(wire.PRODUCE, 7, client.produce_body("t", 0, wire.batch([b"%d" % round_number]))))
            if round_number % 10 == 0:
                sent.append(client.send(wire.API_VERSIONS, 0, b""))
                sent.append(client.send(wire.FETCH, 7, client.fetch_body([("t", 0, 0)])))
            if round_number % 10 == 5:
                sent.append(client.send(wire.METADATA, 0, wire.array([])))
        self.assertEqual([client.receive()[0] for _ in sent], sent)
        values = []
        while len(values) < 50:  # an answer has a part of so many small batches
            error, [(_, _, code, high_watermark, records)] = client.fetch(("t", 0, len(values)))
            self.assertEqual((error, code, high_watermark), (0, 0, 50))
            self.assertNotEqual(records, b"")
            values += wire.values_of(records)
        self.assertEqual(values, [b"%d" % n for n in range(50)])

    def test_a_long_poll_ends_when_records_come(self):
        self.start_broker()
        reader, writer = self.client(), self.client()
        writer.metadata(["t"], create=True)
        reader.send(wire.FETCH, 7, reader.fetch_body([("t", 0, 0)], wait_ms=60_000))
        self.assertEqual(writer.produce("t", 0, wire.batch([b"news"])), (0, 0))
        error, [(_, _, code, _, records)] = reader.fetch_answer(reader.receive()[1])
        self.assertEqual((error, code, wire.values_of(records)), (0, 0, [b"news"]))

    def test_who_leaves_in_the_middle_harms_nobody(self):
        self.start_broker()
        witness = self.client()
        witness.metadata(["t"], create=True)
        for cut in range(1, 60, 7):
            leaver = self.client()
            for _ in range(5):
                leaver.send(wire.PRODUCE, 7, leaver.produce_body("t", 0, wire.batch([b"x"])))
            leaver.send(wire.FETCH, 7, leaver.fetch_body([("t", 0, 1_000_000)], wait_ms=60_000))
            leaver.connection.sendall((struct.pack(">ihhi", 200, 0, 7, 1) + b"\0" * 100)[:cut])
            leaver.connection.close()
        self.assertEqual(witness.produce("t", 0, wire.batch([b"still"]))[0], 0)

    def test_what_cannot_be_read_ends_the_connection_after_the_answers_that_are_owed(self):
        self.start_broker()
        self.client().metadata(["t"], create=True)
        for what, key, version in (("metadata", wire.METADATA, 1), ("topics made", wire.CREATE_TOPICS, 2), ("topics deleted", wire.DELETE_TOPICS, 1),
                                   ("a fetch", wire.FETCH, 7), ("offsets", wire.LIST_OFFSETS, 1), ("records", wire.PRODUCE, 7)):
            with self.subTest(what=what):
                client = self.client()
                sent = [client.send(wire.PRODUCE, 7, client.produce_body("t", 0, wire.batch([b"x"]))) for _ in range(5)]
                client.send(key, version, struct.pack(">i", 0x7FFFFFFF))
                client.send(wire.METADATA, 1, wire.array([]))
                self.assertEqual([client.receive()[0] for _ in sent], sent)
                self.assertTrue(client.is_closed())

    def test_a_refusal_that_has_no_answer_ends_the_connection(self):
        self.start_broker()
        good = wire.batch([b"x"])
        client = self.client()
        client.metadata(["t"], create=True)
        client.send(wire.PRODUCE, 7, client.produce_body("t", 0, good, acks=0))
        self.assertEqual(client.produce("t", 0, good), (0, 1))
        sent = client.send(wire.PRODUCE, 7, client.produce_body("t", 0, good))
        client.send(wire.PRODUCE, 7, client.produce_body("gone", 0, good, acks=0))
        self.assertEqual(client.receive()[0], sent)
        self.assertTrue(client.is_closed())

    def test_what_a_request_holds_while_it_waits_is_counted(self):
        self.start_broker()
        client = self.client()
        client.metadata(["t"], create=True)
        self.assertLess(self.buffered_bytes(), 1 << 20)
        client.send(wire.FETCH, 7, client.fetch_body([("t", 0, 0)] * 15_000, wait_ms=60_000))
        self.until("the poll counts", lambda: self.buffered_bytes() > 1 << 20, self.broker)
        client.connection.close()
        self.until("it does not count any more", lambda: self.buffered_bytes() < 1 << 20, self.broker)

    def buffered_bytes(self):
        with urlopen(f"http://{self.broker.address}/metrics", timeout=60) as answer:
            return sum(map(int, re.findall(r"^mesh_buffered_bytes\{.*\} (\d+)$", answer.read().decode(), re.M)))

    # ---- any broker ----

    def test_any_broker_takes_and_gives_records(self):
        brokers = self.launch_together(3)
        self.wait_coordinator(brokers)
        clients = [self.client(broker) for broker in brokers]
        topics, nodes = clients[0].metadata(["t"], create=True)
        self.assertEqual(topics["t"][0], 0)
        self.assertEqual(len(nodes), 3)
        self.until("all name the same leader",
                   lambda: len({c.metadata(["t"])[0].get("t", (1, {}))[1].get(0) for c in clients} - {-1, None}) == 1 and
                   all(c.metadata(["t"])[0]["t"][0] == 0 for c in clients), *brokers)
        first = clients[0].produce("t", 0, wire.batch([b"0"]))[1]  # behind the record that begins the leader's epoch
        for number, client in enumerate(clients[1:], 1):
            self.assertEqual(client.produce("t", 0, wire.batch([b"%d" % number])), (0, first + number))
        for client in clients:
            error, [(_, _, code, _, records)] = client.fetch(("t", 0, first), wait_ms=1000)
            self.assertEqual((error, code), (0, 0))
            self.assertEqual(wire.values_of(records)[:1], [b"0"])
            self.assertEqual(client.list_offsets("t", 0, -1), (0, -1, first + 3))
            self.assertEqual(client.list_offsets("t", 0, -2), (0, -1, 0))
            self.assertEqual(client.list_offsets("t", 0, 0)[::2], (0, first))  # the first record of that time or later; the leader's own is nobody's
            self.assertEqual(client.metadata()[1], nodes)

    def stall_leader(self, client, leader, batch, count):
        """Sends many batches while their leader's broker stands still for longer than a link is waited for; their (error, offset) in order."""
        leader.process.send_signal(signal.SIGSTOP)
        try:
            begin = time.monotonic()
            for _ in range(count):
                client.send(wire.PRODUCE, 7, client.produce_body("t", 0, batch))
            self.until("it stands still", lambda: time.monotonic() - begin > 2.4)
        finally:
            leader.process.send_signal(signal.SIGCONT)
        return [client.produce_answer(client.receive()[1]) for _ in range(count)]

    def test_what_waits_behind_much_is_not_refused(self):
        """A batch that is refused comes again, behind those that followed it: so as long as there is a link, batches wait for their turn."""
        brokers = self.launch_together(2)
        self.wait_coordinator(brokers)
        self.mesh("topic", "create", "t", "--partitions", "1", "--replicas", "1")
        client = self.client(brokers[0])
        self.until("the topic has a leader", lambda: client.metadata(["t"])[0].get("t", (1, {}))[1].get(0, -1) >= 0, *brokers)
        topics, nodes = client.metadata(["t"])
        leader = next(broker for broker in brokers if broker.address == "%s:%d" % nodes[topics["t"][1][0]])
        client = self.client(next(broker for broker in brokers if broker is not leader))
        batch = wire.batch([b"x" * 400_000])  # 16 MB of them are more than a link's queue and the sockets take
        answers = []

        def is_through():
            """A broker that was taken for dead meanwhile has no link, and then some are refused: that time does not count."""
            answers[:] = self.stall_leader(client, leader, batch, 40)
            self.until("it leads again", lambda: client.produce("t", 0, wire.batch([b"."]))[0] == 0, *brokers)
            return all(error == 0 for error, _ in answers)
        self.until("all are taken", is_through, *brokers, seconds=2 * PATIENCE_S)
        self.assertEqual([offset for _, offset in answers], list(range(answers[0][1], answers[0][1] + 40)))

    def test_kcat_reads_past_the_records_of_leaders_and_survives_a_kill(self):
        brokers = self.launch_together(3)
        self.wait_coordinator(brokers)
        text = b"\n".join(text_lines(5_000)) + b"\n"
        self.mesh("topic", "create", "t", "--partitions", "1", "--replicas", "3")
        self.kcat("-P", "-t", "t", "-X", "enable.idempotence=true", stdin=text)
        self.assertEqual(self.kcat("-C", "-t", "t", "-o", "beginning", "-e", "-q", broker=brokers[1]), text)
        leader = self.client(brokers[1]).metadata(["t"])[0]["t"][1][0]
        nodes = self.client(brokers[1]).metadata()[1]
        address = "%s:%d" % nodes[leader]
        killed = next(broker for broker in brokers if broker.address == address)
        killed.kill()
        rest = [broker for broker in brokers if broker is not killed]
        self.kcat("-P", "-t", "t", "-X", "enable.idempotence=true", "-X", "message.timeout.ms=60000", stdin=text, broker=rest[0])
        self.assertEqual(self.kcat("-C", "-t", "t", "-o", "beginning", "-e", "-q", broker=rest[1]), text * 2)

    def read_as_of_old(self, client, topic):
        """Values from the beginning to the end, and where each batch begins."""
        offset, values, begins = 0, [], []
        while True:
            error, end, records = client.fetch_as_of_old(topic, 0, offset)
            self.assertEqual(error, 0)
            if offset == end:
                self.assertEqual(records, b"")
                self.assertEqual(client.list_offsets(topic, 0, -1), (0, -1, end))  # what such a client goes on to
                return values, begins
            batches = wire.batches_of(records)
            self.assertTrue(batches)  # clients of old do not survive an answer without records where there are some
            self.assertFalse([attributes for _, _, attributes in batches if attributes & CONTROL])
            begins += [base for base, _, _ in batches]
            offset = batches[-1][1]
            values += wire.values_of(records)

    def test_clients_of_old_are_spared_the_records_of_leaders(self):
        brokers = self.launch_together(3)
        self.wait_coordinator(brokers)
        self.mesh("topic", "create", "t", "--partitions", "1", "--replicas", "3")
        self.kcat("-P", "-t", "t", stdin=b"a\nb\n")
        nodes, leader = self.client(brokers[1]).metadata()[1], self.client(brokers[1]).metadata(["t"])[0]["t"][1][0]
        killed = next(broker for broker in brokers if broker.address == "%s:%d" % nodes[leader])
        killed.kill()
        rest = [broker for broker in brokers if broker is not killed]
        self.kcat("-P", "-t", "t", "-X", "message.timeout.ms=60000", stdin=b"c\nd\n", broker=rest[0])
        for broker in rest:  # who leads, and who asks the leader
            client = self.client(broker)
            _, [(_, _, _, _, records)] = client.fetch(("t", 0, 0))
            batches = wire.batches_of(records)
            self.assertTrue([base for base, _, attributes in batches if attributes & CONTROL])
            self.assertEqual(self.read_as_of_old(client, "t"), ([b"a", b"b", b"c", b"d"], [base for base, _, attributes in batches if not attributes & CONTROL]))
        killed.start()
        for broker in brokers:  # what they have then lies in files
            broker.stop()
            broker.start()
        self.wait_coordinator(brokers)
        client = self.client(brokers[0])

        def is_at_end():
            """An epoch may begin yet: then its leader's record is the last one."""
            error, _, records = client.fetch_as_of_old("t", 0, 0)
            return error == 0 and records != b"" and self.read_as_of_old(client, "t")[0] == [b"a", b"b", b"c", b"d"]
        self.until("all is read, and no more", is_at_end, *brokers)
        _, [(_, _, _, end, _)] = client.fetch(("t", 0, 0))
        _, shown, records = client.fetch_as_of_old("t", 0, end - 1)
        self.assertEqual((shown, records), (end - 1, b""))  # a leader's record is the last one
        waiting = self.client(brokers[0])
        waiting.ask_as_of_old("t", 0, end - 1, wait_ms=60_000)
        self.kcat("-P", "-t", "t", "-X", "message.timeout.ms=60000", stdin=b"e\n", broker=brokers[0])
        error, _, records = waiting.hear_as_of_old()
        self.assertEqual((error, wire.values_of(records)), (0, [b"e"]))
        self.assertEqual(self.read_as_of_old(client, "t")[0], [b"a", b"b", b"c", b"d", b"e"])

    def test_a_consumer_learns_where_epochs_end(self):
        brokers = self.launch_together(3)
        self.wait_coordinator(brokers)
        self.mesh("topic", "create", "t", "--partitions", "1", "--replicas", "3")
        self.kcat("-P", "-t", "t", stdin=b"a\nb\n")
        client = self.client(brokers[1])
        _, _, before = client.list_offsets("t", 0, -1)
        error, epoch, end = client.epoch_end("t", 0, 2**31 - 1)
        self.assertEqual((error, epoch, end), (0, -1, -1))  # from the future
        [epoch] = [e for e in range(100) if client.epoch_end("t", 0, e, e)[:2] == (0, e)]  # the one in which it is led
        self.assertEqual(client.epoch_end("t", 0, epoch), (0, epoch, before))
        nodes = client.metadata()[1]
        leader = client.metadata(["t"])[0]["t"][1][0]
        killed = next(broker for broker in brokers if broker.address == "%s:%d" % nodes[leader])
        killed.kill()
        rest = [broker for broker in brokers if broker is not killed]
        self.kcat("-P", "-t", "t", "-X", "message.timeout.ms=60000", stdin=b"c\n", broker=rest[0])
        for broker in rest:  # any broker
            client = self.client(broker)
            self.assertEqual(client.epoch_end("t", 0, epoch), (0, epoch, before))
            self.assertEqual(client.epoch_end("t", 0, epoch, epoch)[0], FENCED_LEADER_EPOCH)
            self.assertEqual(client.epoch_end("t", 0, epoch, 2**31 - 1)[0], UNKNOWN_LEADER_EPOCH)
        self.assertEqual(client.epoch_end("t", 7, epoch)[0], UNKNOWN_TOPIC)
        self.assertEqual(client.epoch_end("t", -7, epoch)[0], UNKNOWN_TOPIC)
        self.assertEqual(client.epoch_end("never", 0, epoch)[0], UNKNOWN_TOPIC)

    # ---- what nobody should ----

    def test_errors_are_told_in_the_protocols_words(self):
        self.start_broker(options=["--set", "kafka.topics.create=0"])
        client = self.client()
        self.assertEqual(client.metadata(["t"], create=True)[0]["t"][0], UNKNOWN_TOPIC)
        self.assertEqual(client.metadata(["no good/name"], create=True)[0]["no good/name"][0], 17)
        self.mesh("topic", "create", "t")
        good = wire.batch([b"x"])
        for what, asked, want in (
                ("an unknown topic", ("u", 0, good), UNKNOWN_TOPIC), ("an unknown partition", ("t", 7, good), UNKNOWN_TOPIC),
                ("a partition below zero", ("t", -1, good), UNKNOWN_TOPIC), ("no records", ("t", 0, b""), 87),
                ("a broken batch", ("t", 0, good[:-1] + b"y"), 2), ("half a batch", ("t", 0, good[:30]), 2),
                ("two acks", ("t", 0, good, 2), 21)):
            with self.subTest(what=what):
                error = client.produce(*asked)[0]
                self.assertIn(error, (want, 87) if want == 2 else (want,))
        self.assertEqual(client.fetch(("t", 0, 99))[1][0][2], 1)
        self.assertEqual(client.fetch(("t", 0, -5))[1][0][2], 1)
        self.assertEqual(client.fetch(("u", 0, 0))[1][0][2], UNKNOWN_TOPIC)
        self.assertEqual(client.fetch(("t", 0, 0), session=(77, 3)), (70, []))
        self.assertEqual(client.list_offsets("u", 0, -1)[0], UNKNOWN_TOPIC)
        self.assertEqual(client.list_offsets("t", 0, -3)[0], 35)
        self.assertEqual(client.ask(wire.INIT_PRODUCER_ID, 0, wire.string("tx") + struct.pack(">i", 1000)).take("ih")[1], 35)
        # A topic without partitions is nothing to answer; one that is named twice is told once too often.
        body = wire.string(None) + struct.pack(">hi", -1, 30000) + wire.array(
            [wire.string("empty") + wire.array([]), wire.string("t") + wire.array([struct.pack(">ii", 0, len(good)) + good])])
        self.assertEqual(client.produce_answer(client.ask(wire.PRODUCE, 7, body)), (0, 0))
        self.assertEqual(client.produce("t", 0, good), (0, 1))  # after all that
        client.send(wire.METADATA, 1, wire.array([wire.string("t")] * 1000))
        self.assertTrue(client.is_closed())

    def test_old_and_future_clients_learn_what_is_offered(self):
        self.start_broker()
        for version in (6, 99, 32767):
            answer = self.client().ask(wire.API_VERSIONS, version, b"anything")
            self.assertEqual(answer.take("h"), 35)
            self.assertIn((wire.API_VERSIONS, 0, 5), answer.array(lambda: answer.take("hhh")))
        client = self.client()
        self.assertEqual(client.ask(wire.API_VERSIONS, 0, b"").take("h"), 0)
        # A produce request of version 2 carries an old message set: it is understood, and refused.
        answer = client.ask(wire.PRODUCE, 2, struct.pack(">hi", -1, 1000) + wire.array([wire.string("t") + wire.array([struct.pack(">ii", 0, 1) + b"x"])]))
        answer.take("i")
        answer.string()
        self.assertEqual(answer.take("iih")[2], 35)

    def test_nonsense_ends_the_connection_and_no_other(self):
        self.start_broker()
        witness = self.client()
        for what, data in (
                ("an unknown request", struct.pack(">ihhi", 8, 99, 0, 1)), ("a future version", struct.pack(">ihhi", 8, 1, 99, 1)),
                ("a request of two billion bytes", struct.pack(">ihhi", 0x7FFFFFFF, 3, 0, 1)), ("a size below zero", b"\xff\xff\xff\xff\0\0"),
                ("an empty request", b"\0\0\0\0"), ("two billion topics", struct.pack(">ihhihi", 14, 3, 1, 1, -1, 0x7FFFFFFF)),
                ("a count below null", struct.pack(">ihhihi", 14, 3, 1, 1, -1, -2)),
                ("no client id", struct.pack(">ihhi", 8, 3, 1, 1))):
            with self.subTest(what=what):
                client = self.client()
                client.connection.sendall(data)
                self.assertTrue(client.is_closed())
        self.assertEqual(witness.metadata()[0], {})
        self.assert_serves()

    def test_bytes_behind_a_request_are_nobodys(self):
        """librdkafka asks for all topics with three bytes too many; Kafka does not look there."""
        self.start_broker()
        self.mesh("topic", "create", "here")
        client = self.client()
        for version in (9, 12, 13):
            body = b"\0\0\0\0" + b"\1" + (b"\0" if version < 11 else b"") + b"\0\0"  # null topics in the first byte of four that were kept for a count
            request = struct.pack(">hhih", 3, version, version, -1) + b"\0" + body
            client.connection.sendall(struct.pack(">i", len(request)) + request)
            answer = client.read(struct.unpack(">i", client.read(4))[0])
            self.assertEqual(struct.unpack(">i", answer[:4])[0], version)
            self.assertIn(b"\5here", answer)
        self.assertEqual(client.produce("here", 0, wire.batch([b"x"]))[0], 0)  # and the connection goes on

    def test_a_request_that_never_ends_is_closed(self):
        self.start_broker(options=["--set", "connection.stall.ms=500"])
        client = self.client()
        client.connection.sendall(struct.pack(">ihh", 1000, 0, 7))
        self.assertTrue(client.is_closed())

    def test_a_stop_answers_what_was_begun(self):
        self.start_broker()
        client = self.client()
        client.metadata(["t"], create=True)
        sent = [client.send(wire.PRODUCE, 7, client.produce_body("t", 0, wire.batch([b"%d" % n]))) for n in range(20)]
        client.receive()
        self.assertEqual(self.broker.stop(), 0)
        answered = 1
        try:
            while answered < len(sent):
                self.assertEqual(client.produce_answer(client.receive()[1]), (0, answered))
                answered += 1
        except (EOFError, ConnectionResetError):
            pass
        self.broker.start()
        again = self.client()
        self.assertGreaterEqual(again.list_offsets("t", 0, -1)[2], answered)


if __name__ == "__main__":
    main()
