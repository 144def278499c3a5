import assert from 'node:assert/strict';
import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import type { SandboxRecord, SnapshotRecord, WorkspaceInfo } from '../../src/modules/registry/domain/records';
import { RealHost } from '../support/real-host';
import { until } from '../support/until';

describe('workspaces', () => {
  let host: RealHost;

  before(async () => {
    host = await RealHost.start();
    await host.snapshot('py');
  });

  after(async () => {
    await host.stop();
  });

  afterEach(async () => {
    for (const { name } of await list()) await remove(name);
    assert.deepEqual(await host.traces(), []);
    assert.deepEqual((await tags()).sort(), ['py']);
  });

  const list = (): Promise<WorkspaceInfo[]> => host.client.json(200, 'GET', '/v1/workspaces');
  const get = (name: string): Promise<WorkspaceInfo> =>
    host.client.json(200, 'GET', `/v1/workspaces/${name}`);
  const create = (name: string): Promise<WorkspaceInfo> =>
    host.client.json(201, 'POST', '/v1/workspaces', { name, snapshot_tag: 'py' });
  const suspend = (name: string, diff = false): Promise<WorkspaceInfo> =>
    host.client.json(200, 'POST', `/v1/workspaces/${name}/suspend`, { diff });
  const resume = (name: string): Promise<WorkspaceInfo> =>
    host.client.json(200, 'POST', `/v1/workspaces/${name}/resume`);
  const remove = (name: string): Promise<void> => host.client.json(204, 'DELETE', `/v1/workspaces/${name}`);
  const refused = (status: number, path: string, body?: object): Promise<string> =>
    host.client.error(status, 'POST', `/v1/workspaces${path}`, body);
  async function tags(): Promise<string[]> {
    return (await readdir(host.config.snapshotRoot)).filter((name) => !name.startsWith('.'));
  }
  async function evaluate(id: string | undefined, code: string): Promise<string | null> {
    const answer = await host.client.json<{ result: string | null; error: string | null }>(
      200,
      'POST',
      `/v1/sandboxes/${id ?? ''}/eval`,
      { code },
    );
    assert.equal(answer.error, null);
    return answer.result;
  }
  /** Counts one further, in memory and on disk; returns both. */
  const count = (id: string | undefined): Promise<string | null> =>
    evaluate(
      id,
      [
        "n = globals().get('n', 0) + 1",
        "p = pathlib.Path('/root/count')",
        'p.write_text(str(int(p.read_text()) + 1 if p.exists() else 1))',
        "f'{n} {p.read_text()}'",
      ].join('\n'),
    );
  const look = (id: string | undefined): Promise<string | null> => evaluate(id, "f'{n} {p.read_text()}'");

  it('has its memory and disk after each of four rounds, with diff and without', async () => {
    const made = await create('dev');
    assert.deepEqual(Object.keys(made), [
      'id',
      'name',
      'source_snapshot_tag',
      'status',
      'created_at_unix',
      'last_active_unix',
      'live_sandbox_id',
    ]);
    assert.match(made.id, /^ws-sb-/);
    assert.deepEqual([made.name, made.source_snapshot_tag, made.status], ['dev', 'py', 'running']);
    const sandboxes = await host.client.json<SandboxRecord[]>(200, 'GET', '/v1/sandboxes');
    assert.deepEqual(
      sandboxes.map(({ id }) => id),
      [made.live_sandbox_id],
    );
    await evaluate(made.live_sandbox_id, 'blob = bytearray(b"x" * (5 << 20)); None');
    let id = made.live_sandbox_id;
    for (const [index, diff] of [true, false, true, true].entries()) {
      const round = index + 1;
      assert.equal(await count(id), `'${round} ${round}'`);
      // Pages that one round changes and the next does not, so that a wrong base of a diff shows.
      await evaluate(id, `blob[${index} << 20:${round} << 20] = bytes([${round}]) * (1 << 20); None`);
      const parked = await suspend('dev', diff);
      assert.deepEqual(Object.keys(parked).sort(), [
        'created_at_unix',
        'current_state_tag',
        'id',
        'last_active_unix',
        'last_branch_memory_path',
        'name',
        'source_snapshot_tag',
        'status',
      ]);
      assert.deepEqual([parked.status, parked.current_state_tag], ['suspended', 'ws-dev-state']);
      assert.equal(
        parked.last_branch_memory_path,
        join(host.config.snapshotRoot, 'ws-dev-state', 'memory.bin'),
      );
      assert.deepEqual(await host.traces(), []);
      const again = await resume('dev');
      assert.equal(again.status, 'running');
      assert.notEqual(again.live_sandbox_id, id);
      assert.ok(again.last_active_unix >= parked.last_active_unix);
      id = again.live_sandbox_id;
      assert.equal(await look(id), `'${round} ${round}'`);
      const expected = [1, 2, 3, 4, 5].map((mib) => (mib <= round ? mib : 'x'.charCodeAt(0)));
      assert.equal(
        await evaluate(id, '[sorted(set(blob[i << 20:(i + 1) << 20])) for i in range(5)]'),
        `[${expected.map((byte) => `[${byte}]`).join(', ')}]`,
      );
    }
    const snapshots = await host.client.json<SnapshotRecord[]>(200, 'GET', '/v1/snapshots');
    assert.deepEqual(
      snapshots.map(({ tag, status }) => [tag, status]),
      [
        ['py', 'ready'],
        ['ws-dev-state', 'ready'],
      ],
    );
  });

  it('refuses, in the documented order, what cannot be done', async () => {
    assert.match(await refused(400, '', { name: 'a.b', snapshot_tag: '?' }), /^name must be 1-64 chars/);
    assert.match(await refused(400, '', { name: 'a', snapshot_tag: '?' }), /^snapshot_tag must be 1-64/);
    assert.match(await refused(400, '', { name: 'x'.repeat(56), snapshot_tag: 'py' }), /at most 55 chars/);
    assert.equal(await refused(404, '', { name: 'a', snapshot_tag: 'nope' }), 'snapshot nope not found');
    await refused(400, '', { name: 'a', snapshot_tag: 'py', memory_limit_mib: 0 });
    await refused(422, '', { name: 'a' });
    await refused(404, '/a/suspend', {});
    assert.equal(await refused(404, '/a/resume'), 'workspace a not found');
    const noType = await host.client.send('POST', '/v1/workspaces/a/suspend');
    assert.equal(noType.status, 415);
    const ignored = await host.client.send('POST', '/v1/workspaces/a/resume', {
      headers: { 'content-type': 'application/json', 'content-length': '0' },
    });
    assert.equal(ignored.status, 404);
    const longest = 'x'.repeat(55);
    const made = await create(longest);
    assert.match(
      await refused(409, '', { name: longest, snapshot_tag: 'py' }),
      /already exists; DELETE first/,
    );
    assert.match(
      await refused(400, `/${longest}/resume`),
      new RegExp(`is already Running \\(sandbox ${made.live_sandbox_id ?? ''}\\)`),
    );
    await refused(422, `/${longest}/suspend`, { diff: 1 });
    assert.equal((await suspend(longest)).current_state_tag, `ws-${longest}-state`);
    assert.match(await refused(400, `/${longest}/suspend`, {}), /is Suspended, not Running - /);
    await resume(longest);
    assert.deepEqual(
      (await list()).map(({ name, status }) => [name, status]),
      [[longest, 'running']],
    );
  });

  it('does one thing at a time', async () => {
    await create('dev');
    await count((await get('dev')).live_sandbox_id);
    const ask = async (method: string, path: string, json?: object): Promise<number> =>
      (await host.client.send(method, `/v1/workspaces/dev${path}`, json === undefined ? {} : { json }))
        .status;
    const parking = await Promise.all([
      ask('POST', '/suspend', {}),
      ask('POST', '/suspend', {}),
      ask('POST', '/resume'),
      ask('DELETE', ''),
    ]);
    assert.deepEqual(parking.sort(), [200, 409, 409, 409]);
    // Whichever came first; a deleted one is made again.
    if ((await list()).length === 0) await create('dev');
    if ((await get('dev')).status !== 'running') await resume('dev');
    await suspend('dev');
    assert.deepEqual(
      (await Promise.all([ask('POST', '/resume'), ask('POST', '/resume')])).sort(),
      [200, 409],
    );
    assert.equal((await host.vmProcesses()).length, 1);
    assert.deepEqual((await Promise.all([ask('DELETE', ''), ask('DELETE', '')])).sort(), [204, 409]);
    assert.deepEqual(await list(), []);
  });

  it('is stale when its sandbox is deleted or dies, and resumes from its last state', async () => {
    const made = await create('dev');
    await host.client.json(204, 'DELETE', `/v1/sandboxes/${made.live_sandbox_id ?? ''}`);
    const stale = await get('dev');
    assert.deepEqual([stale.status, stale.live_sandbox_id], ['stale', undefined]);
    assert.match(await refused(400, '/dev/suspend', {}), /is Stale, not Running - /);
    const anew = await resume('dev');
    assert.equal(await count(anew.live_sandbox_id), "'1 1'", 'it began as its source');
    await suspend('dev', true);
    const second = await resume('dev');
    await count(second.live_sandbox_id);
    for (const pid of await host.vmProcesses()) process.kill(pid, 'SIGKILL');
    await until(async () => (await get('dev')).status === 'stale');
    await host.client.json(204, 'DELETE', `/v1/sandboxes/${second.live_sandbox_id ?? ''}`);
    const third = await resume('dev');
    assert.equal(await look(third.live_sandbox_id), "'1 1'");
  });

  it('is stale after a restart when its VM ended meanwhile, and runs on when it did not', async () => {
    await create('gone');
    const kept = await create('kept');
    const gone = await get('gone');
    await count(gone.live_sandbox_id);
    await count(kept.live_sandbox_id);
    await suspend('gone');
    const again = await resume('gone');
    await count(again.live_sandbox_id);
    const record = await host.client.json<SandboxRecord>(
      200,
      'GET',
      `/v1/sandboxes/${again.live_sandbox_id ?? ''}`,
    );
    await host.restart(() => {
      process.kill(record.pid ?? 0, 'SIGKILL');
    });
    assert.deepEqual([(await get('gone')).status, (await get('gone')).live_sandbox_id], ['stale', undefined]);
    const resumed = await resume('gone');
    assert.equal(await look(resumed.live_sandbox_id), "'1 1'", 'not its last suspended state');
    assert.equal((await get('kept')).live_sandbox_id, kept.live_sandbox_id);
    assert.equal(await look(kept.live_sandbox_id), "'1 1'");
    await suspend('kept', true);
    const back = await resume('kept');
    assert.equal(await count(back.live_sandbox_id), "'2 2'");
  });

  it('leaves what others made of it: forks of its state run on, and what is stored on it is not broken', async () => {
    await create('dev');
    await count((await get('dev')).live_sandbox_id);
    await suspend('dev');
    const [fork] = await host.client.json<SandboxRecord[]>(201, 'POST', '/v1/sandboxes', {
      snapshot_tag: 'ws-dev-state',
    });
    const branch = `/v1/sandboxes/${fork?.id ?? ''}/branch`;
    await resume('dev');
    await host.client.json(201, 'POST', branch, { tag: 'on', mode: 'diff', parent_tag: 'ws-dev-state' });
    assert.match(await refused(409, '/dev/suspend', {}), /ws-dev-state has dependents: on/);
    assert.match(await host.client.error(409, 'DELETE', '/v1/workspaces/dev'), /dependents: on/);
    assert.equal((await get('dev')).status, 'running');
    await host.client.json(204, 'DELETE', '/v1/snapshots/on');
    await count((await get('dev')).live_sandbox_id);
    await suspend('dev', true);
    await host.client.json(201, 'POST', branch, { tag: 'later', mode: 'diff' });
    const [grandchild] = await host.client.json<SandboxRecord[]>(201, 'POST', '/v1/sandboxes', {
      snapshot_tag: 'later',
    });
    assert.equal(await look(grandchild?.id), "'1 1'");
    for (const sandbox of [fork, grandchild])
      await host.client.json(204, 'DELETE', `/v1/sandboxes/${sandbox?.id ?? ''}`);
    await host.client.json(204, 'DELETE', '/v1/snapshots/later');
  });

  it('never takes the tag of a snapshot that is not its state', async () => {
    const made = await create('dev');
    const branch = `/v1/sandboxes/${made.live_sandbox_id ?? ''}/branch`;
    await host.client.json(201, 'POST', branch, { tag: 'ws-dev-state' });
    assert.match(await refused(409, '/dev/suspend', {}), /ws-dev-state already exists and is not the state/);
    await remove('dev');
    assert.ok((await tags()).includes('ws-dev-state'));
    assert.match(await refused(409, '', { name: 'dev', snapshot_tag: 'py' }), /ws-dev-state already exists/);
    await host.client.json(204, 'DELETE', '/v1/snapshots/ws-dev-state');
  });

  it('runs on when the registry cannot be written, and keeps its state', async () => {
    await create('dev');
    await count((await get('dev')).live_sandbox_id);
    await suspend('dev');
    const { live_sandbox_id: id } = await resume('dev');
    await count(id);
    // The place of the temporary file is taken.
    const obstacle = `${host.config.statePath}.tmp`;
    await mkdir(join(obstacle, 'x'), { recursive: true });
    const before = await readFile(host.config.statePath, 'utf8');
    assert.match(
      await refused(500, '/dev/suspend', { diff: true }),
      /^suspend: .*registry could not be written/,
    );
    await rm(obstacle, { recursive: true });
    assert.equal(await readFile(host.config.statePath, 'utf8'), before);
    assert.equal(await count(id), "'3 3'");
    await host.client.json(204, 'DELETE', `/v1/sandboxes/${id ?? ''}`);
    assert.equal(await look((await resume('dev')).live_sandbox_id), "'1 1'");
  });
});
