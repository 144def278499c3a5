import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { allPids, commandLine } from '../../../src/common/os/proc';
import type {
  SandboxRecord,
  SnapshotRecord,
  WorkspaceInfo,
} from '../../../src/modules/registry/domain/records';
import type { TestClient } from '../http';
import type { MortalDaemon } from './mortal-daemon';

/** What a guest's variable `n` has; null where it was never set. */
export type Mark = number | null;

/** What is there, as far as somebody was told. */
export interface State {
  readonly snapshots: ReadonlyMap<string, Mark>;
  /** Without those of workspaces. */
  readonly sandboxes: ReadonlyMap<string, Mark>;
  /** How many sandboxes there may be beside them, whose ids nobody was told, and their mark. */
  readonly added?: readonly [count: number, mark: Mark];
  readonly workspaces: ReadonlyMap<string, { readonly status: WorkspaceInfo['status']; readonly mark: Mark }>;
}

/** What the daemon says is there. */
export interface Listed {
  readonly snapshots: SnapshotRecord[];
  readonly sandboxes: SandboxRecord[];
  readonly workspaces: WorkspaceInfo[];
}

export async function listed(client: TestClient): Promise<Listed> {
  const [snapshots, sandboxes, workspaces] = await Promise.all([
    client.json<SnapshotRecord[]>(200, 'GET', '/v1/snapshots'),
    client.json<SandboxRecord[]>(200, 'GET', '/v1/sandboxes'),
    client.json<WorkspaceInfo[]>(200, 'GET', '/v1/workspaces'),
  ]);
  return { snapshots, sandboxes, workspaces };
}

/**
 * How what is listed differs from a state; undefined when it does not.
 *
 * @param ended sandboxes whose VMs were killed; then some of those that were added may have ended, too.
 */
export function difference(found: Listed, state: State, ended?: ReadonlySet<string>): string | undefined {
  const tags = found.snapshots.map(({ tag }) => tag).sort();
  const expectedTags = [...state.snapshots.keys()].sort();
  if (tags.join() !== expectedTags.join()) return `snapshots ${tags.join()}, not ${expectedTags.join()}`;
  // One whose VM was killed is stale, and none is stale without.
  const statusOf = (status: string): string =>
    ended !== undefined && status === 'stale' ? 'running' : status;
  const workspaces = found.workspaces.map(({ name, status }) => `${name} ${statusOf(status)}`).sort();
  const expected = [...state.workspaces].map(([name, { status }]) => `${name} ${statusOf(status)}`).sort();
  if (workspaces.join() !== expected.join()) return `workspaces ${workspaces.join()}, not ${expected.join()}`;
  const ids = new Set(found.sandboxes.map(({ id }) => id));
  const missing = [...state.sandboxes.keys()].filter((id) => !ids.has(id) && ended?.has(id) !== true);
  if (missing.length > 0) return `${missing.join()} missing`;
  const strangers = strangersIn(found, state).length;
  const [count] = state.added ?? [0];
  if (strangers === count || (ended !== undefined && strangers < count)) return undefined;
  return `${strangers} more sandboxes, not ${count}`;
}

/** Sandboxes whose ids nobody was told, those of workspaces left out. */
export function strangersIn(found: Listed, state: State): SandboxRecord[] {
  const known = new Set([...state.sandboxes.keys(), ...found.workspaces.map((each) => each.live_sandbox_id)]);
  return found.sandboxes.filter(({ id }) => !known.has(id));
}

export async function evaluate(client: TestClient, id: string, code: string): Promise<string | null> {
  const answer = await client.json<{ result: string | null; error: string | null }>(
    200,
    'POST',
    `/v1/sandboxes/${id}/eval`,
    { code },
  );
  assert.equal(answer.error, null, `${id}: ${code}`);
  return answer.result;
}

/** Every sandbox that is listed answers and is the one it should be. */
export async function assertAnswering(client: TestClient, found: Listed, state: State): Promise<void> {
  const marks = new Map(state.sandboxes);
  for (const { id } of strangersIn(found, state)) marks.set(id, state.added?.[1] ?? null);
  for (const { name, live_sandbox_id: id } of found.workspaces)
    if (id !== undefined) marks.set(id, state.workspaces.get(name)?.mark ?? null);
  await Promise.all(
    found.sandboxes.map(async ({ id, status, status_reason: reason }) => {
      assert.equal(status, undefined, `${id} is dead: ${reason ?? ''}`);
      await client.json(200, 'POST', `/v1/sandboxes/${id}/ping`);
      const mark = marks.get(id) ?? null;
      const code = mark === null ? "'n' in globals()" : 'n';
      assert.equal(await evaluate(client, id, code), mark === null ? 'False' : String(mark), id);
    }),
  );
}

