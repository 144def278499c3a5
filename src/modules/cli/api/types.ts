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
  /** Only there when the VM ended by itself: "dead". */
  readonly status?: string;
  readonly status_reason?: string;
}

/** A sandbox's network, as `GET /v1/sandboxes/:id/network` gives it. */
export interface NetworkStatus {
  readonly policy: string;
  readonly allow?: readonly string[];
  readonly address: string;
  readonly bytes_sent: number;
  readonly bytes_received: number;
}

export interface Snapshot {
  readonly tag: string;
  readonly dir: string;
  readonly created_at_unix: number;
  readonly status: string;
  readonly bootable: boolean;
  readonly branched_from?: string;
  readonly pause_ms?: number;
  readonly diff_ms?: number;
  readonly diff_physical_bytes?: number;
  readonly diff_logical_bytes?: number;
  readonly warning?: string;
}

/** What only `GET /v1/snapshots/:tag/info` tells. Sizes in bytes. */
export interface SnapshotDetail {
  readonly tag: string;
  readonly dir: string;
  readonly created_at_unix?: number;
  readonly memory_logical_bytes: number;
  readonly memory_physical_bytes: number;
  readonly vmstate_bytes: number;
  readonly chain_depth: number;
  readonly parent_tag?: string;
  readonly parent_content_hash?: string;
  readonly dependents: readonly string[];
  /** Root first. */
  readonly ancestors: readonly string[];
}

/** What a pack became. */
export interface UnpackedSnapshot {
  readonly tag: string;
  readonly dir: string;
  /** Content before compression. */
  readonly bytes: number;
  /** New snapshots, root first. */
  readonly unpacked: readonly string[];
  /** The ancestor that was there already. */
  readonly reused: readonly string[];
}

/** A sandbox with a name that can be parked on disk. */
export interface Workspace {
  readonly id: string;
  readonly name: string;
  readonly source_snapshot_tag: string;
  readonly status: string;
  readonly created_at_unix: number;
  readonly last_active_unix: number;
  readonly current_state_tag?: string;
  readonly live_sandbox_id?: string;
  readonly last_branch_memory_path?: string;
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
  readonly network_policy?: string;
  readonly network_allow?: readonly string[];
  readonly memory_limit_mib?: number;
}

/** What `POST /v1/sandboxes/:id/branch` takes. */
export interface BranchRequest {
  readonly tag?: string;
  readonly mode?: string;
  readonly measure_diff?: boolean;
  readonly wait?: boolean;
  readonly parent_tag?: string;
}

/** What `POST /v1/workspaces` takes. */
export interface WorkspaceRequest {
  readonly name: string;
  readonly snapshot_tag: string;
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
    ...optional(fields, 'status', text),
    ...optional(fields, 'status_reason', text),
  };
}

export function toNetworkStatus(value: unknown): NetworkStatus {
  const fields = toFields(value);
  return {
    policy: text(fields, 'policy'),
    ...optional(fields, 'allow', (all, name) => toList(all[name], String)),
    address: text(fields, 'address'),
    bytes_sent: number(fields, 'bytes_sent'),
    bytes_received: number(fields, 'bytes_received'),
  };
}

export function toSnapshot(value: unknown): Snapshot {
  const fields = toFields(value);
  return {
    tag: text(fields, 'tag'),
    dir: text(fields, 'dir'),
    created_at_unix: number(fields, 'created_at_unix'),
    status: text(fields, 'status'),
    bootable: fields['bootable'] === true,
    ...optional(fields, 'branched_from', text),
    ...optional(fields, 'pause_ms', number),
    ...optional(fields, 'diff_ms', number),
    ...optional(fields, 'diff_physical_bytes', number),
    ...optional(fields, 'diff_logical_bytes', number),
    ...optional(fields, 'warning', text),
  };
}

export function toSnapshotDetail(value: unknown): SnapshotDetail {
  const fields = toFields(value);
  return {
    tag: text(fields, 'tag'),
    dir: text(fields, 'dir'),
    ...optional(fields, 'created_at_unix', number),
    memory_logical_bytes: number(fields, 'memory_logical_bytes'),
    memory_physical_bytes: number(fields, 'memory_physical_bytes'),
    vmstate_bytes: number(fields, 'vmstate_bytes'),
    chain_depth: number(fields, 'chain_depth'),
    ...optional(fields, 'parent_tag', text),
    ...optional(fields, 'parent_content_hash', text),
    dependents: toList(fields['dependents'], String),
    ancestors: toList(fields['ancestors'], String),
  };
}

export function toUnpackedSnapshot(value: unknown): UnpackedSnapshot {
  const fields = toFields(value);
  return {
    tag: text(fields, 'tag'),
    dir: text(fields, 'dir'),
    bytes: number(fields, 'bytes'),
    unpacked: toList(fields['unpacked'], String),
    reused: toList(fields['reused'], String),
  };
}

export function toWorkspace(value: unknown): Workspace {
  const fields = toFields(value);
  return {
    id: text(fields, 'id'),
    name: text(fields, 'name'),
    source_snapshot_tag: text(fields, 'source_snapshot_tag'),
    status: text(fields, 'status'),
    created_at_unix: number(fields, 'created_at_unix'),
    last_active_unix: number(fields, 'last_active_unix'),
    ...optional(fields, 'current_state_tag', text),
    ...optional(fields, 'live_sandbox_id', text),
    ...optional(fields, 'last_branch_memory_path', text),
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

/** The member under its own name, or nothing where it is absent or null. */
function optional<Name extends string, T>(
  fields: Fields,
  name: Name,
  read: (fields: Fields, name: string) => T,
): Partial<Record<Name, T>> {
  const value = orNull(fields, name, read);
  return value === null ? {} : ({ [name]: value } as Partial<Record<Name, T>>);
}

function notUnderstood(detail: string): CliError {
  return new CliError(
    ExitCode.failed,
    `the answer is not that of a forkd daemon: ${detail}`,
    'Check FORKD_URL or --url, and compare versions with `forkd status`.',
  );
}
