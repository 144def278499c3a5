import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import type { SandboxRecord, SnapshotRecord } from '../../src/modules/registry/domain/records';
import type { Answer } from '../support/http';
import { evaluate } from '../support/faults/estate';
import { MortalDaemon } from '../support/faults/mortal-daemon';
import { vmStatus } from '../support/faults/vm-status';
import { pythonImage } from '../support/real-host';
import { until } from '../support/until';

describe('a stop of a daemon with requests in flight', () => {
  let daemon: MortalDaemon;
  let id: string;

  before(async () => {
    await pythonImage();
    daemon = await MortalDaemon.create();
    await daemon.start();
    const body = { tag: 'py', image: 'python', mem_size_mib: 128, boot_wait_secs: 60 };
    await daemon.client.json(201, 'POST', '/v1/snapshots', body);
    const [child] = await daemon.client.json<SandboxRecord[]>(201, 'POST', '/v1/sandboxes', {
      snapshot_tag: 'py',
    });
    assert.ok(child);
    ({ id } = child);
    await evaluate(daemon.client, id, 'n = 7');
  });

  /** Whatever was cut, the guest runs, and goes on under the next daemon. */
  afterEach(async () => {
    await daemon.end('SIGTERM');
    assert.equal(await vmStatus(daemon.path(`run/${id}`)), 'running');
    await daemon.start();
    assert.equal(await evaluate(daemon.client, id, 'n'), '7');
    for (const { tag } of await snapshots())
      if (tag !== 'py') await daemon.client.json(204, 'DELETE', `/v1/snapshots/${tag}`);
  });

  after(async () => {
    await daemon.close();
  });

  const snapshots = (): Promise<SnapshotRecord[]> => daemon.client.json(200, 'GET', '/v1/snapshots');

  /** Begins a program in the guest, and settles when it runs; its answer is in the box. */
  async function begunExec(seconds: number): Promise<{ answer: Promise<Answer> }> {
    const args = ['sh', '-c', `touch /tmp/begun; sleep ${seconds}`];
    const path = `/v1/sandboxes/${id}/exec`;
    await daemon.client.json(200, 'POST', path, { args: ['rm', '-f', '/tmp/begun'] });
    const asked = daemon.client.send('POST', path, { json: { args, timeout_secs: 600 } });
    asked.catch(() => undefined);
    await until(async () => {
      const seen = await daemon.client.json<{ exit_code: number }>(200, 'POST', path, {
        args: ['test', '-e', '/tmp/begun'],
      });
      return seen.exit_code === 0;
    });
    return { answer: asked };
  }

  const branch = (body: object): Promise<Answer> =>
    daemon.client.send('POST', `/v1/sandboxes/${id}/branch`, { json: body });

  it('waits for a program that runs in a guest, and answers with its end', async () => {
    const { answer } = await begunExec(2);
    daemon.signal('SIGTERM');
    assert.equal((await answer).status, 200);
    assert.deepEqual(await daemon.ended(), [0, null]);
  });

  for (const event of [
    'before vm.pause',
    'before memory.captured',
    'after memory.captured',
    'before memory.done',
  ]) {
    it(`completes a BRANCH: at the moment ${event}`, async () => {
      await daemon.order({ nth: 1, event, action: 'stop' });
      assert.equal((await branch({ tag: 'made', mode: 'diff' })).status, 201);
      assert.deepEqual(await daemon.ended(), [0, null]);
    });
  }

  it('completes a BRANCH whose client has its answer already', async () => {
    await daemon.order({ nth: 1, event: 'before vm.pause', action: 'stop' });
    assert.equal((await branch({ tag: 'made', mode: 'live', wait: false })).status, 202);
    assert.deepEqual(await daemon.ended(), [0, null]);
    await daemon.start();
    const made = (await snapshots()).find(({ tag }) => tag === 'made');
    assert.equal(made?.status, 'ready');
  });

  it('completes a spawn', async () => {
    await daemon.order({ nth: 1, event: 'before guest.handshake', action: 'stop' });
    const answer = await daemon.client.send('POST', '/v1/sandboxes', { json: { snapshot_tag: 'py' } });
    assert.equal(answer.status, 201);
    assert.deepEqual(await daemon.ended(), [0, null]);
    const [made] = JSON.parse(answer.text) as SandboxRecord[];
    await daemon.start();
    assert.equal(await evaluate(daemon.client, made?.id ?? '', '1 + 1'), '2');
    await daemon.client.json(204, 'DELETE', `/v1/sandboxes/${made?.id ?? ''}`);
  });

  it('waits no longer at a second signal; the guest runs on', async () => {
    const { answer } = await begunExec(300);
    daemon.signal('SIGTERM');
    await daemon.said(/SIGTERM received/);
    daemon.signal('SIGTERM');
    await assert.rejects(answer);
    assert.deepEqual(await daemon.ended(), [0, null]);
  });

  it('leaves no guest paused at a second signal in the middle of a BRANCH', async () => {
    for (const event of ['after vm.pause', 'before memory.captured']) {
      await daemon.order({ nth: 1, event, action: 'stop' });
      const asked = branch({ tag: 'made', mode: 'full' }).catch(() => undefined);
      await daemon.said(/SIGTERM received/);
      daemon.signal('SIGTERM');
      await asked;
      assert.deepEqual(await daemon.ended(), [0, null]);
      assert.equal(await vmStatus(daemon.path(`run/${id}`)), 'running');
      await daemon.start();
      if ((await snapshots()).length > 1) await daemon.client.json(204, 'DELETE', '/v1/snapshots/made');
    }
  });
});
