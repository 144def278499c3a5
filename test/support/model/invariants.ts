import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { ModelHost } from './host';
import { until } from '../until';
import type { Model } from './model';

interface SnapshotInfo {
  readonly tag: string;
  readonly status: string;
  readonly bootable: boolean;
}

interface SandboxInfo {
  readonly id: string;
  readonly pid: number | null;
  readonly snapshot_tag: string;
  readonly branch_count: number;
  readonly has_branched: boolean;
}

interface WorkspaceInfo {
  readonly name: string;
  readonly status: string;
  readonly source_snapshot_tag: string;
  readonly current_state_tag?: string;
  readonly live_sandbox_id?: string;
}

/** Sorts by its first member. */
function sorted<T extends [string, ...unknown[]]>(rows: T[]): T[] {
  return rows.sort(([a], [b]) => (a < b ? -1 : 1));
}

/** The host is as the model says: lists, every guest's variables, and nothing else anywhere. */
export async function assertInvariants(model: Model, host: ModelHost): Promise<void> {
  const { client } = host;
  const snapshots = await client.json<SnapshotInfo[]>(200, 'GET', '/v1/snapshots');
  assert.deepEqual(
    snapshots.map(({ tag, status, bootable }) => [tag, status, bootable]),
    sorted([...model.snapshots.keys()].map((tag) => [tag, 'ready', true])),
  );

  const sandboxes = await client.json<SandboxInfo[]>(200, 'GET', '/v1/sandboxes');
  assert.deepEqual(
    sandboxes.map((info) => [
      info.id,
      info.snapshot_tag,
      info.pid === null,
      info.branch_count,
      info.has_branched,
    ]),
    sorted(
      [...model.sandboxes.values()].map(({ id, tag, dead, branches }) => [
        id,
        tag,
        dead,
        branches,
        branches > 0,
      ]),
    ),
  );

  const workspaces = await client.json<WorkspaceInfo[]>(200, 'GET', '/v1/workspaces');
  assert.deepEqual(
    workspaces.map((info) => [
      info.name,
      info.status,
      info.source_snapshot_tag,
      info.current_state_tag,
      info.live_sandbox_id,
    ]),
    sorted(
      [...model.workspaces].map(([name, { status, source, stateTag, sandboxId }]) => [
        name,
        status,
        source,
        stateTag,
        sandboxId,
      ]),
    ),
  );

  await Promise.all(
    [...model.sandboxes.values()].map(async ({ id, state, dead }) => {
      const answer = await client.send('POST', `/v1/sandboxes/${id}/eval`, {
        json: { code: host.codeFor('list') },
      });
      assert.equal(answer.status, dead ? 500 : 200, answer.text);
      if (dead) return;
      const { result } = JSON.parse(answer.text) as { result: string };
      assert.deepEqual(JSON.parse(result), sorted([...state]), `variables of ${id}`);
    }),
  );

  await assertNoTraces(model, host);
}

/** Processes, run directories and what is kept belong to somebody. */
async function assertNoTraces(model: Model, host: ModelHost): Promise<void> {
  const living = [...model.sandboxes.values()].filter(({ dead }) => !dead).map(({ id }) => id);
  const { runDir, snapshotRoot } = host.config;
  const names = async (dir: string): Promise<string[]> => (await readdir(dir).catch(() => [])).sort();
  const runDirs = async (): Promise<string[]> =>
    (await names(runDir)).filter((name) => !name.startsWith('.'));
  // The directory of a VM that died goes a moment after its entry says so.
  await until(async () => (await runDirs()).length <= living.length);
  assert.deepEqual(await runDirs(), living.sort());
  assert.deepEqual((await host.vmProcesses()).length, living.length, 'processes');
  const hidden = (await names(snapshotRoot)).filter((name) => name.startsWith('.'));
  assert.deepEqual(
    hidden.filter((name) => name !== '.origins' && name !== '.assembled'),
    [],
  );
  for (const id of await names(join(snapshotRoot, '.origins'))) {
    assert.ok(model.sandboxes.has(id), `kept for nobody: ${id}`);
  }
  const needed = new Set([...model.snapshots.values()].map(({ digest }) => digest));
  for (const digest of await names(join(snapshotRoot, '.assembled'))) {
    assert.ok(needed.has(digest), `an image of no snapshot: ${digest}`);
  }
}

/** Everything can be deleted, and then nothing is left. */
export async function assertEmptiable(model: Model, host: ModelHost): Promise<void> {
  const { client } = host;
  for (const id of model.sandboxes.keys()) await client.json(204, 'DELETE', `/v1/sandboxes/${id}`);
  for (const tag of model.snapshots.keys())
    await client.json(204, 'DELETE', `/v1/snapshots/${tag}?force=true`);
  for (const name of model.workspaces.keys()) await client.json(204, 'DELETE', `/v1/workspaces/${name}`);
  assert.deepEqual(await host.traces(), []);
  assert.deepEqual(await host.snapshotDirectories(), []);
}
