"""confluent-kafka (librdkafka) as test/interop/matrix.py drives it (its head says how)."""
import sys

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

import lines

CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]


def produce(servers, topic, codec):
    errors = []
    producer = Producer({"bootstrap.servers": servers, "enable.idempotence": True, "compression.type": codec, "linger.ms": 20})
    for number, value in enumerate(lines.given()):
        producer.produce(topic, value, partition=number % lines.PARTITIONS, on_delivery=lambda error, _: errors.append(error) if error else None)
        producer.poll(0)
    if producer.flush(lines.SECONDS) != 0 or errors:
        sys.exit(f"not delivered: {errors[:3]}")


def open_consumer(servers, group):
    return Consumer({"bootstrap.servers": servers, "group.id": group, "auto.offset.reset": "earliest", "session.timeout.ms": lines.SESSION_MS,
                     "heartbeat.interval.ms": 1000, "enable.auto.commit": False, "partition.assignment.strategy": "cooperative-sticky"})


def values_of(messages):
    return [message.value() for message in messages if message.error() is None]


def consume(servers, topic, group):
    consumer = open_consumer(servers, group)
    consumer.subscribe([topic])
    while not lines.is_to_leave():
        values = values_of(consumer.consume(100, 0.2))
        lines.tell(values)
        if values:
            try:
                consumer.commit(asynchronous=False)
            except KafkaException:
                pass  # a rebalance came in between: what is not committed comes again
    consumer.close()


def seek(servers, topic, time_ms, count):
    consumer = open_consumer(servers, "seek")
    asked = [TopicPartition(topic, number, int(time_ms)) for number in range(lines.PARTITIONS)]
    found = consumer.offsets_for_times(asked, timeout=lines.SECONDS)
    missing = int(count)
    consumer.assign(found)
    while missing > 0:
        values = values_of(consumer.consume(100, 0.2))
        missing -= len(values)
        lines.tell(values)
    consumer.close()


def transaction(servers, topic):
    producer = Producer({"bootstrap.servers": servers, "transactional.id": "interop"})
    try:
        producer.init_transactions(lines.SECONDS / 4)
        producer.begin_transaction()
        producer.produce(topic, b"of a transaction")
        producer.commit_transaction(lines.SECONDS / 4)
    except KafkaException as error:
        print(f"refused: {error!r}")


lines.main(CODECS, produce, consume, seek, transaction, sys.argv)
