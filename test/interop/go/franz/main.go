// franz-go as test/interop/matrix.py drives it (its head says how).
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"mesh.example/interop/lines"
)

var codecs = map[string]kgo.CompressionCodec{
	"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
}

func open(servers string, options ...kgo.Opt) *kgo.Client {
	client, err := kgo.NewClient(append(options, kgo.SeedBrokers(strings.Split(servers, ",")...))...)
	lines.Check(err)
	return client
}

func produce(servers, topic, codec string) {
	client := open(servers, kgo.ProducerBatchCompression(codecs[codec]), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(20*time.Millisecond))
	var records []*kgo.Record
	for number, value := range lines.Given() {
		records = append(records, &kgo.Record{Topic: topic, Partition: int32(number % lines.Partitions), Value: []byte(value)})
	}
	ctx, stop := context.WithTimeout(context.Background(), lines.Patience)
	defer stop()
	lines.Check(client.ProduceSync(ctx, records...).FirstErr())
	client.Close()
}

func consume(servers, topic, group string) {
	client := open(servers, kgo.ConsumeTopics(topic), kgo.ConsumerGroup(group), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit(),
		kgo.SessionTimeout(lines.Session), kgo.HeartbeatInterval(time.Second))
	ctx, stop := context.WithCancel(context.Background())
	go func() { <-lines.Left(); stop() }()
	for ctx.Err() == nil {
		client.PollFetches(ctx).EachRecord(func(record *kgo.Record) { lines.Tell(record.Value) })
		if err := client.CommitUncommittedOffsets(ctx); err != nil && ctx.Err() == nil {
			fmt.Fprintln(os.Stderr, "not committed, so it comes again:", err)
		}
	}
	client.Close() // leaves
}

func seek(servers, topic, timeMs, count string) {
	ms, err := strconv.ParseInt(timeMs, 10, 64)
	lines.Check(err)
	ctx, stop := context.WithTimeout(context.Background(), lines.Patience)
	defer stop()
	admin := kadm.NewClient(open(servers))
	begins, err := admin.ListOffsetsAfterMilli(ctx, ms, topic)
	lines.Check(err)
	missing, err := strconv.Atoi(count)
	lines.Check(err)
	from := map[int32]kgo.Offset{}
	begins.Each(func(begin kadm.ListedOffset) {
		from[begin.Partition] = kgo.NewOffset().At(begin.Offset)
	})
	client := open(servers, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}))
	for missing > 0 {
		fetches := client.PollFetches(ctx)
		lines.Check(ctx.Err())
		fetches.EachRecord(func(record *kgo.Record) { lines.Tell(record.Value); missing-- })
	}
	client.Close()
}

func transaction(servers, topic string) {
	ctx, stop := context.WithTimeout(context.Background(), lines.Patience)
	defer stop()
	client := open(servers, kgo.TransactionalID("interop"), kgo.RequestRetries(3))
	err := client.BeginTransaction()
	if err == nil {
		err = client.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte("of a transaction")}).FirstErr()
	}
	if err == nil {
		err = client.EndTransaction(ctx, kgo.TryCommit)
	}
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
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
