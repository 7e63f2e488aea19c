"""kafka-python as test/interop/matrix.py drives it (its head says how)."""
import sys

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import CommitFailedError, KafkaError

import lines

CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]


def produce(servers, topic, codec):
    producer = KafkaProducer(bootstrap_servers=servers.split(","), acks="all", compression_type=None if codec == "none" else codec, retries=100)
    sent = [producer.send(topic, value, partition=number % lines.PARTITIONS) for number, value in enumerate(lines.given())]
    producer.flush(lines.SECONDS)
    for future in sent:
        future.get(lines.SECONDS)
    producer.close()


def consume(servers, topic, group):
    consumer = KafkaConsumer(topic, bootstrap_servers=servers.split(","), group_id=group, auto_offset_reset="earliest", session_timeout_ms=lines.SESSION_MS,
                             heartbeat_interval_ms=1000, enable_auto_commit=False)
    while not lines.is_to_leave():
        values = [record.value for records in consumer.poll(timeout_ms=200).values() for record in records]
        lines.tell(values)
        if values:
            try:
                consumer.commit()
            except CommitFailedError:
                pass  # a rebalance came in between: what is not committed comes again
    consumer.close()


def seek(servers, topic, time_ms, count):
    consumer = KafkaConsumer(bootstrap_servers=servers.split(","), enable_auto_commit=False)
    partitions = [TopicPartition(topic, number) for number in range(lines.PARTITIONS)]
    consumer.assign(partitions)
    ends, begins = consumer.end_offsets(partitions), consumer.offsets_for_times(dict.fromkeys(partitions, int(time_ms)))
    for partition in partitions:
        consumer.seek(partition, begins[partition].offset if begins[partition] else ends[partition])
    missing = int(count)
    while missing > 0:
        values = [record.value for records in consumer.poll(timeout_ms=200).values() for record in records]
        missing -= len(values)
        lines.tell(values)
    consumer.close()


def transaction(servers, topic):
    try:
        producer = KafkaProducer(bootstrap_servers=servers.split(","), transactional_id="interop")
    except AssertionError:
        print("absent")  # before 2.1
        return
    try:
        producer.init_transactions()
        producer.begin_transaction()
        producer.send(topic, b"of a transaction").get(lines.SECONDS)
    except KafkaError as error:
        print(f"refused: {error!r}")


lines.main(CODECS, produce, consume, seek, transaction, sys.argv)
