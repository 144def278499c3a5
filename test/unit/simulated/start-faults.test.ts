import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { SimulatedHost } from '../../support/simulated-host';

interface Sandbox {
  readonly id: string;
  readonly pid: number;
}

describe('a start', () => {
  it('that is killed at any moment loses nothing and leaves the rest to the next one', async () => {
    const host = await SimulatedHost.start();
    const spawn = (n: number): Promise<Sandbox[]> =>
      host.client.json<Sandbox[]>(201, 'POST', '/v1/sandboxes', { snapshot_tag: 'py', n });
    try {
      await host.snapshot('py');
      const kept = await spawn(2);
      for (const { id } of kept) {
        await host.client.json(200, 'POST', `/v1/sandboxes/${id}/eval`, { code: `set me ${id}` });
      }
      let operations = 0;
      for (;;) {
        const [lost, forgotten] = await spawn(2);
        assert.ok(lost && forgotten);
        await host.forget(forgotten.id);
        const first = await host.crashWhileStarting(operations + 1, async () => {
          host.world.find(lost.pid)?.kill();
          await mkdir(join(host.config.runDir, 'sb-0-0000'));
          await mkdir(join(host.config.snapshotRoot, '.new-half-00000000'));
          await mkdir(join(host.config.snapshotRoot, '.trash-py-00000000'));
          await writeFile(join(host.config.snapshotRoot, '.trash-py-00000000', 'vmstate'), '');
        });
        const at = `crash at ${operations + 1}, ${first?.name ?? ''} '${first?.target ?? ''}'`;
        const listed = await host.client.json<Sandbox[]>(200, 'GET', '/v1/sandboxes');
        assert.deepEqual(
          listed.map(({ id }) => id),
          kept.map(({ id }) => id).sort(),
          at,
        );
        for (const { id } of kept) {
          const path = `/v1/sandboxes/${id}/eval`;
          const answer = await host.client.send('POST', path, { json: { code: 'get me' } });
          assert.equal(answer.status, 200, `${at}: ${answer.text}`);
          assert.match(answer.text, new RegExp(id), at);
        }
        assert.deepEqual(await host.snapshotDirectories(), ['py'], at);
        // A process, a run directory and an entry each.
        assert.equal((await host.traces()).length, 3 * kept.length, `${(await host.traces()).join()}; ${at}`);
        if (first === undefined) break;
        operations += 1;
      }
      assert.ok(operations >= 10, `only ${operations} operations were seen`);
    } finally {
      await host.stop();
    }
  });
});
