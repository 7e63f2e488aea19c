// Kafka's own client as test/interop/matrix.py drives it (its head says how).
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicBoolean;
import org.apache.kafka.clients.consumer.CommitFailedException;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.RebalanceInProgressException;

public class Client {
    static final int PARTITIONS = 4;
    static final Duration TURN = Duration.ofMillis(200);

    static Properties configured(String servers, String... settings) {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", servers);
        for (String side : new String[] {"key", "value"}) {
            properties.put(side + ".serializer", "org.apache.kafka.common.serialization.StringSerializer");
            properties.put(side + ".deserializer", "org.apache.kafka.common.serialization.StringDeserializer");
        }
        for (int i = 0; i < settings.length; i += 2) properties.put(settings[i], settings[i + 1]);
        return properties;
    }

    static void produce(String servers, String topic, String codec) throws Exception {
        List<Future<RecordMetadata>> sent = new ArrayList<>();
        try (KafkaProducer<String, String> producer = new KafkaProducer<>(configured(servers, "compression.type", codec, "linger.ms", "20"));
             BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8))) {
            int number = 0;
            for (String line = in.readLine(); line != null; line = in.readLine()) sent.add(producer.send(new ProducerRecord<>(topic, number++ % PARTITIONS, null, line)));
            for (Future<RecordMetadata> one : sent) one.get();
        }
    }

    static void tell(Iterable<ConsumerRecord<String, String>> records) {
        for (ConsumerRecord<String, String> record : records) System.out.println(record.value());
    }

    static void consume(String servers, String topic, String group) {
        AtomicBoolean isToLeave = new AtomicBoolean();
        Thread reader = new Thread(() -> {
            try {
                while (System.in.read() >= 0) { }
            } catch (IOException error) { /* the end as well */ }
            isToLeave.set(true);
        });
        reader.setDaemon(true);
        reader.start();
        try (KafkaConsumer<String, String> consumer = new KafkaConsumer<>(configured(servers, "group.id", group, "auto.offset.reset", "earliest",
                "enable.auto.commit", "false", "session.timeout.ms", "6000", "heartbeat.interval.ms", "1000"))) {
            consumer.subscribe(List.of(topic));
            while (!isToLeave.get()) {
                tell(consumer.poll(TURN));
                try {
                    consumer.commitSync();
                } catch (CommitFailedException | RebalanceInProgressException error) { /* what is not committed comes again */ }
            }
        }
    }

    static void seek(String servers, String topic, String timeMs, String count) {
        try (KafkaConsumer<String, String> consumer = new KafkaConsumer<>(configured(servers, "enable.auto.commit", "false"))) {
            Map<TopicPartition, Long> asked = new HashMap<>();
            for (int number = 0; number < PARTITIONS; number++) asked.put(new TopicPartition(topic, number), Long.valueOf(timeMs));
            Map<TopicPartition, OffsetAndTimestamp> begins = consumer.offsetsForTimes(asked);
            Map<TopicPartition, Long> ends = consumer.endOffsets(asked.keySet());
            consumer.assign(asked.keySet());
            for (TopicPartition partition : asked.keySet())
                consumer.seek(partition, begins.get(partition) == null ? ends.get(partition) : begins.get(partition).offset());
            for (int missing = Integer.parseInt(count); missing > 0; ) {
                ConsumerRecords<String, String> records = consumer.poll(TURN);
                tell(records);
                missing -= records.count();
            }
        }
    }

    static void transaction(String servers, String topic) throws Exception {
        try (KafkaProducer<String, String> producer = new KafkaProducer<>(configured(servers, "transactional.id", "interop", "max.block.ms", "30000"))) {
            producer.initTransactions();
            producer.beginTransaction();
            producer.send(new ProducerRecord<>(topic, "of a transaction")).get();
            producer.commitTransaction();
        } catch (KafkaException error) {
            System.out.println("refused: " + error);
        }
    }

    public static void main(String[] words) throws Exception {
        switch (words[0]) {
        case "codecs": System.out.println("none gzip snappy lz4 zstd"); break;
        case "produce": produce(words[1], words[2], words[3]); break;
        case "consume": consume(words[1], words[2], words[3]); break;
        case "seek": seek(words[1], words[2], words[3], words[4]); break;
        case "transaction": transaction(words[1], words[2]); break;
        default: throw new IllegalArgumentException(words[0]);
        }
    }
}
