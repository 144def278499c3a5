import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { SimulatedHost } from '../../support/simulated-host';
import { assertClear, type Scenario, sweep } from '../../support/simulated-engine/sweep';
import { until } from '../../support/until';

const REASON = /injected fault|registry/;

describe('deleting', () => {
  let host: SimulatedHost;

  before(async () => {
    host = await SimulatedHost.start();
    await host.snapshot('py');
  });

  after(async () => {
    await host.stop();
  });

  const remove: Scenario['request'] = ({ client }, path, signal) =>
    client.send('DELETE', path, signal === undefined ? {} : { signal });

  /** After whatever happened: the second try finds it or not, and then it is gone. */
  async function removeAgain(path: string, at: string): Promise<void> {
    const { status, text } = await host.client.send('DELETE', path);
    assert.ok(status === 204 || status === 404, `${at}: ${status} ${text}`);
    assert.equal((await host.client.send('DELETE', path)).status, 404, at);
    assert.deepEqual(await host.traces(), [], at);
  }

  describe('a sandbox', () => {
    const scenario: Scenario = {
      prepare: async ({ client }) => {
        const [child] = await client.json<{ id: string }[]>(201, 'POST', '/v1/sandboxes', {
          snapshot_tag: 'py',
        });
        return `/v1/sandboxes/${child?.id ?? ''}`;
      },
      request: remove,
    };

    it('can be tried again wherever something fails', async () => {
      const hits = await sweep(host, scenario, 'fail', async (visit) => {
        assertClear(visit, REASON);
        await removeAgain(visit.prepared, visit.at);
      });
      assert.ok(hits >= 8, `only ${hits} operations were seen`);
    });

    it('has happened or has not when the daemon is killed at any moment', async () => {
      await sweep(host, scenario, 'crash', async ({ prepared, at }) => {
        const found = await host.client.send('GET', prepared);
        if (found.status === 200) {
          const { status } = await host.client.send('POST', `${prepared}/eval`, { json: { code: '1' } });
          assert.equal(status, 200, `it is listed, so it answers: ${at}`);
        }
        await removeAgain(prepared, at);
      });
    });

    it('goes on when the client leaves', async () => {
      await sweep(host, scenario, 'hang', async ({ prepared, at }) => {
        await until(async () => (await host.client.send('GET', prepared)).status === 404);
        await removeAgain(prepared, at);
      });
    });
  });

  it('a sandbox while its snapshot is being deleted leaves nothing of what was kept for it', async () => {
    await host.snapshot('short');
    const [child] = await host.client.json<{ id: string }[]>(201, 'POST', '/v1/sandboxes', {
      snapshot_tag: 'short',
    });
    const keeping = host.faults.inject({ action: 'hang', name: 'fs.rename', target: /\.origins/ });
    const deletion = host.client.json(204, 'DELETE', '/v1/snapshots/short');
    await keeping;
    await host.client.json(204, 'DELETE', `/v1/sandboxes/${child?.id ?? ''}`);
    host.faults.release();
    await deletion;
    assert.deepEqual(await host.traces(), []);
  });

  it('a snapshot on which a branch is being stored leaves nothing of the branch either', async () => {
    await host.snapshot('short');
    const [child] = await host.client.json<{ id: string }[]>(201, 'POST', '/v1/sandboxes', {
      snapshot_tag: 'short',
    });
    const path = `/v1/sandboxes/${child?.id ?? ''}`;
    const publishing = host.faults.inject({ action: 'hang', name: 'fs.rename', target: /-> .*\/upon$/ });
    const branch = host.client.json(201, 'POST', `${path}/branch`, {
      tag: 'upon',
      mode: 'diff',
      parent_tag: 'short',
    });
    await publishing;
    const deletion = host.client.json(204, 'DELETE', '/v1/snapshots/short?cascade=true');
    // Answered after the deletion has begun, which waits for the branch.
    for (let asked = 0; asked < 3; asked++) await host.client.json(200, 'GET', '/v1/snapshots');
    host.faults.release();
    await Promise.all([branch, deletion]);
    await host.client.json(204, 'DELETE', path);
    assert.deepEqual(await host.traces(), []);
  });

  describe('a snapshot', () => {
    const scenario: Scenario = {
      prepare: async ({ client }) => {
        const { status } = await client.send('DELETE', '/v1/snapshots/old');
        assert.ok(status === 204 || status === 404);
        await host.snapshot('old');
        return '/v1/snapshots/old';
      },
      request: remove,
    };

    /** A snapshot that is listed can be started; one that is not has no files. */
    async function assertWholeOrGone(at: string): Promise<void> {
      const listed = await host.client.json<{ tag: string; status: string }[]>(200, 'GET', '/v1/snapshots');
      const old = listed.find(({ tag }) => tag === 'old');
      if (old === undefined) {
        assert.deepEqual(await host.snapshotDirectories(), ['py'], at);
        return;
      }
      assert.equal(old.status, 'ready', at);
      const [child] = await host.client.json<{ id: string }[]>(201, 'POST', '/v1/sandboxes', {
        snapshot_tag: 'old',
      });
      await host.client.json(204, 'DELETE', `/v1/sandboxes/${child?.id ?? ''}`);
    }

    it('can be tried again wherever something fails', async () => {
      const hits = await sweep(host, scenario, 'fail', async (visit) => {
        assertClear(visit, REASON);
        // What could not be removed is tried again at the next start.
        if (visit.operation.name === 'fs.rm') await host.restart();
        await assertWholeOrGone(visit.at);
        await removeAgain(visit.prepared, visit.at);
      });
      assert.ok(hits >= 8, `only ${hits} operations were seen`);
    });

    it('has happened or has not when the daemon is killed at any moment', async () => {
      await sweep(host, scenario, 'crash', async ({ prepared, at }) => {
        await assertWholeOrGone(at);
        await removeAgain(prepared, at);
      });
    });
  });
});
