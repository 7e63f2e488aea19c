#!/usr/bin/env python3
"""There are no transactions: each request that belongs to one is refused in words that its client knows, or is not offered, and nothing of it remains."""
import struct

import kafka_wire_groups as wire
from harness import Case, main
from kafka_wire import API_VERSIONS, INIT_PRODUCER_ID, PRODUCE, batch, crc32c

FIND_COORDINATOR = 10
# AddPartitionsToTxn, AddOffsetsToTxn, EndTxn, WriteTxnMarkers, TxnOffsetCommit, DescribeTransactions, ListTransactions
OF_TRANSACTIONS_ALONE = {24: 5, 25: 4, 26: 5, 27: 1, 28: 5, 65: 0, 66: 1}  # key: newest version
UNSUPPORTED_VERSION = 35
INVALID_RECORD = 87
TRANSACTIONAL = 0x10


def transactional(records):
    """The batch, as a part of a transaction."""
    checked = bytearray(records[21:])
    checked[1] |= TRANSACTIONAL
    return records[:17] + struct.pack(">I", crc32c(bytes(checked))) + bytes(checked)


class KafkaTransactions(Case):
    def setUp(self):
        super().setUp()
        self.start_broker()
        self.mesh("topic", "create", "t")

    def client(self):
        connection = self.connect(seconds=60)
        self.addCleanup(connection.close)
        return wire.Client(connection)

    def offers(self):
        """{key: newest version}"""
        answer = self.client().ask(API_VERSIONS, 0, b"")
        self.assertEqual(answer.take("h"), 0)
        return {key: newest for key, _, newest in answer.array(lambda: answer.take("hhh"))}

    def end(self):
        return self.mesh("topic", "describe", "t", "--json").json["partitions"][0]["high_watermark"]

    def test_no_id_for_a_transactional_producer(self):
        client = self.client()
        for version in range(self.offers()[INIT_PRODUCER_ID] + 1):
            for name, refused in (("tx", True), ("", True), (None, False)):
                with self.subTest(version=version, name=name):
                    answer = client.call(INIT_PRODUCER_ID, version, 2,
                                         lambda f, n=name, v=version: f.string(n) + struct.pack(">i", 60000) + (struct.pack(">qh", -1, -1) if v >= 3 else b""))
                    error, producer, epoch = answer.take("hqh")
                    self.assertEqual(error, UNSUPPORTED_VERSION if refused else 0)
                    self.assertEqual((producer >= 0, epoch >= 0), (not refused, not refused))

    def test_no_coordinator_of_transactions(self):
        client = self.client()
        for version in range(1, self.offers()[FIND_COORDINATOR] + 1):
            with self.subTest(version=version):
                answer = client.call(FIND_COORDINATOR, version, 3, lambda f, v=version: f.string("tx") + b"\1" if v < 4 else b"\1" + f.array([f.string("tx"), f.string("ty")]))
                if version < 4:
                    error, text = answer.take("h"), answer.string()
                    self.assertEqual(error, UNSUPPORTED_VERSION)
                    self.assertIn("transactions", text)
                    continue

                def each(told=answer):
                    key, _, _, _ = told.string(), told.take("i"), told.string(), told.take("i")
                    error, text = told.take("h"), told.string()
                    self.assertEqual(error, UNSUPPORTED_VERSION)
                    self.assertIn("transactions", text)
                    return key
                self.assertEqual(answer.array(each), ["tx", "ty"])

    def produce(self, client, version, name, records):
        """The error of the only partition."""
        answer = client.call(PRODUCE, version, 9, lambda f: f.string(name) + struct.pack(">hi", -1, 30000) + f.array(
            [f.string("t") + f.array([struct.pack(">i", 0) + f.bytes(records) + f.end]) + f.end]), is_throttled=False)
        errors = []

        def partition():
            _, error, _, _ = answer.take("ihqq")
            if version >= 5:
                answer.take("q")
            if version >= 8:
                self.assertEqual(answer.array(lambda: (answer.take("i"), answer.string())), [])
                answer.string()
            errors.append(error)
        answer.array(lambda: (answer.string(), answer.array(partition)))
        return errors[0]

    def test_no_records_of_a_transaction(self):
        client = self.client()
        for version in range(3, 13):
            with self.subTest(version=version):
                before = self.end()
                self.assertEqual(self.produce(client, version, "tx", batch([b"x"])), UNSUPPORTED_VERSION)
                self.assertEqual(self.produce(client, version, "tx", transactional(batch([b"x"], producer=(7, 0, 0)))), UNSUPPORTED_VERSION)
                self.assertEqual(self.produce(client, version, None, transactional(batch([b"x"], producer=(7, 0, 0)))), INVALID_RECORD)
                self.assertEqual(self.end(), before)
                self.assertEqual(self.produce(client, version, None, batch([b"x"])), 0)  # the connection goes on, and its records
                self.assertEqual(self.end(), before + 1)

    def test_the_rest_is_not_offered_and_ends_its_connection_alone(self):
        other, offers = self.client(), self.offers()
        for key, newest in OF_TRANSACTIONS_ALONE.items():
            self.assertNotIn(key, offers)
            for version in range(newest + 1):
                with self.subTest(key=key, version=version):
                    client = self.client()
                    client.send(API_VERSIONS, 0, b"")
                    client.send(key, version, bytes(64))
                    client.receive()  # what was asked before is answered
                    self.assertTrue(client.is_closed())
        self.assertEqual(other.metadata()[0]["t"][0], 0)


if __name__ == "__main__":
    main()
