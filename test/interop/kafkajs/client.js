// kafkajs as test/interop/matrix.py drives it (its head says how).
'use strict'
const fs = require('fs')
const { Kafka, CompressionTypes, CompressionCodecs, logLevel } = require('kafkajs')

CompressionCodecs[CompressionTypes.Snappy] = require('kafkajs-snappy')

const PARTITIONS = 4
const SESSION_MS = 6000
const CODECS = { none: CompressionTypes.None, gzip: CompressionTypes.GZIP, snappy: CompressionTypes.Snappy }

const open = (servers) => new Kafka({ clientId: 'interop', brokers: servers.split(','), logLevel: logLevel.ERROR, retry: { retries: 30, maxRetryTime: 5000 } })
const given = () => fs.readFileSync(0, 'utf8').split('\n').slice(0, -1)

async function produce (servers, topic, codec) {
  const producer = open(servers).producer({ idempotent: true, maxInFlightRequests: 1 })
  await producer.connect()
  const messages = given().map((value, number) => ({ value, partition: number % PARTITIONS }))
  for (let i = 0; i < messages.length; i += 100) await producer.send({ topic, acks: -1, compression: CODECS[codec], messages: messages.slice(i, i + 100) })
  await producer.disconnect()
}

async function consume (servers, topic, groupId) {
  const consumer = open(servers).consumer({ groupId, sessionTimeout: SESSION_MS, rebalanceTimeout: SESSION_MS, heartbeatInterval: 1000 })
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  await consumer.run({ eachMessage: async ({ message }) => { process.stdout.write(message.value.toString() + '\n') } })
  process.stdin.resume()
  await new Promise((resolve) => process.stdin.on('end', resolve))
  await consumer.disconnect()
}

async function seek (servers, topic, timeMs, count) {
  const kafka = open(servers)
  const admin = kafka.admin()
  await admin.connect()
  const begins = await admin.fetchTopicOffsetsByTimestamp(topic, Number(timeMs))
  let missing = Number(count)
  await admin.disconnect()
  const consumer = kafka.consumer({ groupId: 'seek', sessionTimeout: SESSION_MS })
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  const first = Object.fromEntries(begins.map(({ partition, offset }) => [partition, Number(offset)]))
  await new Promise((resolve, reject) => {
    consumer.run({
      eachMessage: async ({ partition, message }) => { // those that were on their way when it sought are before that
        if (Number(message.offset) < first[partition]) return
        process.stdout.write(message.value.toString() + '\n')
        if (--missing === 0) resolve()
      }
    }).catch(reject)
    for (const { partition, offset } of begins) consumer.seek({ topic, partition, offset })
  })
  await consumer.disconnect()
}

async function transaction (servers, topic) {
  const producer = new Kafka({ brokers: servers.split(','), logLevel: logLevel.NOTHING, retry: { retries: 2 } }).producer({ transactionalId: 'interop', maxInFlightRequests: 1, idempotent: true })
  try {
    await producer.connect()
    const begun = await producer.transaction()
    await begun.send({ topic, messages: [{ value: 'of a transaction' }] })
    await begun.commit()
  } catch (error) {
    console.log(`refused: ${error.name}: ${error.message}`)
  }
  await producer.disconnect()
}

async function main ([what, ...words]) {
  if (what === 'codecs') console.log(Object.keys(CODECS).join(' '))
  else await { produce, consume, seek, transaction }[what](...words)
}

main(process.argv.slice(2)).then(() => process.exit(0), (error) => { console.error(error); process.exit(1) })
