import { DomainError } from '../../../common/errors/domain-error';
import { POLICY_KINDS } from '../../networking/domain/policy';
import type { RegistryState, SandboxRecord, SnapshotRecord, WorkspaceRecord } from './records';

type Json = Record<string, unknown>;

/** What a member must be; `absent` is what an old file without it means. */
interface Field {
  readonly expected: string;
  readonly accepts: (value: unknown) => boolean;
  readonly absent?: unknown;
  readonly optional?: boolean;
}

const isText = (value: unknown): boolean => typeof value === 'string';
const isCount = (value: unknown): boolean =>
  typeof value === 'number' && Number.isInteger(value) && value >= 0;
const isFlag = (value: unknown): boolean => typeof value === 'boolean';
const isCounts = (value: unknown): boolean => isObject(value) && Object.values(value).every(isCount);
const isTexts = (value: unknown): boolean => Array.isArray(value) && value.every(isText);
const isOneOf =
  (...words: string[]) =>
  (value: unknown): boolean =>
    words.some((word) => word === value);

const isPolicy = isOneOf(...POLICY_KINDS);

const text: Field = { expected: 'a string', accepts: isText };
const count: Field = { expected: 'an unsigned integer', accepts: isCount };
const flag: Field = { expected: 'true or false', accepts: isFlag };
const optional = (field: Field): Field => ({ ...field, optional: true });
const nullable = (field: Field): Field => ({
  expected: `${field.expected} or null`,
  accepts: (value) => value === null || field.accepts(value),
  absent: null,
});

const SNAPSHOT: Readonly<Record<keyof SnapshotRecord, Field>> = {
  tag: text,
  dir: text,
  created_at_unix: count,
  branched_from: optional(text),
  pause_ms: optional(count),
  diff_ms: optional(count),
  diff_physical_bytes: optional(count),
  diff_logical_bytes: optional(count),
  status: {
    expected: 'writing, ready or failed',
    accepts: isOneOf('writing', 'ready', 'failed'),
    absent: 'ready',
  },
  bootable: { ...flag, absent: true },
  warning: optional(text),
};

const SANDBOX: Readonly<Record<keyof SandboxRecord, Field>> = {
  id: text,
  snapshot_tag: text,
  netns: nullable(text),
  guest_addr: text,
  created_at_unix: count,
  pid: nullable(count),
  memory_limit_mib: nullable(count),
  has_branched: { ...flag, absent: false },
  last_branch_memory_path: nullable(text),
  branch_count: { ...count, absent: 0 },
  network: optional({
    expected: 'an object with policy and address',
    accepts: (value) =>
      isObject(value) &&
      isText(value['address']) &&
      isPolicy(value['policy']) &&
      (value['allow'] === undefined || isTexts(value['allow'])),
  }),
  status: optional({ expected: 'dead', accepts: isOneOf('dead') }),
  status_reason: optional(text),
  oom_killed: optional({ expected: 'true', accepts: (value) => value === true }),
  cpu_limit: optional({ expected: 'a number', accepts: (value) => typeof value === 'number' && value > 0 }),
  pids_limit: optional(count),
  io_limits: optional({ expected: 'an object of unsigned integers', accepts: isCounts }),
  disk_limit_mib: optional(count),
  limits_not_enforced: optional({ expected: 'an array of strings', accepts: isTexts }),
};

const WORKSPACE: Readonly<Record<keyof WorkspaceRecord, Field>> = {
  id: text,
  name: text,
  source_snapshot_tag: text,
  status: {
    expected: 'running, suspended or stale',
    accepts: isOneOf('running', 'suspended', 'stale'),
  },
  created_at_unix: count,
  last_active_unix: count,
  current_state_tag: optional(text),
  live_sandbox_id: optional(text),
  last_branch_memory_path: optional(text),
  per_child_netns: optional(flag),
  memory_limit_mib: optional(count),
};

/**
 * Reads the registry's text. Absent maps are empty, absent members of old files get their defaults, members that this
 * version does not know are kept, in records and beside the maps.
 *
 * @throws DomainError `invalid` saying what is wrong where; also for JSON that is no registry at all, as an empty registry
 * would have the VMs of this host killed, and for a format that a newer version calls another.
 */
