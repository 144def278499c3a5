/** The records of state.json; member names are the wire's (compatibility with upstream's file and clients). */

import type { PolicyKind } from '../../networking/domain/policy';

export type SnapshotStatus = 'writing' | 'ready' | 'failed';

export interface SnapshotRecord {
  tag: string;
  /** Absolute directory. */
  dir: string;
  created_at_unix: number;
  /** Sandbox id, or "compact:<tag>"; absent for a snapshot built from an image. */
  branched_from?: string;
  pause_ms?: number;
  diff_ms?: number;
  diff_physical_bytes?: number;
  diff_logical_bytes?: number;
  status: SnapshotStatus;
  bootable: boolean;
  warning?: string;
}

/** The network of a sandbox whose namespace the daemon made. */
export interface SandboxNetwork {
  policy: PolicyKind;
  /** Only with the policy `allow`. */
  allow?: string[];
  /** Where this host reaches the guest, any port. */
  address: string;
}

export interface IoLimitsRecord {
  readonly read_bytes_per_sec?: number;
  readonly write_bytes_per_sec?: number;
  readonly read_ops_per_sec?: number;
  readonly write_ops_per_sec?: number;
}

export interface SandboxRecord {
  id: string;
  snapshot_tag: string;
  netns: string | null;
  guest_addr: string;
  created_at_unix: number;
  pid: number | null;
  memory_limit_mib: number | null;
  has_branched: boolean;
  last_branch_memory_path: string | null;
  branch_count: number;
  /** Only with a namespace that the daemon made. */
  network?: SandboxNetwork;
  /** Only on a sandbox whose VM ended by itself; `pid` is null then. */
  status?: 'dead';
  /** Why it ended. */
  status_reason?: string;
  /** Only on a sandbox that the kernel killed because it reached its memory limit. */
  oom_killed?: true;
  /** The limits that hold; absent for none. */
  cpu_limit?: number;
  pids_limit?: number;
  io_limits?: IoLimitsRecord;
  disk_limit_mib?: number;
  /** Limits that were asked for and do not hold. */
  limits_not_enforced?: readonly string[];
}

export type WorkspaceStatus = 'running' | 'suspended' | 'stale';

/** What clients are told of a workspace. */
export interface WorkspaceInfo {
  id: string;
  name: string;
  source_snapshot_tag: string;
  status: WorkspaceStatus;
  created_at_unix: number;
  last_active_unix: number;
  current_state_tag?: string;
  live_sandbox_id?: string;
  last_branch_memory_path?: string;
}

/** The rest is what its sandbox was asked for with, so that a resume asks the same. */
export interface WorkspaceRecord extends WorkspaceInfo {
  per_child_netns?: boolean;
  memory_limit_mib?: number;
}

export interface RegistryState {
  snapshots: Map<string, SnapshotRecord>;
  sandboxes: Map<string, SandboxRecord>;
  workspaces: Map<string, WorkspaceRecord>;
}
