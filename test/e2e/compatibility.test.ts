import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { SandboxRecord, SnapshotRecord } from '../../src/modules/registry/domain/records';
import { RealHost } from '../support/real-host';

/** What clients of upstream's 0.5 rely on, by the section of docs/compatibility.md; here what needs a VM. */
describe('compatibility, with VMs', () => {
  let host: RealHost;

  before(async () => {
    host = await RealHost.start();
    await host.snapshot('py');
  });

  after(async () => {
    await host.stop();
  });

  const spawn = (body: object = {}): Promise<SandboxRecord[]> =>
    host.client.json(201, 'POST', '/v1/sandboxes', { snapshot_tag: 'py', ...body });
  const kill = async (sandboxes: readonly SandboxRecord[]): Promise<void> => {
    await Promise.all(sandboxes.map(({ id }) => host.client.json(204, 'DELETE', `/v1/sandboxes/${id}`)));
  };
  const one = async (body: object = {}): Promise<SandboxRecord> => {
    const [only, ...rest] = await spawn(body);
    assert.ok(only !== undefined && rest.length === 0);
    return only;
  };
  const evaluate = async (id: string, code: string): Promise<string | null> =>
    (await host.client.json<{ result: string | null }>(200, 'POST', `/v1/sandboxes/${id}/eval`, { code }))
      .result;

  it('3.1 FIX: memory_limit_mib is echoed only where it holds', async () => {
    const child = await one({ memory_limit_mib: 1024 });
    if (child.memory_limit_mib !== null) {
      assert.equal(child.memory_limit_mib, 1024);
      const cgroup =
        (await readFile(`/proc/${String(child.pid)}/cgroup`, 'utf8')).trim().split('::')[1] ?? '';
      const limit = await readFile(join('/sys/fs/cgroup', cgroup, 'memory.max'), 'utf8');
      assert.equal(Number(limit), 1024 * 1024 * 1024);
    }
    await kill([child]);
  });

  it('4 MUST: ids are of letters, digits, dash and underscore, and no two are the same', async () => {
    const children = [...(await spawn({ n: 2 })), ...(await spawn())];
    for (const { id } of children) assert.match(id, /^sb-[0-9a-f]+-[0-9a-f]{4,}$/);
    assert.equal(new Set(children.map(({ id }) => id)).size, 3);
    assert.equal(new Set(children.slice(0, 2).map((child) => child.created_at_unix)).size, 1);
    await kill(children);
  });

  it('8.4 FIX: a second spawn of a tag leaves the first reachable', async () => {
    const first = await one();
    const second = await one();
    for (const { id } of [first, second]) {
      const pong = await host.client.json<{ pong: boolean }>(200, 'POST', `/v1/sandboxes/${id}/ping`);
      assert.equal(pong.pong, true);
    }
    await kill([second]);
    assert.equal(await evaluate(first.id, '1+1'), '2');
    await kill([first]);
  });

  it('5.12 FIX: a second branch of a sandbox at the same time is 409, and the first is right', async () => {
    const source = await one();
    await evaluate(source.id, 'kept = 7');
    const answers = await Promise.all(
      ['a', 'b'].map((tag) =>
        host.client.send('POST', `/v1/sandboxes/${source.id}/branch`, { json: { tag, mode: 'full' } }),
      ),
    );
    assert.deepEqual(answers.map(({ status }) => status).sort(), [201, 409]);
    const refusal = JSON.parse(answers.find(({ status }) => status === 409)?.text ?? '') as { error: string };
    assert.ok(refusal.error.includes(source.id), refusal.error);
    const made = JSON.parse(answers.find(({ status }) => status === 201)?.text ?? '') as SnapshotRecord;
    const tags = (await host.client.json<SnapshotRecord[]>(200, 'GET', '/v1/snapshots')).map(
      ({ tag }) => tag,
    );
    assert.deepEqual(tags, [made.tag, 'py'].sort());
    const child = await one({ snapshot_tag: made.tag });
    assert.equal(await evaluate(child.id, 'kept'), '7');
    await kill([source, child]);
    await host.client.json(204, 'DELETE', `/v1/snapshots/${made.tag}`);
  });

  it('8.4 FIX: diff branches of two sandboxes at the same moment do not mix', async () => {
    const sources = await spawn({ n: 2 });
    await Promise.all(
      sources.map(({ id }, index) => evaluate(id, `mine = ${index} ; big = [${index}] * 1000000`)),
    );
    await Promise.all(
      sources.map(({ id }, index) =>
        host.client.json(201, 'POST', `/v1/sandboxes/${id}/branch`, { tag: `of-${index}`, mode: 'diff' }),
      ),
    );
    for (const index of sources.keys()) {
      const child = await one({ snapshot_tag: `of-${index}` });
      assert.equal(await evaluate(child.id, '(mine, set(big), len(big))'), `(${index}, {${index}}, 1000000)`);
      await kill([child]);
      await host.client.json(204, 'DELETE', `/v1/snapshots/of-${index}`);
    }
    await kill(sources);
  });

  it('5.12 FIX: live works on a sandbox that was not spawned for it, or the answer says what was done', async () => {
    const source = await one();
    const made = await host.client.json<SnapshotRecord>(201, 'POST', `/v1/sandboxes/${source.id}/branch`, {
      tag: 'live',
      mode: 'live',
    });
    assert.equal(made.status, 'ready');
    const live = (await readFile('/proc/self/smaps', 'utf8')).includes(' sd');
    if (live) assert.equal(made.warning, undefined);
    else assert.match(made.warning ?? '', /^live was done as diff: .*CONFIG_MEM_SOFT_DIRTY/);
    await kill([source]);
    await host.client.json(204, 'DELETE', '/v1/snapshots/live');
  });

  it('5.8 FIX: after a restart of the daemon a sandbox can be branched, and its deletion ends the VM', async () => {
    const source = await one();
    await evaluate(source.id, 'kept = 8');
    await host.restart();
    await host.client.json(201, 'POST', `/v1/sandboxes/${source.id}/branch`, { tag: 'later', mode: 'diff' });
    await kill([source]);
    assert.deepEqual(await host.vmProcesses(), []);
    const child = await one({ snapshot_tag: 'later' });
    assert.equal(await evaluate(child.id, 'kept'), '8');
    await kill([child]);
    await host.client.json(204, 'DELETE', '/v1/snapshots/later');
    assert.deepEqual(await host.traces(), []);
  });
});