export function parseState(source: string): RegistryState {
  let root: unknown;
  try {
    root = JSON.parse(source);
  } catch (error) {
    throw new DomainError(
      'invalid',
      `it is not JSON: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
  if (!isObject(root)) throw new DomainError('invalid', 'it must be a JSON object');
  const { snapshots, sandboxes, workspaces, ...others } = root;
  const known = [snapshots, sandboxes, workspaces].some((map) => map !== undefined);
  if (!known && Object.keys(others).length > 0) {
    throw new DomainError(
      'invalid',
      'it has none of snapshots, sandboxes and workspaces, so it is another file',
    );
  }
  if (others['version'] !== undefined && others['version'] !== FORMAT_VERSION) {
    throw new DomainError(
      'invalid',
      `its version is ${JSON.stringify(others['version'])}, which this version of the daemon does not know`,
    );
  }
  const state = {
    snapshots: readMap(root, 'snapshots', (raw, at) => readRecord<SnapshotRecord>(raw, SNAPSHOT, at)),
    sandboxes: readMap(root, 'sandboxes', (raw, at) => readRecord<SandboxRecord>(raw, SANDBOX, at)),
    workspaces: readMap(root, 'workspaces', (raw, at) => readRecord<WorkspaceRecord>(raw, WORKSPACE, at)),
  };
  unknownMembers.set(state, others);
  return state;
}

/** What a file may say of its format; it says nothing as long as there is only this one. */
const FORMAT_VERSION = 1;

/** What stood beside the maps of a registry that was read. */
const unknownMembers = new WeakMap<RegistryState, Readonly<Json>>();

const texts = new WeakMap<object, string>();

/**
 * The registry as JSON, one record a line, keys in byte order. The text of a record is remembered for as long as it lives,
 * so records must not be changed once they were written: replace them.
 */
export function formatState(state: RegistryState): string {
  const maps = [
    `  "snapshots": ${formatMap(state.snapshots)}`,
    `  "sandboxes": ${formatMap(state.sandboxes)}`,
    `  "workspaces": ${formatMap(state.workspaces)}`,
    ...Object.entries(unknownMembers.get(state) ?? {}).map(
      ([name, value]) => `  ${JSON.stringify(name)}: ${JSON.stringify(value)}`,
    ),
  ];
  return `{\n${maps.join(',\n')}\n}\n`;
}

/** Orders keys as bytes; ids and tags are ASCII, where this is the order of code units. */
export function byKey([left]: readonly [string, unknown], [right]: readonly [string, unknown]): number {
  return left < right ? -1 : left > right ? 1 : 0;
}

function formatMap(records: ReadonlyMap<string, object>): string {
  if (records.size === 0) return '{}';
  const lines = [...records]
    .sort(byKey)
    .map(([key, record]) => `    ${JSON.stringify(key)}: ${textOf(record)}`);
  return `{\n${lines.join(',\n')}\n  }`;
}

function textOf(record: object): string {
  let known = texts.get(record);
  if (known === undefined) {
    known = JSON.stringify(record);
    texts.set(record, known);
  }
  return known;
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function readMap<T>(root: Json, name: string, read: (raw: unknown, at: string) => T): Map<string, T> {
  const raw = root[name] ?? {};
  if (!isObject(raw)) throw new DomainError('invalid', `${name} must be an object`);
  return new Map(Object.entries(raw).map(([key, value]) => [key, read(value, `${name}.${key}`)]));
}

/** @throws DomainError unless each field is as the table says, which makes the result a T. */
function readRecord<T extends object>(raw: unknown, fields: Readonly<Record<keyof T, Field>>, at: string): T {
  if (!isObject(raw)) throw new DomainError('invalid', `${at} must be an object`);
  const record: Json = {};
  for (const [name, field] of Object.entries<Field>(fields)) {
    const value = raw[name] ?? field.absent;
    if (value === undefined && field.optional === true) continue;
    if (value === undefined || !field.accepts(value)) {
      throw new DomainError('invalid', `${at}.${name} must be ${field.expected}`);
    }
    record[name] = value;
  }
  return { ...raw, ...record } as T;
}
