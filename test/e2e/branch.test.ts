import assert from 'node:assert/strict';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { SandboxRecord, SnapshotRecord } from '../../src/modules/registry/domain/records';
import { RealHost } from '../support/real-host';
import { until } from '../support/until';

describe('BRANCH of a running sandbox', () => {
  let host: RealHost;

  before(async () => {
    host = await RealHost.start();
    await host.snapshot('py');
  });

  after(async () => {
    await host.stop();
  });

  async function fork(tag: string): Promise<string> {
    const [child] = await host.client.json<SandboxRecord[]>(201, 'POST', '/v1/sandboxes', {
      snapshot_tag: tag,
    });
    return child?.id ?? '';
  }
  const branch = (id: string, body: object, status = 201): Promise<SnapshotRecord> =>
    host.client.json(status, 'POST', `/v1/sandboxes/${id}/branch`, body);
  const refused = (status: number, id: string, body: object): Promise<string> =>
    host.client.error(status, 'POST', `/v1/sandboxes/${id}/branch`, body);
  async function evaluate(id: string, code: string): Promise<string | null> {
    const answer = await host.client.json<{ result: string | null; error: string | null }>(
      200,
      'POST',
      `/v1/sandboxes/${id}/eval`,
      { code },
    );
    assert.equal(answer.error, null);
    return answer.result;
  }
  /** Counts one further, in memory and on disk; returns both. */
  async function count(id: string): Promise<string | null> {
    const code = [
      "n = globals().get('n', 0) + 1",
      "p = pathlib.Path('/root/count')",
      'p.write_text(str(int(p.read_text()) + 1 if p.exists() else 1))',
      "f'{n} {p.read_text()}'",
    ].join('\n');
    return evaluate(id, code);
  }
  const look = (id: string): Promise<string | null> => evaluate(id, "f'{n} {p.read_text()}'");
  const remove = (id: string): Promise<void> => host.client.json(204, 'DELETE', `/v1/sandboxes/${id}`);
  const removeTag = (tag: string): Promise<void> => host.client.json(204, 'DELETE', `/v1/snapshots/${tag}`);

  it('gives each descendant exactly its ancestor’s state, over three generations and deleted ancestors', async () => {
    const first = await fork('py');
    assert.equal(await count(first), "'1 1'");
    await branch(first, { tag: 'one', mode: 'diff' });
    assert.equal(await count(first), "'2 2'", 'the source does not run on');
    await branch(first, { tag: 'two', mode: 'full' });
    const second = await fork('one');
    assert.equal(await look(second), "'1 1'");
    await count(second);
    await count(second);
    await removeTag('one');
    await branch(second, { tag: 'three', mode: 'diff' });
    await count(second);
    await branch(second, { tag: 'four', mode: 'diff' });
    await removeTag('three');
    await remove(second);
    const third = await fork('four');
    assert.equal(await look(third), "'4 4'");
    await count(third);
    await branch(third, { tag: 'five', mode: 'full' });
    const [fourth, other] = [await fork('five'), await fork('two')];
    assert.deepEqual([await look(fourth), await look(other), await look(first)], ["'5 5'", "'2 2'", "'2 2'"]);
    for (const id of [first, third, fourth, other]) await remove(id);
    for (const tag of ['two', 'four', 'five']) await removeTag(tag);
    assert.deepEqual(await host.traces(), []);
  });

  it('tells what it measured, and notes it on the source', async () => {
    const id = await fork('py');
    await evaluate(id, 'blob = bytearray(b"x" * (20 << 20)); None');
    const full = await branch(id, { tag: 'm', measure_diff: true });
    assert.deepEqual(Object.keys(full), [
      'tag',
      'dir',
      'created_at_unix',
      'status',
      'bootable',
      'branched_from',
      'pause_ms',
      'diff_ms',
      'diff_physical_bytes',
      'diff_logical_bytes',
    ]);
    assert.equal(full.branched_from, id);
    assert.equal(full.diff_logical_bytes, 256 * 1024 * 1024);
    assert.ok((full.diff_physical_bytes ?? 0) > 20 << 20 && (full.diff_physical_bytes ?? 0) < 100 << 20);
    const diff = await branch(id, {});
    assert.match(diff.tag, new RegExp(`^branch-${id}-\\d+-[0-9a-f]{4}$`));
    assert.equal(diff.diff_ms, undefined, 'the default mode is full');
    const source = await host.client.json<SandboxRecord>(200, 'GET', `/v1/sandboxes/${id}`);
    assert.deepEqual([source.has_branched, source.branch_count], [true, 2]);
    assert.equal(source.last_branch_memory_path, join(diff.dir, 'memory.bin'));
    await remove(id);
    await removeTag('m');
    await removeTag(diff.tag);
  });

  it('answers live without waiting, then lists the tag as ready', async () => {
    const id = await fork('py');
    await count(id);
    const begun = await branch(id, { tag: 'live', mode: 'live', wait: false }, 202);
    assert.deepEqual([begun.status, begun.bootable, begun.branched_from], ['writing', false, id]);
    const entry = async (): Promise<SnapshotRecord | undefined> => {
      const all = await host.client.json<SnapshotRecord[]>(200, 'GET', '/v1/snapshots');
      assert.equal(new Set(all.map(({ tag }) => tag)).size, all.length, 'a tag is listed twice');
      return all.find(({ tag }) => tag === 'live');
    };
    await until(async () => (await entry())?.status === 'ready');
    const child = await fork('live');
    assert.equal(await look(child), "'1 1'");
    const waited = await branch(child, { tag: 'live2', live: true });
    assert.equal(waited.status, 'ready');
    for (const each of [id, child]) await remove(each);
    for (const tag of ['live', 'live2']) await removeTag(tag);
  });

  it('refuses what contradicts itself, in the documented order', async () => {
    const id = await fork('py');
    assert.match(await refused(400, id, { tag: '../x' }), /tag must be 1-64 chars/);
    assert.match(await refused(400, 'not%20a%20tag', {}), /tag must be 1-64 chars/);
    for (const body of [
      { mode: 'diff', diff: true },
      { mode: 'full', live: true },
      { diff: true, live: true },
      { measure_diff: true, diff: true },
      { wait: false },
      { wait: false, mode: 'diff' },
    ]) {
      await refused(400, 'sb-0-0000', { tag: 'x', ...body });
    }
    for (const body of [
      {},
      { mode: 'full' },
      { mode: 'diff' },
      { mode: 'live' },
      { mode: 'live', wait: false },
    ]) {
      assert.equal(await refused(404, 'sb-0-0000', { tag: 'x', ...body }), 'sandbox sb-0-0000 not found');
    }
    await refused(422, id, { mode: 'fast' });
    await refused(422, id, { mode: 'FULL' });
    assert.match(await refused(409, id, { tag: 'py' }), /snapshot py already exists; DELETE first/);
    assert.match(await refused(400, id, { tag: 'x', mode: 'diff', parent_tag: 'other' }), /other.*py/);
    assert.match(await refused(400, id, { tag: 'x', parent_tag: 'py' }), /parent_tag.*diff/);
    assert.deepEqual(
      (await host.traces()).filter((trace) => trace.startsWith('snapshots')),
      [],
    );
    await remove(id);
  });

  it('lets one branch of a sandbox run at a time, and no tag be written twice', async () => {
    const [one, two] = [await fork('py'), await fork('py')];
    const answers = await Promise.all([
      host.client.send('POST', `/v1/sandboxes/${one}/branch`, { json: { tag: 'a' } }),
      host.client.send('POST', `/v1/sandboxes/${one}/branch`, { json: { tag: 'b' } }),
      host.client.send('POST', `/v1/sandboxes/${two}/branch`, { json: { tag: 'a' } }),
    ]);
    assert.deepEqual(
      answers.map(({ status }) => status),
      [201, 409, 409],
    );
    assert.match(answers[1].text, /already in progress/);
    assert.match(answers[2].text, /branch for tag 'a' is already in progress/);
    const five = await Promise.all(
      [0, 1, 2, 3, 4].map(async (index) => {
        const id = await fork('py');
        return { id, tag: `c${index}` };
      }),
    );
    const statuses = await Promise.all(
      five.map(
        async ({ id, tag }) =>
          (await host.client.send('POST', `/v1/sandboxes/${id}/branch`, { json: { tag } })).status,
      ),
    );
    assert.deepEqual(statuses.sort(), [201, 201, 201, 201, 503], 'the cap of 4 does not hold');
    for (const id of [one, two, ...five.map((each) => each.id)]) await remove(id);
  });

  it('stores only what differs from the parent, and spawns from it at any depth', async () => {
    const first = await fork('py');
    await count(first);
    await branch(first, { tag: 'd1', mode: 'diff', parent_tag: 'py' });
    const dir = join(host.config.snapshotRoot, 'd1');
    const manifest = JSON.parse(await readFile(join(dir, 'snapshot.json'), 'utf8')) as Record<
      string,
      unknown
    >;
    assert.equal(manifest['parent_tag'], 'py');
    assert.match(String(manifest['parent_content_hash']), /^[0-9a-f]{64}$/);
    assert.ok((await stat(join(dir, 'memory.diff'))).size < 60 << 20, 'more than the difference is stored');
    await assert.rejects(stat(join(dir, 'memory.bin')));
    const second = await fork('d1');
    assert.equal(await look(second), "'1 1'");
    await count(second);
    await branch(second, { tag: 'd2', mode: 'diff', parent_tag: 'd1' });
    const third = await fork('d2');
    await count(third);
    await branch(third, { tag: 'd3', mode: 'diff', parent_tag: 'd2' });
    const fourth = await fork('d3');
    assert.equal(await look(fourth), "'3 3'");
    const info = await host.client.json<Record<string, unknown>>(200, 'GET', '/v1/snapshots/d3/info');
    assert.deepEqual(info['ancestors'], ['py', 'd1', 'd2']);
    assert.equal(info['chain_depth'], 3);
    assert.equal(info['parent_tag'], 'd2');
    const compacted = await host.client.json<SnapshotRecord>(200, 'POST', '/v1/snapshots/d3/compact', {
      to: 'flat',
    });
    assert.equal(compacted.branched_from, 'compact:d3');
    for (const id of [first, second, third, fourth]) await remove(id);
    assert.match(await host.client.error(409, 'DELETE', '/v1/snapshots/d1'), /d2.*cascade=true.*force=true/);
    await host.client.json(204, 'DELETE', '/v1/snapshots/d1?cascade=true');
    const flat = await fork('flat');
    assert.equal(await look(flat), "'3 3'");
    await remove(flat);
    await removeTag('flat');
    assert.deepEqual(await host.traces(), []);
  });
});
