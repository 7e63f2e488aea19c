// @platformatic/kafka as test/interop/matrix.py drives it (its head says how).
import fs from 'node:fs'
import { Consumer, Producer, compressionsAlgorithms } from '@platformatic/kafka'

const PARTITIONS = 4
const SESSION_MS = 6000
const FETCH_WAIT_MS = 500

const base = (servers) => ({ clientId: 'interop', bootstrapBrokers: servers.split(','), retries: 60, retryDelay: 500 })
const given = () => fs.readFileSync(0, 'utf8').split('\n').slice(0, -1)
const tell = (message) => process.stdout.write(message.value.toString() + '\n')
const open = (servers, groupId) => new Consumer({ ...base(servers), groupId, sessionTimeout: SESSION_MS, rebalanceTimeout: SESSION_MS, heartbeatInterval: 1000, maxWaitTime: FETCH_WAIT_MS })

async function produce (servers, topic, compression) {
  const producer = new Producer({ ...base(servers), idempotent: true })
  const messages = given().map((value, number) => ({ topic, value: Buffer.from(value), partition: number % PARTITIONS }))
  for (let i = 0; i < messages.length; i += 100) await producer.send({ messages: messages.slice(i, i + 100), compression })
  await producer.close()
}

async function consume (servers, topic, groupId) {
  const consumer = open(servers, groupId)
  consumer.on('consumer:heartbeat:error', ({ error }) => console.error(`heartbeat: ${error.message}`))
  const stream = await consumer.consume({ topics: [topic], autocommit: true, mode: 'committed', fallbackMode: 'earliest' })
  stream.on('data', tell)
  const failed = new Promise((resolve, reject) => stream.on('error', reject))
  process.stdin.resume()
  await Promise.race([failed, new Promise((resolve) => process.stdin.on('end', resolve))])
  await stream.close()
  await consumer.close(true)
}

async function seek (servers, topic, timeMs, count) {
  const consumer = open(servers, 'seek')
  const partitions = { [topic]: Array.from({ length: PARTITIONS }, (_, number) => number) }
  const begins = (await consumer.listOffsets({ topics: [topic], partitions, timestamp: BigInt(timeMs) })).get(topic)
  const ends = (await consumer.listOffsets({ topics: [topic], partitions, timestamp: -1n })).get(topic)
  let missing = Number(count)
  const offsets = ends.map((end, partition) => ({ topic, partition, offset: begins[partition] < 0n ? end : begins[partition] }))
  const stream = await consumer.consume({ topics: [topic], mode: 'manual', offsets, autocommit: false })
  for await (const message of stream) {
    tell(message)
    if (--missing === 0) break
  }
  await consumer.close(true)
}

async function transaction (servers, topic) {
  const producer = new Producer({ ...base(servers), retries: 2, idempotent: true, transactionalId: 'interop' })
  try {
    const begun = await producer.beginTransaction()
    await begun.send({ messages: [{ topic, value: Buffer.from('of a transaction') }] })
    await begun.commit()
  } catch (error) {
    console.log(`refused: ${error.code}: ${error.message}: ${(error.errors ?? []).map((one) => one.message).join(', ')}`)
  }
  await producer.close(true).catch(() => {})
}

const [what, ...words] = process.argv.slice(2)
if (what === 'codecs') console.log(Object.keys(compressionsAlgorithms).filter((name) => compressionsAlgorithms[name].available).join(' '))
else await { produce, consume, seek, transaction }[what](...words)
process.exit(0)
