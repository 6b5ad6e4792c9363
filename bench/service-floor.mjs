// What cannot be avoided: bare node:http, the inserts of a message in one transaction per turn of the event loop,
// synced to the disk. No checks, no tokens, no keys.
import { createServer } from 'node:http'

const [path, port] = process.argv.slice(2)
const builtin = process.getBuiltinModule?.('node:sqlite')
const database = builtin ? new builtin.DatabaseSync(path) : new (await import('libsql')).default(path)
for (const pragma of ['locking_mode=exclusive', 'journal_mode=wal', 'synchronous=full'])
  database.exec(`pragma ${pragma}`)
database.exec(`create table conversation (id text primary key, last_seq bigint not null);
  create table message (conversation_id text not null, seq bigint not null, id text not null unique, idem_key text, body text,
    primary key (conversation_id, seq)); create unique index message_idem on message(conversation_id, idem_key);
  insert into conversation values ('one', 0)`)
const [count, insert] = [
  database.prepare('update conversation set last_seq = last_seq + 1 where id = ? returning last_seq'),
  database.prepare('insert into message values (?, ?, ?, ?, ?)'),
]
let batch = []
const commit = () => {
  const jobs = batch
  batch = []
  database.exec('begin immediate')
  for (const job of jobs) {
    job.seq = count.all('one')[0].last_seq
    insert.run('one', job.seq, job.id, job.key, job.body)
  }
  database.exec('commit')
  for (const { response, id, seq } of jobs) {
    response.writeHead(201, { 'content-type': 'application/json' }).end(JSON.stringify({ id, seq, at: Date.now() }))
  }
}
createServer((request, response) => {
  let body = ''
  request.setEncoding('utf8').on('data', (chunk) => {
    body += chunk
  })
  request.on('end', () => {
    if (batch.length === 0) setImmediate(commit)
    batch.push({
      response,
      id: crypto.randomUUID(),
      key: request.headers['idempotency-key'],
      body: JSON.stringify(JSON.parse(body)),
    })
  })
}).listen(Number(port), '127.0.0.1', () => console.log('ready'))
