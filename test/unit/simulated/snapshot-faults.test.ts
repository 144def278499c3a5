import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { SimulatedHost } from '../../support/simulated-host';
import { assertClear, type Scenario, sweep, type Visit } from '../../support/simulated-engine/sweep';
import { until } from '../../support/until';

interface Snapshot {
  readonly tag: string;
  readonly status: string;
  readonly warning?: string;
}

const REASON =
  /injected fault|registry|the VM ended|control connection was closed|guest agent does not answer/;
const BODY = { tag: 'new', image: 'python', mem_size_mib: 64, boot_wait_secs: 60 };

describe('making a snapshot', () => {
  let host: SimulatedHost;

  before(async () => {
    host = await SimulatedHost.start();
  });

  after(async () => {
    await host.stop();
  });

  const create: Scenario = {
    request: ({ client }, _prepared, signal) =>
      client.send('POST', '/v1/snapshots', { json: BODY, ...(signal === undefined ? {} : { signal }) }),
    undo: remove,
  };

  async function remove(): Promise<void> {
    await host.client.json(204, 'DELETE', '/v1/snapshots/new');
  }

  const list = (): Promise<Snapshot[]> => host.client.json<Snapshot[]>(200, 'GET', '/v1/snapshots');

  /** No process, no directory, no entry. */
  async function assertNothing(at: string): Promise<void> {
    assert.deepEqual(await host.traces(), [], at);
    assert.deepEqual(await list(), [], at);
    assert.deepEqual(await host.snapshotDirectories(), [], at);
  }

  async function assertUsable(at: string): Promise<void> {
    const [child] = await host.client.json<{ id: string }[]>(201, 'POST', '/v1/sandboxes', {
      snapshot_tag: 'new',
    });
    const path = `/v1/sandboxes/${child?.id ?? ''}`;
    const { result } = await host.client.json<{ result: string }>(200, 'POST', `${path}/eval`, { code: '4' });
    assert.equal(result, '4', at);
    await host.client.json(204, 'DELETE', path);
    assert.deepEqual(await host.traces(), [], at);
  }

  async function worksAgain(at: string): Promise<void> {
    await host.snapshot('new');
    await assertUsable(at);
    await remove();
  }

  async function isWholeOrNothing({ answer, at }: Visit): Promise<void> {
    if ((answer?.status ?? 500) < 300) {
      await assertUsable(at);
      await remove();
    }
    await assertNothing(at);
  }

  it('is undone wherever something fails, and works again', async () => {
    const hits = await sweep(host, create, 'fail', async (visit) => {
      assertClear(visit, REASON);
      if (visit.operation.name === 'fs.rm' || visit.operation.name === 'vm.kill') await host.restart();
      await isWholeOrNothing(visit);
      await worksAgain(visit.at);
    });
    assert.ok(hits >= 30, `only ${hits} operations were seen`);
  });

  it('is undone when its VM ends at any moment', async () => {
    await sweep(host, create, 'end-vm', async (visit) => {
      assertClear(visit, REASON);
      await isWholeOrNothing(visit);
    });
    await worksAgain('afterwards');
  });

  it('is undone when the client leaves while something hangs', async () => {
    await sweep(host, create, 'hang', async ({ at }) => {
      await until(async () => {
        const [traces, snapshots] = [await host.traces(), await list()];
        return traces.length === 0 && snapshots.every(({ status }) => status !== 'writing');
      });
      // A client that leaves at the very end cannot be told from one that has its answer.
      if ((await list()).length > 0) {
        await assertUsable(at);
        await remove();
      }
      await assertNothing(at);
    });
    await worksAgain('afterwards');
  });

  it('has happened or has not when the daemon is killed at any moment', async () => {
    await sweep(host, create, 'crash', async ({ at }) => {
      assert.deepEqual(await host.traces(), [], at);
      const [left] = await list();
      if (left) {
        assert.deepEqual({ tag: left.tag, status: left.status }, { tag: 'new', status: 'ready' }, at);
        await assertUsable(at);
        await remove();
      }
      await assertNothing(at);
    });
    await worksAgain('afterwards');
  });
});
