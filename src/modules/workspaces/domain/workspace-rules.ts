import { DomainError } from '../../../common/errors/domain-error';
import type {
  SandboxRecord,
  WorkspaceInfo,
  WorkspaceRecord,
  WorkspaceStatus,
} from '../../registry/domain/records';

/** So that `ws-<name>-state` is a tag. */
export const MAX_NAME_CHARS = 55;
export const NAME_PATTERN = `^[A-Za-z0-9_-]{1,${MAX_NAME_CHARS}}$`;

const NAME_ALPHABET = /^[A-Za-z0-9_-]{1,64}$/;

/** What a workspace's sandbox is asked for with. */
export interface WorkspaceWish {
  readonly name: string;
  readonly snapshotTag: string;
  readonly perChildNetns: boolean;
  readonly memoryLimitMib: number | null;
}

/** The words of the wire's error texts. */
const STATUS_WORD: Readonly<Record<WorkspaceStatus, string>> = {
  running: 'Running',
  suspended: 'Suspended',
  stale: 'Stale',
};

/** The snapshot that holds a workspace's suspended state; the same for each suspend. */
export function stateTagOf(name: string): string {
  return `ws-${name}-state`;
}

/** @throws DomainError invalid for a name that is no tag, or could not be suspended later. */
export function requireName(name: string): void {
  if (!NAME_ALPHABET.test(name))
    throw new DomainError('invalid', 'name must be 1-64 chars, ASCII alnum or dash/underscore');
  if (name.length <= MAX_NAME_CHARS) return;
  throw new DomainError(
    'invalid',
    `name must be at most ${MAX_NAME_CHARS} chars, as a suspend stores the state under the tag ws-<name>-state, which may have 64; this one has ${name.length}`,
  );
}

/** The sandbox to suspend. @throws DomainError invalid unless the workspace runs. */
export function requireRunning({ name, status, live_sandbox_id: id }: WorkspaceRecord): string {
  if (status === 'running' && id !== undefined) return id;
  throw new DomainError(
    'invalid',
    `workspace ${name} is ${STATUS_WORD[status]}, not Running - there is nothing to suspend; resume it first`,
  );
}

/** @throws DomainError invalid when the workspace runs already. */
export function requireNotRunning({ name, status, live_sandbox_id: id }: WorkspaceRecord): void {
  if (status !== 'running') return;
  throw new DomainError('invalid', `workspace ${name} is already Running (sandbox ${id ?? 'unknown'})`);
}

/** A new workspace, which runs in this sandbox. */
export function created(wish: WorkspaceWish, sandbox: SandboxRecord): WorkspaceRecord {
  return {
    id: `ws-${sandbox.id.slice(0, 16)}`,
    name: wish.name,
    source_snapshot_tag: wish.snapshotTag,
    status: 'running',
    created_at_unix: sandbox.created_at_unix,
    last_active_unix: sandbox.created_at_unix,
    live_sandbox_id: sandbox.id,
    ...(wish.perChildNetns ? { per_child_netns: true } : {}),
    ...(wish.memoryLimitMib === null ? {} : { memory_limit_mib: wish.memoryLimitMib }),
  };
}

/** The workspace with its state in a snapshot, and no sandbox. */
export function suspended(
  workspace: WorkspaceRecord,
  state: { readonly memoryPath: string; readonly unixSeconds: number },
): WorkspaceRecord {
  const after: WorkspaceRecord = {
    ...workspace,
    status: 'suspended',
    last_active_unix: state.unixSeconds,
    current_state_tag: stateTagOf(workspace.name),
    last_branch_memory_path: state.memoryPath,
  };
  delete after.live_sandbox_id;
  return after;
}

/** The workspace, which runs in a new sandbox. */
export function resumed(workspace: WorkspaceRecord, sandbox: SandboxRecord): WorkspaceRecord {
  return {
    ...workspace,
    status: 'running',
    last_active_unix: sandbox.created_at_unix,
    live_sandbox_id: sandbox.id,
  };
}

/** What a resume asks for: what the creation asked for, from where the workspace stands. */
export function wishOf(workspace: WorkspaceRecord): WorkspaceWish {
  return {
    name: workspace.name,
    snapshotTag: workspace.current_state_tag ?? workspace.source_snapshot_tag,
    perChildNetns: workspace.per_child_netns ?? false,
    memoryLimitMib: workspace.memory_limit_mib ?? null,
  };
}

/** What clients are told. */
export function infoOf(workspace: WorkspaceRecord): WorkspaceInfo {
  const info = { ...workspace };
  delete info.per_child_netns;
  delete info.memory_limit_mib;
  return info;
}
