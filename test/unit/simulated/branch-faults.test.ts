import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { SimulatedHost } from '../../support/simulated-host';
import { assertClear, type Scenario, sweep } from '../../support/simulated-engine/sweep';

interface Snapshot {
  readonly tag: string;
  readonly status: string;
}

const REASON = /injected fault|registry|VM of \S+ has ended|VM ended|no longer the one/;
const BRANCHES: Record<string, object> = {
  'a live branch': { mode: 'live' },
  'a full, measured branch': { measure_diff: true },
  'a branch stored on its parent': { mode: 'diff', parent_tag: 'py' },
};

for (const [name, body] of Object.entries(BRANCHES)) {
  describe(name, () => {
    let host: SimulatedHost;
    let source = '';
    let value = 0;

    before(async () => {
      host = await SimulatedHost.start();
      await host.snapshot('py');
      source = await spawn('py');
    });

    after(async () => {
      await host.stop();
    });

    async function spawn(tag: string): Promise<string> {
      const [child] = await host.client.json<{ id: string }[]>(201, 'POST', '/v1/sandboxes', {
        snapshot_tag: tag,
      });
      return `/v1/sandboxes/${child?.id ?? ''}`;
    }

    async function evaluate(path: string, code: string, at: string): Promise<string | null> {
      const answer = await host.client.send('POST', `${path}/eval`, { json: { code } });
      assert.equal(answer.status, 200, `${at}: ${answer.text}`);
      return (JSON.parse(answer.text) as { result: string | null }).result;
    }

    const remove = async (): Promise<void> => {
      const answer = await host.client.send('DELETE', '/v1/snapshots/new');
      assert.ok(answer.status === 204 || answer.status === 404, answer.text);
    };

    /** The source counts, so that every branch is of another state. */
    const branch: Scenario = {
      prepare: async () => {
        value += 1;
        await evaluate(source, `set n ${value}`, 'before');
        return source;
      },
      request: ({ client }, path, signal) =>
        client.send('POST', `${path}/branch`, {
          json: { tag: 'new', ...body },
          ...(signal === undefined ? {} : { signal }),
        }),
      // The copied base is brought to disk after the answer.
      goesOn: true,
      undo: remove,
    };

    /** The source runs on as it was, the tag is whole with the state of its branch or not there, and nothing else is. */
    async function assertWholeOrNothing(at: string): Promise<void> {
      assert.equal(await evaluate(source, 'get n', at), `'${value}'`, `the source runs on: ${at}`);
      const listed = await host.client.json<Snapshot[]>(200, 'GET', '/v1/snapshots');
      const made = listed.find(({ tag }) => tag === 'new');
      if (made) {
        assert.equal(made.status, 'ready', at);
        const child = await spawn('new');
        assert.equal(await evaluate(child, 'get n', at), `'${value}'`, at);
        await host.client.json(204, 'DELETE', child);
        await remove();
      }
      assert.deepEqual(await host.snapshotDirectories(), ['py'], at);
      assert.equal((await host.traces()).length, 3, `${(await host.traces()).join()} ${at}`);
    }

    async function worksAgain(at: string): Promise<void> {
      await branch.prepare?.(host);
      const answer = await branch.request(host, source);
      assert.equal(answer.status, 201, `${at}: ${answer.text}`);
      await assertWholeOrNothing(at);
    }

    it('is undone wherever something fails, and works again', async () => {
      const hits = await sweep(host, branch, 'fail', async (visit) => {
        assertClear(visit, REASON);
        if (visit.operation.name === 'fs.rm') await host.restart();
        if (visit.operation.name === 'vm.resume') {
          assert.ok((visit.answer?.status ?? 0) >= 200);
          await host.restart();
        }
        await assertWholeOrNothing(visit.at);
        await worksAgain(visit.at);
      });
      assert.ok(hits >= 20, `only ${hits} operations were seen`);
    });

    it('has happened or has not when the daemon is killed at any moment', async () => {
      await sweep(host, branch, 'crash', async ({ at }) => {
        await assertWholeOrNothing(at);
      });
      await worksAgain('afterwards');
    });

    it('leaves nothing when the source ends at any moment', async () => {
      await sweep(host, branch, 'end-vm', async (visit) => {
        assertClear(visit, REASON);
        await remove();
        await host.client.json(204, 'DELETE', source);
        assert.deepEqual(await host.traces(), [], visit.at);
        assert.deepEqual(await host.snapshotDirectories(), ['py'], visit.at);
        source = await spawn('py');
      });
      await worksAgain('afterwards');
    });
  });
}
