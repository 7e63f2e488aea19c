// sarama as test/interop/matrix.py drives it (its head says how).
package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/IBM/sarama"

	"mesh.example/interop/lines"
)

var codecs = map[string]sarama.CompressionCodec{
	"none": sarama.CompressionNone, "gzip": sarama.CompressionGZIP, "snappy": sarama.CompressionSnappy, "lz4": sarama.CompressionLZ4, "zstd": sarama.CompressionZSTD,
}

func configured() *sarama.Config {
	config := sarama.NewConfig()
	config.Version = sarama.V3_6_0_0
	config.Metadata.Retry.Max = 60
	config.Producer.RequiredAcks = sarama.WaitForAll
	config.Producer.Retry.Max = 60
	config.Producer.Return.Successes = true
	config.Producer.Partitioner = sarama.NewManualPartitioner
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	config.Consumer.Offsets.AutoCommit.Interval = 200 * time.Millisecond
	config.Consumer.Group.Session.Timeout = lines.Session
	config.Consumer.Group.Heartbeat.Interval = time.Second
	return config
}

func produce(servers, topic, codec string) {
	config := configured()
	config.Producer.Compression = codecs[codec]
	producer, err := sarama.NewSyncProducer(strings.Split(servers, ","), config)
	lines.Check(err)
	var messages []*sarama.ProducerMessage
	for number, value := range lines.Given() {
		messages = append(messages, &sarama.ProducerMessage{Topic: topic, Partition: int32(number % lines.Partitions), Value: sarama.StringEncoder(value)})
	}
	lines.Check(producer.SendMessages(messages))
	lines.Check(producer.Close())
}

type handler struct{}

func (handler) Setup(sarama.ConsumerGroupSession) error   { return nil }
func (handler) Cleanup(sarama.ConsumerGroupSession) error { return nil }
func (handler) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for {
		select {
		case message, isOpen := <-claim.Messages():
			if !isOpen {
				return nil
			}
			lines.Tell(message.Value)
			session.MarkMessage(message, "")
		case <-session.Context().Done():
			return nil
		}
	}
}

func consume(servers, topic, group string) {
	member, err := sarama.NewConsumerGroup(strings.Split(servers, ","), group, configured())
	lines.Check(err)
	ctx, stop := context.WithCancel(context.Background())
	go func() { <-lines.Left(); stop() }()
	for ctx.Err() == nil { // each rebalance ends one
		if err := member.Consume(ctx, []string{topic}, handler{}); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
	lines.Check(member.Close())
}

func seek(servers, topic, timeMs, count string) {
	ms, err := strconv.ParseInt(timeMs, 10, 64)
	lines.Check(err)
	missing, err := strconv.Atoi(count)
	lines.Check(err)
	client, err := sarama.NewClient(strings.Split(servers, ","), configured())
	lines.Check(err)
	consumer, err := sarama.NewConsumerFromClient(client)
	lines.Check(err)
	all := make(chan []byte)
	for partition := int32(0); partition < lines.Partitions; partition++ {
		begin, err := client.GetOffset(topic, partition, ms)
		lines.Check(err)
		if begin < 0 {
			continue
		}
		from, err := consumer.ConsumePartition(topic, partition, begin)
		lines.Check(err)
		go func() {
			for message := range from.Messages() {
				all <- message.Value
			}
		}()
	}
	for ; missing > 0; missing-- {
		lines.Tell(<-all)
	}
}

func transaction(servers, topic string) {
	config := configured()
	config.Producer.Idempotent = true
	config.Net.MaxOpenRequests = 1
	config.Producer.Transaction.ID = "interop"
	config.Producer.Transaction.Retry.Max = 2
	producer, err := sarama.NewSyncProducer(strings.Split(servers, ","), config)
	if err == nil {
		err = producer.BeginTxn()
	}
	if err == nil {
		_, _, err = producer.SendMessage(&sarama.ProducerMessage{Topic: topic, Value: sarama.StringEncoder("of a transaction")})
	}
	if err == nil {
		err = producer.CommitTxn()
	}
	if err != nil {
		fmt.Println("refused:", err)
	}
}

func main() {
	words := os.Args[1:]
	switch words[0] {
	case "codecs":
		fmt.Println("none gzip snappy lz4 zstd")
	case "produce":
		produce(words[1], words[2], words[3])
	case "consume":
		consume(words[1], words[2], words[3])
	case "seek":
		seek(words[1], words[2], words[3], words[4])
	case "transaction":
		transaction(words[1], words[2])
	}
}
