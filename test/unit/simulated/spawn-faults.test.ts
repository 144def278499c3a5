import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { SimulatedHost } from '../../support/simulated-host';
import { assertClear, type Scenario, sweep, type Visit } from '../../support/simulated-engine/sweep';
import { until } from '../../support/until';

interface Sandbox {
  readonly id: string;
}

const REASON =
  /injected fault|registry|VM of \S+ ended|control connection was closed|guest of \S+ did not answer/;

describe('a spawn', () => {
  let host: SimulatedHost;

  before(async () => {
    host = await SimulatedHost.start();
    await host.snapshot('py');
  });

  after(async () => {
    await host.stop();
  });

  const spawnOf = (n: number): Scenario => ({
    request: ({ client }, _prepared, signal) =>
      client.send('POST', '/v1/sandboxes', {
        json: { snapshot_tag: 'py', n },
        ...(signal === undefined ? {} : { signal }),
      }),
    undo: removeAll,
  });

  const list = (): Promise<Sandbox[]> => host.client.json<Sandbox[]>(200, 'GET', '/v1/sandboxes');

  async function removeAll(): Promise<void> {
    for (const { id } of await list()) await host.client.json(204, 'DELETE', `/v1/sandboxes/${id}`);
  }

  async function worksAgain(at: string): Promise<void> {
    const [child] = await host.client.json<Sandbox[]>(201, 'POST', '/v1/sandboxes', { snapshot_tag: 'py' });
    const path = `/v1/sandboxes/${child?.id ?? ''}`;
    const { result } = await host.client.json<{ result: string }>(200, 'POST', `${path}/eval`, { code: '4' });
    assert.equal(result, '4', at);
    await host.client.json(204, 'DELETE', path);
    assert.deepEqual(await host.traces(), [], at);
  }

  /** What may not be undone in place is left to the next start. */
  async function leavesNothing({ operation, at }: Visit): Promise<void> {
    if (operation.name === 'fs.rm' || operation.name === 'vm.kill') await host.restart();
    assert.deepEqual(await host.traces(), [], at);
  }

  for (const n of [1, 3]) {
    it(`of ${n} is undone wherever something fails, and works again`, async () => {
      const hits = await sweep(host, spawnOf(n), 'fail', async (visit) => {
        assertClear(visit, REASON);
        if ((visit.answer?.status ?? 0) < 300) await removeAll();
        await leavesNothing(visit);
        await worksAgain(visit.at);
      });
      assert.ok(hits >= 20, `only ${hits} operations were seen`);
    });

    it(`of ${n} is undone when a VM ends at any moment`, async () => {
      await sweep(host, spawnOf(n), 'end-vm', async (visit) => {
        assertClear(visit, REASON);
        if ((visit.answer?.status ?? 0) < 300) await removeAll();
        assert.deepEqual(await host.traces(), [], visit.at);
      });
      await worksAgain('afterwards');
    });

    it(`of ${n} is undone when the client leaves while something hangs`, async () => {
      await sweep(host, spawnOf(n), 'hang', async ({ at }) => {
        await until(async () => (await host.traces()).length === 0);
        assert.deepEqual(await list(), [], at);
      });
      await worksAgain('afterwards');
    });

    it(`of ${n} has happened or has not when the daemon is killed at any moment`, async () => {
      await sweep(host, spawnOf(n), 'crash', async ({ at }) => {
        const kept = await list();
        assert.ok(kept.length === 0 || kept.length === n, `${kept.length} of ${n}, ${at}`);
        for (const { id } of kept) {
          const answer = await host.client.send('POST', `/v1/sandboxes/${id}/eval`, { json: { code: '1' } });
          assert.equal(answer.status, 200, `${at}: ${answer.text}`);
        }
        await removeAll();
        assert.deepEqual(await host.traces(), [], at);
      });
      await worksAgain('afterwards');
    });
  }
});
