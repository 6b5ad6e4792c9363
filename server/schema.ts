// The tables, as numbered migrations in the SQL that SQLite and PostgreSQL share. A migration is never
// changed once released, and only adds: an older node may still be at work beside it.
import type { Driver } from './drivers/driver.ts'

export const MIGRATIONS: readonly string[] = [
  `
create table session (
  id text primary key, deployment_id text not null, user_id text, epoch bigint not null default 1,
  state text not null default 'active' check (state in ('active','expired','ended','archived')),
  snapshot text, snapshot_at bigint,
  created_at bigint not null, seen_at bigint not null, expires_at bigint not null);
create index session_expiry on session(expires_at) where state = 'active';
create table refresh_family (
  id text primary key, session_id text not null references session(id), open_key text unique,
  generation bigint not null, key_hash text, confirmed_at bigint,
  replays bigint not null, replays_since bigint not null,
  expires_at bigint not null, revoked_at bigint, revoke_reason text);
create index refresh_family_session on refresh_family(session_id);
create table conversation (
  id text primary key, session_id text not null references session(id), deployment_id text not null,
  channel_id text not null,
  state text not null default 'pending' check (state in ('pending','active','closed','expired','archived')),
  previous_id text references conversation(id),
  last_seq bigint not null default 0, version bigint not null default 1,
  attributes text not null, routing text not null,
  created_at bigint not null, updated_at bigint not null, ended_at bigint);
create unique index conversation_one_open on conversation(session_id) where state in ('pending','active');
create index conversation_session on conversation(session_id, created_at);
create index conversation_activity on conversation(deployment_id, state, updated_at);
create table participant (
  conversation_id text not null references conversation(id), id text not null, role text not null,
  session_id text, agent_id text, name text, joined_at bigint not null, left_at bigint,
  primary key (conversation_id, id));
create table message (
  conversation_id text not null references conversation(id), seq bigint not null,
  id text not null unique, sender text not null, role text not null, agent_id text,
  idem_key text, request_hash text, body text not null, created_at bigint not null,
  primary key (conversation_id, seq));
create unique index message_idem on message(conversation_id, sender, idem_key) where idem_key is not null;
create table idempotency (
  scope text not null, key text not null, request_hash text not null,
  status bigint not null, response text not null, expires_at bigint not null, primary key (scope, key));
create index idempotency_expiry on idempotency(expires_at);
create table context (
  scope text not null, name text not null, version bigint not null, value text,
  updated_at bigint not null, primary key (scope, name));
`,
  `
alter table refresh_family add column epoch bigint not null default 1;
alter table refresh_family add column used_at bigint not null default 0;
alter table conversation add column resumed_from text;
create index conversation_retired on conversation(ended_at) where state = 'archived';
create table user_session (
  deployment_id text not null, user_id text not null, session_id text not null references session(id),
  primary key (deployment_id, user_id));
create table conversation_link (
  conversation_id text not null references conversation(id), other_id text not null references conversation(id),
  kind text not null, created_at bigint not null, primary key (conversation_id, other_id));
create table snapshot_push (
  id text primary key, deployment_id text not null, session_id text not null, conversation_id text,
  event text not null, created_at bigint not null, due_at bigint not null, attempts bigint not null,
  state text not null check (state in ('waiting','dead')), reason text);
create index snapshot_push_due on snapshot_push(due_at) where state = 'waiting';
create table writer_lease (
  scope text not null, name text not null, holder text not null, fence bigint not null,
  expires_at bigint not null, primary key (scope, name));
`,
  `
create index session_retired on session(expires_at) where state <> 'active';
create index conversation_previous on conversation(previous_id) where previous_id is not null;
`,
  `
create table key_ring (id bigint primary key check (id = 1), ring text not null, updated_at bigint not null);
create index conversation_change on conversation(deployment_id, updated_at);
`,
  `
create table attachment (
  id text primary key, conversation_id text not null references conversation(id), idem_key text not null,
  name text not null, type text not null, size bigint not null, received bigint not null,
  created_at bigint not null, confirmed_at bigint, message_key text);
create unique index attachment_idem on attachment(conversation_id, idem_key);
`,
  `
create table attachment_part (name text primary key, body text not null);
`,
  `
alter table conversation add column previous_state text;
`,
  `
alter table conversation add column agent_delivered bigint not null default 0;
alter table conversation add column agent_read bigint not null default 0;
alter table conversation add column customer_delivered bigint not null default 0;
alter table conversation add column customer_read bigint not null default 0;
`,
  `
alter table session add column former_user_id text;
`,
  `
create index attachment_unfinished on attachment(created_at) where confirmed_at is null;
`,
]

export const SCHEMA_VERSION = MIGRATIONS.length

/**
 * Brings the tables to this version, one node at a time. A store that is ahead of this program is left alone and
 * refused. All steps are one transaction: a start that is killed here leaves no half of a migration behind.
 */
export async function migrate(driver: Driver, migrations = MIGRATIONS): Promise<void> {
  const newest = migrations.length
  await driver.migration(async (q) => {
    await q('create table if not exists schema_version (version bigint primary key)')
    const rows = await q('select max(version) as version from schema_version')
    const present = Number(rows[0]?.['version'] ?? 0)
    if (present > newest) {
      throw new Error(`The store has schema ${present}, this program knows ${newest}: start the newer program.`)
    }
    for (let version = present + 1; version <= newest; version++) {
      for (const statement of statementsOf(migrations[version - 1] ?? '')) await q(statement)
      await q('insert into schema_version (version) values ($1)', [version])
    }
  })
}

/** No statement of a migration has a semicolon inside. */
function statementsOf(migration: string): string[] {
  return migration.split(';').filter((statement) => statement.trim() !== '')
}