const FLAT = ['memory.bin', 'memory.sums', 'rootfs.ext4', 'snapshot.json', 'vmstate'];
const CHAINED = ['memory.diff', 'memory.sums', 'rootfs.ext4', 'snapshot.json', 'vmstate'];
/** What a snapshot has beside that until its image is on disk. */
const isUnsettled = (name: string): boolean => name === 'memory.diff' || name.startsWith('memory.base-');

/**
 * The host has what is listed and nothing else: processes, directories, files, registry.
 *
 * @param unregistered a snapshot that nobody was told of: it was whole when its daemon was killed, so it is listed, but it may
 * not be in the registry.
 */
export async function assertRealityIs(
  daemon: MortalDaemon,
  found: Listed,
  unregistered: (tag: string) => boolean = () => false,
): Promise<void> {
  const ids = found.sandboxes.map(({ id }) => id).sort();
  const pids = found.sandboxes.map(({ pid }) => pid).sort();
  assert.deepEqual((await vmProcesses(daemon.root)).sort(), pids, 'VM processes');
  const visible = async (dir: string): Promise<string[]> =>
    (await readdir(daemon.path(dir)).catch(() => []))
      .filter((name) => !['.daemon.lock', '.kvm-probe.json'].includes(name))
      .sort();
  assert.deepEqual(await visible('run'), ids, 'run directories');
  assert.deepEqual(await visible('lib'), ['state.json', 'state.json.lock']);

  const names = await visible('snapshots');
  const tags = found.snapshots.map(({ tag }) => tag).sort();
  assert.deepEqual(
    names.filter((name) => !['.origins', '.assembled'].includes(name)),
    tags,
    'snapshot directories',
  );
  for (const { tag, status, bootable, warning } of found.snapshots)
    assert.ok(status === 'ready' && bootable, `${tag}: ${warning ?? ''}`);
  for (const id of await visible('snapshots/.origins')) assert.ok(ids.includes(id), `origin of ${id}`);
  const digests = new Set<string>();
  for (const tag of tags) {
    const manifest = JSON.parse(await readFile(daemon.path(`snapshots/${tag}/snapshot.json`), 'utf8')) as {
      parent_tag?: string;
      memory_digest: string;
    };
    if (manifest.parent_tag !== undefined) digests.add(manifest.memory_digest);
    const files = await visible(join('snapshots', tag));
    const own = manifest.parent_tag === undefined ? FLAT : CHAINED;
    const settled = files.some((name) => name.startsWith('memory.base'))
      ? files.filter((name) => !isUnsettled(name))
      : files;
    assert.deepEqual(settled, own, tag);
  }
  for (const digest of await visible('snapshots/.assembled')) assert.ok(digests.has(digest), digest);

  const state = JSON.parse(await readFile(daemon.path('lib/state.json'), 'utf8')) as Record<string, object>;
  const registered = Object.keys(state['snapshots'] ?? {});
  assert.deepEqual(
    tags.filter((tag) => !registered.includes(tag) && !unregistered(tag)),
    [],
    'snapshots that are not registered',
  );
  assert.deepEqual(
    registered.filter((tag) => !tags.includes(tag)),
    [],
    'registered snapshots that are not there',
  );
  assert.deepEqual(Object.keys(state['sandboxes'] ?? {}).sort(), ids, 'registered sandboxes');
  assert.deepEqual(
    Object.keys(state['workspaces'] ?? {}).sort(),
    found.workspaces.map(({ name }) => name).sort(),
    'registered workspaces',
  );
}

/** Pids of the VM processes of a daemon with this directory. */
export async function vmProcesses(root: string): Promise<number[]> {
  const pids: number[] = [];
  for (const pid of await allPids()) {
    const args = await commandLine(pid);
    if (args?.some((arg) => arg.includes(`path=${root}/`)) === true) pids.push(pid);
  }
  return pids;
}
