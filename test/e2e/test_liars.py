#!/usr/bin/env python3
"""A member with a valid key that lies on its streams (liar.c): it is disconnected by name, nothing is lost, and the rest goes on."""
import os
import re
import socket
import time
from urllib.request import urlopen

import kafka_wire
from harness import COMMAND_SECONDS, main, text_lines
from mesh_case import PATIENCE_S, QUICK, MeshCase, free_addresses

LIAR = os.environ.get("MESH_LIAR", os.path.join(os.path.dirname(os.environ.get("MESH_BINARY", "")), "..", "..", "test", "e2e", "mesh_liar"))

# What the others say when they end the stream.
FOLLOWERS = {
    "ack-ahead": "acknowledges what was never sent",
    "ack-falls": "acknowledges less than before",
    "ack-epoch": "speaks in another leader epoch",
    "credit": "grants absurd ones",
    "direction": "only the other end may say",
}
LEADERS = {
    "data-order": "do not follow the log's end",
    "data-epoch": "of epochs above its own",
    "leader-epoch": "speaks in another leader epoch",
}


CALLS = ("call-noise", "call-direction", "call-size")
NOT_LEADER, REQUEST_TIMED_OUT = 6, 7  # nothing was done; nobody knows what became of it


class Liars(MeshCase):
    def partition(self, broker, number=None):
        return self.mesh("topic", "describe", "orders", "--json", broker=broker).json["partitions"][self.number if number is None else number]

    def node_of(self, broker, seen_from):
        uuid = broker.ready.split("broker=")[1].split()[0]
        return next(row["node_id"] for row in self.status(seen_from)["brokers"] if row["broker"] == uuid)

    def lies_heard(self, *brokers):
        heard = 0
        for broker in brokers:
            with urlopen(f"http://{broker.address}/metrics", timeout=60) as answer:
                heard += sum(float(line.split()[-1]) for line in answer.read().decode().splitlines() if line.startswith("mesh_replica_lies_total"))
        return heard

    def tell(self, lie):
        with open(self.path("lie.new"), "w", encoding="ascii") as file:
            file.write(lie)
        os.rename(self.path("lie.new"), self.path("lie"))

    def be_honest(self):
        os.unlink(self.path("lie"))

    def start(self, leader):
        """Three brokers, the last one a liar that is honest still, and a partition that the one numbered `leader` leads. Returns the honest ones and the liar."""
        addresses = free_addresses(3)
        lying = {"prefix": [LIAR], "env": {"MESH_LIE": self.path("lie")}}
        brokers = [self.new_broker(self.path(f"b{i}"), listen=addresses[i], seeds=addresses, options=["--expect", "3", "--name", f"b{i}", "--listen", "kafka-gateway://127.0.0.1:0", *QUICK],
                                   **(lying if i == 2 else {})) for i in range(3)]
        for broker in brokers:
            broker.launch()
        for broker in brokers:
            self.wait_ready(broker)
        self.broker = brokers[0]
        honest, liar = brokers[:2], brokers[2]
        self.wait_coordinator(brokers)
        self.until("three brokers serve", lambda: [row["state"] for row in self.status(honest[0])["brokers"]] == ["serving"] * 3, *brokers)
        self.mesh("topic", "create", "orders", "--replicas", 3, "--partitions", 3, broker=honest[0])  # each of them leads one
        nodes = [self.node_of(broker, honest[0]) for broker in brokers]
        self.until("all lead and are in sync", lambda: all(len(self.partition(honest[0], i)["isr"]) == 3 for i in range(3)), *brokers)
        self.number = next(i for i in range(3) if self.partition(honest[0], i)["leader"] == nodes[leader])
        return honest, liar

    def lie_found_out(self, broker, name, producer, lines):
        """Gives the producer one line after the other until the broker ends a stream for that reason: some lies take several messages (an ack falls
        only after another), and how many records go into one is up to the broker. Returns how many lines were given, and what the broker said."""
        end = time.monotonic() + PATIENCE_S
        for given, record in enumerate(lines):
            producer.stdin.write(record + b"\n")
            producer.stdin.flush()
            line = broker.wait_line("a replication stream was ended", seconds=0.02)
            while line is not None and name not in line:
                line = broker.wait_line("a replication stream was ended", seconds=0.02)
            if line is not None or time.monotonic() > end:
                break
        return given + 1, line

    def consumed(self, broker):
        self.until("its end is known", lambda: self.partition(broker)["problem"] is None, broker)
        return self.mesh("consume", "orders", "--partition", self.number, "--until-end", broker=broker).out.split(b"\n")[:-1]

    def test_follower_that_lies_is_sent_away_and_the_rest_goes_on(self):
        honest, liar = self.start(leader=0)
        lines = text_lines(20000)
        sent = 100
        self.mesh("produce", "orders", "--partition", self.number, stdin=b"\n".join(lines[:sent]) + b"\n", broker=honest[1])
        heard = 0
        for lie, name in FOLLOWERS.items():
            self.tell(lie)
            producer = self.spawn("produce", "orders", "--partition", str(self.number), "--batch-bytes", "1024", "--acks", "1", stdin=-1, env=self.command_environment(honest[1]))
            given, line = self.lie_found_out(honest[0], name, producer, lines[sent:])
            sent += given
            self.assertIsNotNone(line, f"{lie}: {honest[0].log()}")
            self.assertIn(f"follower={self.node_of(liar, honest[0])}", line)
            self.finish(producer)
            now = self.lies_heard(honest[0])
            self.assertGreater(now, heard)
            heard = now
        self.mesh("produce", "orders", "--partition", self.number, stdin=b"\n".join(lines[sent:sent + 100]) + b"\n", broker=honest[1])
        sent += 100  # acknowledged by the other two
        self.assertEqual(self.consumed(honest[1]), lines[:sent])
        for lie in ("attach-ahead", "attach-epoch"):  # what cannot be compared, and what is of no epoch yet, is not served
            self.tell(lie)
            liar.kill()
            liar.start()
            self.mesh("produce", "orders", "--partition", self.number, stdin=b"\n".join(lines[sent:sent + 100]) + b"\n", broker=honest[1])
            sent += 100
            self.assertNotIn(self.node_of(liar, honest[0]), self.partition(honest[0])["isr"])
        self.be_honest()
        liar.kill()
        liar.start()
        self.until("who is honest again is in sync again", lambda: len(self.partition(honest[0])["isr"]) == 3, *honest, liar)
        self.assertEqual(self.consumed(honest[0]), lines[:sent])
        honest[0].stop()
        self.until("another leads", lambda: self.partition(honest[1])["leader"] not in (None, -1) and self.partition(honest[1])["problem"] is None, honest[1])
        self.assertEqual(self.consumed(honest[1]), lines[:sent])

    def test_leader_that_lies_is_left_by_its_followers(self):
        honest, liar = self.start(leader=2)
        lines = text_lines(200)
        self.mesh("produce", "orders", "--partition", self.number, stdin=b"\n".join(lines[:100]) + b"\n", broker=honest[0])
        end = self.partition(honest[0])["high_watermark"]
        for lie, name in LEADERS.items():
            self.tell(lie)
            heard = self.lies_heard(*honest)
            refused = self.mesh("produce", "orders", "--partition", self.number, "--timeout", "2s", stdin=b"lie\n", broker=honest[0], code=None)
            self.assertNotEqual(refused.code, 0, "nobody else holds it")
            line = honest[0].wait_line("a replication stream was ended")
            while line is not None and name not in line:
                line = honest[0].wait_line("a replication stream was ended")
            self.assertIsNotNone(line, f"{lie}: {honest[0].log()}")
            self.assertIn(f"leader={self.node_of(liar, honest[0])}", line)
            self.assertGreater(self.lies_heard(*honest), heard)
        liar.kill()
        begin = time.monotonic()
        self.until("an honest one leads", lambda: self.partition(honest[0])["leader"] in [self.node_of(broker, honest[0]) for broker in honest], *honest)
        print(f"led by an honest broker {time.monotonic() - begin:.1f} s after the liar died", flush=True)
        self.mesh("produce", "orders", "--partition", self.number, stdin=b"\n".join(lines[100:]) + b"\n", broker=honest[0])
        self.assertGreaterEqual(self.partition(honest[0])["high_watermark"], end + 100)
        out = self.consumed(honest[1])
        self.assertEqual([line for line in out if line != b"lie"], lines)
        self.be_honest()
        liar.start()
        self.until("who is honest again is in sync again", lambda: len(self.partition(honest[0])["isr"]) == 3, *honest, liar)
        self.assertEqual(self.consumed(honest[0]), out)

    def streamed(self, broker):
        with urlopen(f"http://{broker.address}/metrics", timeout=60) as answer:
            return next(float(line.split()[-1]) for line in answer.read().decode().splitlines() if line.startswith("mesh_forward_streamed_total "))

    def client(self, broker):
        """By the gateway, so whatever another broker leads is sent on."""
        host, port = re.search(r" gateway=(\S+)", broker.ready).group(1).rsplit(":", 1)
        connection = socket.create_connection((host, int(port)), timeout=COMMAND_SECONDS)
        self.addCleanup(connection.close)
        return kafka_wire.Client(connection)

    def send(self, client, record):
        """As clients do: who is sent elsewhere asks again. Returns the error."""
        error = NOT_LEADER
        begin = time.monotonic()
        while error == NOT_LEADER and time.monotonic() - begin < PATIENCE_S:
            error, _ = client.produce("orders", self.number, kafka_wire.batch([record]))
        return error

    def send_until_streamed(self, client, entry, sent):
        """One record after the other until another one has gone by a stream; all are taken."""
        before = self.streamed(entry)
        begin = time.monotonic()
        while self.streamed(entry) == before:
            self.assertLess(time.monotonic() - begin, PATIENCE_S, entry.log())
            sent.append(b"true %d" % len(sent))
            self.assertEqual(self.send(client, sent[-1]), 0)

    def lie_in_calls(self, entry, leader, says, heard_by):
        """Each lie ends a stream, and the next record goes by the link. Nothing that was acknowledged is missing, nothing false is there."""
        client, sent = self.client(entry), []
        for lie in CALLS:
            self.send_until_streamed(client, entry, sent)
            self.tell(lie)
            self.assertIn(self.send(client, b"unknown"), (0, REQUEST_TIMED_OUT), "done or not known")  # 0: by the link, should the stream have just gone
            self.be_honest()
            if says is not None:
                self.assertIsNotNone(heard_by.wait_line(says), heard_by.log())
            sent.append(b"by the link %d" % len(sent))
            self.assertEqual(self.send(client, sent[-1]), 0)
        self.assertEqual([record for record in self.consumed(leader) if record != b"unknown"], sent)

    def test_entry_that_lies_in_what_it_sends_on_loses_its_stream(self):
        honest, liar = self.start(leader=0)
        self.lie_in_calls(liar, honest[0], "a stream for forwarded requests was ended", honest[0])

    def test_leader_that_lies_in_its_answers_loses_its_stream(self):
        honest, liar = self.start(leader=2)
        self.lie_in_calls(honest[0], liar, None, honest[0])



if __name__ == "__main__":
    main()
