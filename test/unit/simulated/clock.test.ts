import assert from 'node:assert/strict';
import { describe, it, mock } from 'node:test';
import { SimulatedHost } from '../../support/simulated-host';

interface Sandbox {
  readonly id: string;
}

const DAY_MS = 86_400_000;

describe('a wall clock that jumps', () => {
  it('back and forth at every look changes nothing', async () => {
    const now = Date.now;
    let looks = 0;
    const clock = mock.method(Date, 'now', () => now() + ((looks++ % 3) - 1) * 30 * DAY_MS);
    const host = await SimulatedHost.start();
    const spawn = (n: number): Promise<Sandbox[]> =>
      host.client.json<Sandbox[]>(201, 'POST', '/v1/sandboxes', { snapshot_tag: 'py', n });
    const variable = async (id: string, code: string): Promise<string> => {
      const path = `/v1/sandboxes/${id}/eval`;
      return (await host.client.json<{ result: string }>(200, 'POST', path, { code })).result;
    };
    try {
      await host.snapshot('py');
      const all = new Set<string>();
      for (let round = 0; round < 5; round++) {
        const sandboxes = await spawn(3);
        for (const { id } of sandboxes) {
          assert.ok(!all.has(id), 'an id was given twice');
          all.add(id);
          await variable(id, `set me ${id}`);
        }
        const [first] = sandboxes;
        assert.ok(first);
        const branch = { tag: `b${round}`, mode: 'diff' };
        await host.client.json(201, 'POST', `/v1/sandboxes/${first.id}/branch`, branch);
        await host.crash();
        for (const { id } of sandboxes) assert.equal(await variable(id, 'get me'), `'${id}'`);
      }
      await host.client.json(201, 'POST', '/v1/workspaces', { name: 'dev', snapshot_tag: 'b0' });
      await host.client.json(200, 'POST', '/v1/workspaces/dev/suspend', { diff: true });
      await host.restart();
      await host.client.json(200, 'POST', '/v1/workspaces/dev/resume');
      await host.client.json(204, 'DELETE', '/v1/workspaces/dev');
      for (const id of all) await host.client.json(204, 'DELETE', `/v1/sandboxes/${id}`);
      assert.deepEqual(await host.traces(), []);
    } finally {
      await host.stop();
      clock.mock.restore();
    }
  });
});
