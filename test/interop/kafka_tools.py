#!/usr/bin/env python3
"""Kafka's own tools, unchanged, against a mesh of three brokers.

usage: kafka_tools.py NAME RESULTS CLASSPATH      (test/interop/run installs them and starts this)"""
import json
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "test", "e2e"))
from keeper import run_and_keep  # noqa: E402
from mesh_case import MeshCase  # noqa: E402

PATIENCE_S = 180  # a limit is for what hangs


class KafkaTools(MeshCase):
    classpath = None

    def setUp(self):
        super().setUp()
        self.nodes = self.launch_together(3)
        self.wait_coordinator(self.nodes)
        self.servers = ",".join(broker.address for broker in self.nodes)

    def tool(self, name, *words, stdin=b"", code=0):
        done = subprocess.run(["java", "-Xmx256m", "-cp", self.classpath, f"org.apache.kafka.tools.{name}", "--bootstrap-server", self.servers, *map(str, words)],
                              input=stdin, capture_output=True, timeout=PATIENCE_S, check=False)
        said = f"{name}: exit {done.returncode}\n{done.stdout[-2000:].decode(errors='replace')}\n{done.stderr[-2000:].decode(errors='replace')}"
        self.assertEqual(done.returncode, code, said)
        return done.stdout.decode(errors="replace")

    def test_client_compatibility(self):
        self.mesh("topic", "create", "t", "--partitions", "1", "--replicas", "3")
        said = self.tool("ClientCompatibilityTest", "--topic", "t", "--num-cluster-nodes", 3, "--offsets-for-times-supported", "true", "--cluster-id-supported", "true",
                         "--expect-record-too-large-exception", "false", "--create-topics-supported", "true", "--describe-acls-supported", "false",
                         "--describe-configs-supported", "true", "--idempotent-producer-supported", "true")
        self.assertIn("SUCCESS", said)

    def test_topics(self):
        self.tool("TopicCommand", "--create", "--topic", "made", "--partitions", 3, "--replication-factor", 3)
        self.assertIn("made", self.tool("TopicCommand", "--list").split())
        self.tool("TopicCommand", "--alter", "--topic", "made", "--partitions", 5)
        described = self.tool("TopicCommand", "--describe", "--topic", "made")
        self.assertIn("PartitionCount: 5", described)
        self.assertIn("ReplicationFactor: 3", described)
        self.tool("TopicCommand", "--delete", "--topic", "made")
        self.assertNotIn("made", self.tool("TopicCommand", "--list").split())

    def test_console(self):
        lines = [b"line %d" % number for number in range(300)]
        self.tool("ConsoleProducer", "--topic", "t", stdin=b"\n".join(lines) + b"\n")
        read = self.tool("consumer.ConsoleConsumer", "--topic", "t", "--from-beginning", "--max-messages", len(lines), "--timeout-ms", PATIENCE_S * 500)
        self.assertEqual(sorted(read.split("\n")[:-1]), sorted(line.decode() for line in lines))

    def test_verifiable(self):
        sent = [json.loads(line) for line in self.tool("VerifiableProducer", "--topic", "t", "--max-messages", 2000).splitlines()]
        self.assertEqual(sum(row["name"] == "producer_send_success" for row in sent), 2000)
        read = [json.loads(line) for line in self.tool("VerifiableConsumer", "--topic", "t", "--group-id", "g", "--max-messages", 2000, "--reset-policy", "earliest").splitlines()]
        self.assertEqual(sum(row["count"] for row in read if row["name"] == "records_consumed"), 2000)

    def test_groups(self):
        self.test_verifiable()
        self.assertIn("g", self.tool("consumer.group.ConsumerGroupCommand", "--list").split())
        rows = [line.split() for line in self.tool("consumer.group.ConsumerGroupCommand", "--describe", "--group", "g").splitlines() if line.startswith("g ")]
        end = rows[0][4]  # 2000 and the records of leaders
        self.assertEqual([row[1:6] for row in rows], [["t", "0", end, end, "0"]])
        self.assertGreaterEqual(int(end), 2000)
        self.tool("consumer.group.ConsumerGroupCommand", "--reset-offsets", "--group", "g", "--topic", "t", "--to-offset", 500, "--execute")
        rows = [line.split() for line in self.tool("consumer.group.ConsumerGroupCommand", "--describe", "--group", "g").splitlines() if line.startswith("g ")]
        self.assertEqual([row[1:6] for row in rows], [["t", "0", "500", end, str(int(end) - 500)]])
        self.tool("consumer.group.ConsumerGroupCommand", "--delete", "--group", "g")
        self.assertNotIn("g", self.tool("consumer.group.ConsumerGroupCommand", "--list").split())

    def test_performance(self):
        said = self.tool("ProducerPerformance", "--topic", "t", "--num-records", 20000, "--record-size", 1024, "--throughput", -1)
        self.assertIn("20000 records sent", said)
        ends = dict(line.rsplit(":", 1) for line in self.tool("GetOffsetShell", "--topic", "t").split())
        self.assertGreaterEqual(int(ends["t:0"]), 20000)

    def test_api_versions(self):
        said = self.tool("BrokerApiVersionsCommand")
        self.assertEqual(said.count("(id: "), 3)
        self.assertNotIn("ERROR", said)


if __name__ == "__main__":
    NAME, RESULTS, KafkaTools.classpath = sys.argv[1:]
    run_and_keep(KafkaTools, NAME, RESULTS)
