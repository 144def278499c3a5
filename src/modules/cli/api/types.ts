import { CliError, ExitCode } from '../errors';

/** A running child, as the daemon's REST interface gives it. */
export interface Sandbox {
  readonly id: string;
  readonly snapshot_tag: string;
  readonly netns: string | null;
  readonly guest_addr: string;
  readonly created_at_unix: number;
  readonly pid: number | null;
  readonly memory_limit_mib: number | null;
  readonly has_branched: boolean;
  readonly last_branch_memory_path: string | null;
  readonly branch_count: number;
}

export interface Snapshot {
  readonly tag: string;
  readonly dir: string;
  readonly created_at_unix: number;
  readonly status: string;
  readonly bootable: boolean;
  readonly branched_from?: string;
  readonly pause_ms?: number;
  readonly warning?: string;
}

export interface ExecAnswer {
  readonly stdout: string;
  readonly stderr: string;
  readonly exit_code: number;
}

export interface EvalAnswer {
  readonly result: string | null;
  readonly error: string | null;
  readonly exit_code: number;
}

export interface DaemonVersion {
  readonly version: string;
  readonly api: string;
}

/** What `POST /v1/snapshots` takes. */
export interface SnapshotRequest {
  readonly tag: string;
  readonly image?: string;
  readonly kernel?: string;
  readonly rootfs?: string;
  readonly rw?: boolean;
  readonly tap?: string;
  readonly boot_wait_secs?: number;
  readonly mem_size_mib?: number;
  readonly vcpus?: number;
}

/** What `POST /v1/sandboxes` takes. */
export interface ForkRequest {
  readonly snapshot_tag: string;
  readonly n: number;
  readonly per_child_netns?: boolean;
  readonly memory_limit_mib?: number;
}

type Fields = Readonly<Record<string, unknown>>;

export function toSandbox(value: unknown): Sandbox {
  const fields = toFields(value);
  return {
    id: text(fields, 'id'),
    snapshot_tag: text(fields, 'snapshot_tag'),
    netns: orNull(fields, 'netns', text),
    guest_addr: text(fields, 'guest_addr'),
    created_at_unix: number(fields, 'created_at_unix'),
    pid: orNull(fields, 'pid', number),
    memory_limit_mib: orNull(fields, 'memory_limit_mib', number),
    has_branched: fields['has_branched'] === true,
    last_branch_memory_path: orNull(fields, 'last_branch_memory_path', text),
    branch_count: orNull(fields, 'branch_count', number) ?? 0,
  };
}

export function toSnapshot(value: unknown): Snapshot {
  const fields = toFields(value);
  const branchedFrom = orNull(fields, 'branched_from', text);
  const pauseMs = orNull(fields, 'pause_ms', number);
  const warning = orNull(fields, 'warning', text);
  return {
    tag: text(fields, 'tag'),
    dir: text(fields, 'dir'),
    created_at_unix: number(fields, 'created_at_unix'),
    status: text(fields, 'status'),
    bootable: fields['bootable'] === true,
    ...(branchedFrom === null ? {} : { branched_from: branchedFrom }),
    ...(pauseMs === null ? {} : { pause_ms: pauseMs }),
    ...(warning === null ? {} : { warning }),
  };
}

export function toExecAnswer(value: unknown): ExecAnswer {
  const fields = toFields(value);
  return {
    stdout: text(fields, 'stdout'),
    stderr: text(fields, 'stderr'),
    exit_code: number(fields, 'exit_code'),
  };
}

export function toEvalAnswer(value: unknown): EvalAnswer {
  const fields = toFields(value);
  return {
    result: orNull(fields, 'result', text),
    error: orNull(fields, 'error', text),
    exit_code: number(fields, 'exit_code'),
  };
}

export function toVersion(value: unknown): DaemonVersion {
  const fields = toFields(value);
  return { version: text(fields, 'version'), api: text(fields, 'api') };
}

export function toList<T>(value: unknown, item: (entry: unknown) => T): T[] {
  if (!Array.isArray(value)) throw notUnderstood('a list was expected');
  return value.map(item);
}

/** The members of a JSON object. */
export function toFields(value: unknown): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw notUnderstood('an object was expected');
  }
  return value as Fields;
}

function text(fields: Fields, name: string): string {
  const value = fields[name];
  if (typeof value !== 'string') throw notUnderstood(`"${name}" is not a string`);
  return value;
}

function number(fields: Fields, name: string): number {
  const value = fields[name];
  if (typeof value !== 'number') throw notUnderstood(`"${name}" is not a number`);
  return value;
}

function orNull<T>(fields: Fields, name: string, read: (fields: Fields, name: string) => T): T | null {
  return fields[name] === undefined || fields[name] === null ? null : read(fields, name);
}

function notUnderstood(detail: string): CliError {
  return new CliError(
    ExitCode.failed,
    `the answer is not that of a forkd daemon: ${detail}`,
    'Check FORKD_URL or --url, and compare versions with `forkd status`.',
  );
}
