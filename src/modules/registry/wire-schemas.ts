import {
  arrayOf,
  count,
  decimal,
  nullable,
  oneOf,
  optional,
  record,
  constant,
  text,
  truth,
} from '../../common/http/schema';
import { POLICY_KINDS } from '../networking/domain/policy';
import type {
  IoLimitsRecord,
  SandboxNetwork,
  SandboxRecord,
  SnapshotRecord,
  WorkspaceInfo,
} from './domain/records';

/** The records as they go over the wire. */

export const SNAPSHOT_INFO = record<SnapshotRecord>(
  'SnapshotInfo',
  'A snapshot. Members that are unknown are absent, never null.',
  {
    tag: text('Its name.'),
    dir: text('Its directory, an absolute path on the host.'),
    created_at_unix: count('Seconds since 1970.'),
    branched_from: optional(
      text('The sandbox it was branched from, or `compact:<tag>`; absent for one that was booted.'),
    ),
    pause_ms: optional(count('How long the source was paused, in milliseconds.')),
    diff_ms: optional(count('How long the diverged pages took to write, in milliseconds.')),
    diff_physical_bytes: optional(count('Bytes of the pages that diverged from the base.')),
    diff_logical_bytes: optional(count("Bytes of the guest's whole memory.")),
    status: oneOf(['writing', 'ready', 'failed'], 'Only a `ready` one can be forked.'),
    bootable: truth('Whether its files are all there.'),
    warning: optional(
      text('What the caller should know: why it is not bootable, or what was done otherwise than asked for.'),
    ),
  },
  {
    tag: 'py',
    dir: '/var/lib/forkd/snapshots/py',
    created_at_unix: 1717000000,
    status: 'ready',
    bootable: true,
  },
);

export const SANDBOX_NETWORK = record<SandboxNetwork>(
  'SandboxNetwork',
  'The network of a sandbox whose namespace the daemon made.',
  {
    policy: oneOf(
      POLICY_KINDS,
      'What it may reach: nothing, the public internet without private networks, what `allow` lists, or everything. Never this host, other sandboxes or link-local addresses.',
    ),
    allow: optional(arrayOf(text('An address or network, with a port or without.'), 'Only with `allow`.')),
    address: text('Where this host reaches the guest, on any port.'),
  },
  { policy: 'internet', address: '10.213.0.3' },
);

const IO_LIMITS = record<IoLimitsRecord>(
  'IoLimits',
  'Limits of disk accesses; what is absent is not limited.',
  {
    read_bytes_per_sec: optional(count('Bytes read per second.')),
    write_bytes_per_sec: optional(count('Bytes written per second.')),
    read_ops_per_sec: optional(count('Reads per second.')),
    write_ops_per_sec: optional(count('Writes per second.')),
  },
  { read_bytes_per_sec: 10_000_000 },
);

export const SANDBOX_INFO = record<SandboxRecord>(
  'SandboxInfo',
  'A sandbox.',
  {
    id: text('Its id; opaque.', { pattern: '^[A-Za-z0-9_-]+$' }),
    snapshot_tag: text('The snapshot it was forked from.'),
    netns: nullable(text('Name of its network namespace.')),
    guest_addr: text('Where a guest agent of upstream forkd would listen; the same for all.'),
    created_at_unix: count('Seconds since 1970; the same for all children of one request.'),
    pid: nullable(count('Process id of its VM; null once that has ended.')),
    memory_limit_mib: nullable(count('The memory limit that holds, in MiB.')),
    has_branched: truth('Whether it was ever branched.'),
    last_branch_memory_path: nullable(text('`memory.bin` of its latest BRANCH.')),
    branch_count: count('How many times it was branched.'),
    network: optional(SANDBOX_NETWORK),
    status: optional(constant('dead', 'Only there when its VM ended by itself.')),
    status_reason: optional(text('Why its VM ended.')),
    oom_killed: optional(constant(true, 'Only there when it was killed at its memory limit.')),
    cpu_limit: optional(decimal('The CPUs it may use; absent for no limit.')),
    pids_limit: optional(count('The threads its VMM may have, where that was asked for.')),
    io_limits: optional(IO_LIMITS),
    disk_limit_mib: optional(
      count('What its guest may write to its file system, in MiB, where that was asked for.'),
    ),
    limits_not_enforced: optional(
      arrayOf(
        text('The limit.'),
        'Limits that were asked for and do not hold, as this host cannot enforce them.',
      ),
    ),
  },
  {
    id: 'sb-6657e0c0-0000',
    snapshot_tag: 'py',
    netns: null,
    guest_addr: '10.42.0.2:8888',
    created_at_unix: 1717035200,
    pid: 314159,
    memory_limit_mib: null,
    has_branched: false,
    last_branch_memory_path: null,
    branch_count: 0,
  },
);

export const WORKSPACE_INFO = record<WorkspaceInfo>(
  'WorkspaceInfo',
  'A sandbox with a name, which can be suspended and resumed. Members that are not set are absent, never null.',
  {
    id: text('Its id; opaque.'),
    name: text('Its name.'),
    source_snapshot_tag: text('The snapshot it began as.'),
    status: oneOf(
      ['running', 'suspended', 'stale'],
      '`stale`: its VM is gone; a resume starts from the latest suspended state.',
    ),
    created_at_unix: count('Seconds since 1970.'),
    last_active_unix: count('When it was created, suspended or resumed last, in seconds since 1970.'),
    current_state_tag: optional(text('The snapshot that holds its suspended state.')),
    live_sandbox_id: optional(text('The sandbox it runs in.')),
    last_branch_memory_path: optional(text("`memory.bin` of its latest suspended state's snapshot.")),
  },
  {
    id: 'ws-sb-6657e0c0-0000',
    name: 'agent',
    source_snapshot_tag: 'py',
    status: 'running',
    created_at_unix: 1717035200,
    last_active_unix: 1717035200,
    live_sandbox_id: 'sb-6657e0c0-0000',
  },
);

export const SNAPSHOT_LIST = arrayOf(SNAPSHOT_INFO, 'In byte order of the tags.');
export const SANDBOX_LIST = arrayOf(SANDBOX_INFO, 'In byte order of the ids.');
export const WORKSPACE_LIST = arrayOf(WORKSPACE_INFO, 'In byte order of the names.');
