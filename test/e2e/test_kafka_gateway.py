#!/usr/bin/env python3
"""The Kafka gateway: a port where the whole mesh is one broker, whoever leads what."""
import json
import os
import re
import shutil
import socket
import struct
import subprocess

import kafka_wire as wire
from harness import COMMAND_SECONDS, environment, main, text_lines
from mesh_case import MeshCase

ONE = 1  # the only node that there is by a gateway
GATEWAY = ["--listen", "kafka-gateway://127.0.0.1:0"]
FIND_COORDINATOR = 10


def gateway_of(broker):
    return re.search(r" gateway=(\S+)", broker.ready).group(1)


class Gateway(MeshCase):
    def client(self, address):
        host, port = address.rsplit(":", 1)
        connection = socket.create_connection((host, int(port)), timeout=COMMAND_SECONDS)
        self.addCleanup(connection.close)
        return wire.Client(connection)

    def kcat(self, address, *words, stdin=b""):
        if shutil.which("kcat") is None:
            if os.environ.get("MESH_TEST_TOOLS") == "all":
                self.fail("kcat is not installed")
            self.skipTest("kcat is not installed")
        done = subprocess.run(["kcat", "-b", address, *words], input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=COMMAND_SECONDS, env=environment(), check=False)
        self.assertEqual(done.returncode, 0, done.stderr.decode(errors="replace"))
        return done.stdout

    def leaders(self, broker, topic):
        """As the broker's own port tells them."""
        return self.client(broker.address).metadata([topic])[0][topic][1]

    @staticmethod
    def find_coordinator(client, answers):
        answer = client.ask(FIND_COORDINATOR, 0, wire.string("g"))
        answers.append((answer.take("h"), answer.take("i"), answer.string(), answer.take("i")))
        return answers[-1]

    def test_the_mesh_is_one_broker(self):
        brokers = self.launch_together(3, options=GATEWAY)
        self.wait_coordinator(brokers)
        self.mesh("topic", "create", "t", "--partitions", "6", "--replicas", "3")
        self.until("the leaders are spread", lambda: len(set(self.leaders(brokers[0], "t").values())) == 3, *brokers)
        for broker in brokers:  # the same from each of them but for where it is
            client = self.client(gateway_of(broker))
            host, port = gateway_of(broker).rsplit(":", 1)
            self.until("it knows of the topic", lambda c=client: c.metadata(["t"])[0]["t"] == (0, dict.fromkeys(range(6), ONE)), broker)
            self.assertEqual(client.metadata(["t"])[1], {ONE: (host, int(port))})
            self.assertEqual(client.controller, ONE)
            answers = []
            self.until("the group has a coordinator", lambda c=client, to=answers: self.find_coordinator(c, to)[0] == 0, broker)
            self.assertEqual(answers[-1], (0, ONE, host, int(port)))
        self.assertEqual(len(self.client(brokers[0].address).metadata()[1]), 3)  # by its own port it is the broker it was

    def test_records_of_every_partition_go_and_come_by_one_gateway(self):
        brokers = self.launch_together(3, options=GATEWAY)
        self.wait_coordinator(brokers)
        text = b"\n".join(text_lines(6_000)) + b"\n"
        self.mesh("topic", "create", "t", "--partitions", "6", "--replicas", "3")
        address = gateway_of(brokers[1])
        self.kcat(address, "-P", "-t", "t", "-z", "lz4", "-X", "enable.idempotence=true", stdin=text)
        read = self.kcat(address, "-C", "-t", "t", "-o", "beginning", "-e", "-q")
        self.assertEqual(sorted(read.splitlines()), sorted(text.splitlines()))
        # Whoever leads may die: the client goes on by the same address, which has become nobody else's.
        leaders = self.leaders(brokers[1], "t")
        nodes = self.client(brokers[1].address).metadata()[1]
        victim = next(b for b in (brokers[0], brokers[2]) if b.address in {"%s:%d" % nodes[node] for node in leaders.values()})
        victim.kill()
        self.kcat(address, "-P", "-t", "t", "-X", "enable.idempotence=true", "-X", "message.timeout.ms=60000", stdin=text)
        read = self.kcat(address, "-C", "-t", "t", "-o", "beginning", "-e", "-q")
        self.assertEqual(sorted(read.splitlines()), sorted(text.splitlines() * 2))

    def test_what_is_not_acknowledged_holds_up_nothing(self):
        """Batches with acks 0 that are sent on: the connection's next answers leave, and a stop waits for nobody."""
        brokers = self.launch_together(3, options=GATEWAY)
        self.wait_coordinator(brokers)
        self.mesh("topic", "create", "t", "--partitions", "6", "--replicas", "3")
        self.until("the leaders are spread", lambda: len(set(self.leaders(brokers[0], "t").values())) == 3, *brokers)
        client = self.client(gateway_of(brokers[0]))
        self.until("it knows of the topic", lambda: client.metadata(["t"])[0]["t"] == (0, dict.fromkeys(range(6), ONE)), brokers[0])
        for partition in range(6):
            client.send(wire.PRODUCE, 7, wire.Client.produce_body("t", partition, wire.batch([b"x"]), acks=0))
        self.assertEqual(client.metadata(["t"])[0]["t"], (0, dict.fromkeys(range(6), ONE)))
        self.until("they are all there", lambda: sorted(self.mesh("consume", "t", "--until-end").out.split()) == [b"x"] * 6, *brokers)
        self.assertEqual(self.stop_all(), [])

    def test_committed_offsets_are_everybodys(self):
        brokers = self.launch_together(3, options=GATEWAY)
        self.wait_coordinator(brokers)
        text = b"\n".join(text_lines(500)) + b"\n"
        self.kcat(gateway_of(brokers[0]), "-P", "-t", "t", stdin=text)
        words = ("-t", "t", "-C", "-o", "stored", "-e", "-q", "-X", "group.id=g", "-X", "auto.offset.reset=earliest", "-X", "enable.auto.offset.store=true",
                 "-X", "auto.commit.interval.ms=100")
        first = self.kcat(gateway_of(brokers[1]), *words)
        self.assertEqual(first, text)
        self.assertEqual(self.kcat(gateway_of(brokers[2]), *words), b"")  # another gateway, the same group

    def test_what_is_advertised_is_what_clients_are_told(self):
        broker = self.start_broker(options=["--listen", "kafka-gateway://0.0.0.0:0", "--gateway-advertise", "balancer.example:19092"])
        self.assertEqual(gateway_of(broker), "balancer.example:19092")
        with open(os.path.join(broker.data, "ready.json"), encoding="utf-8") as file:
            self.assertEqual(json.load(file)["gateway"], "balancer.example:19092")
        with open(f"/proc/{broker.pid}/net/tcp", encoding="ascii") as file:
            rows = [line.split() for line in file][1:]
        inodes = set()
        for name in os.listdir(f"/proc/{broker.pid}/fd"):
            try:
                inodes.add(os.readlink(f"/proc/{broker.pid}/fd/{name}"))
            except FileNotFoundError:
                pass
        ports = {int(row[1].split(":")[1], 16) for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in inodes}
        port = (ports - {int(broker.address.rsplit(":", 1)[1])}).pop()
        self.assertEqual(self.client(f"127.0.0.1:{port}").metadata()[1], {ONE: ("balancer.example", 19092)})

    def test_the_gateway_speaks_nothing_but_kafka(self):
        broker = self.start_broker(options=GATEWAY)
        host, port = gateway_of(broker).rsplit(":", 1)
        for hello in (b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n", b"MESH" + bytes(60), struct.pack(">i", -1)):
            with socket.create_connection((host, int(port)), timeout=COMMAND_SECONDS) as connection:
                connection.sendall(hello)
                try:
                    self.assertEqual(connection.recv(1), b"")
                except ConnectionResetError:
                    pass
        self.assertIn(ONE, self.client(gateway_of(broker)).metadata()[1])
        self.assertEqual(broker.stop(), 0)

    def test_the_gateway_does_not_share_the_one_port(self):
        """The kernel would spread connections over both."""
        with socket.socket() as kept:  # bound, so that nobody else is given the port, and not listening, so that the broker may have it
            kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            kept.bind(("127.0.0.1", 0))
            port = kept.getsockname()[1]
            result = self.mesh("serve", "--data", self.path("d"), "--listen", f"127.0.0.1:{port},kafka-gateway://127.0.0.1:{port}", code=None)
            self.assertIn(b"needs a port of its own", result.err)
            self.assertEqual(result.code, 2)

    def test_what_cannot_be_listened_on_is_told(self):
        taken = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(taken.close)
        port = taken.getsockname()[1]
        for number, (options, code, said) in enumerate([
                (["--listen", f"kafka-gateway://127.0.0.1:{port}"], 1, "Kafka gateway: cannot listen on 127.0.0.1 port"),
                (["--listen", "kafka-gateway://nonsense"], 2, 'cannot listen on "nonsense"'),
                (["--listen", "kafka-gateway://"], 2, "is nothing to listen on"),
                (["--listen", "ftp://127.0.0.1:1"], 2, "is nothing to listen on"),
                (["--gateway-advertise", "x:1"], 2, "there is no Kafka gateway to be advertised"),
                ([*GATEWAY, "--gateway-advertise", "x:0"], 2, "cannot advertise the gateway"),
                (["--listen", "127.0.0.1:0,127.0.0.1:0"], 2, "names two addresses"),
                (["--listen", "kafka-gateway://127.0.0.1:0,kafka-gateway://127.0.0.1:0"], 2, "names two addresses"),
        ]):
            with self.subTest(options=options):
                result = self.mesh("serve", "--data", self.path(f"d{number}"), "--listen", "127.0.0.1:0", *options, code=None)
                self.assertEqual(result.code, code)
                self.assertIn(said, result.err.decode())


if __name__ == "__main__":
    main()
