import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { SimulatedHost } from '../../support/simulated-host';

const CYCLES = 1000;
const WARM_UP = 300;
const BATCH = 100;
const MIB = 1024 * 1024;
/** What measurements of a process that gets no larger differ by; a leak of 4 KiB a cycle shows. */
const HEAP_SLACK_MIB = 4;
const RESIDENT_SLACK_MIB = 64;

interface Sandbox {
  readonly id: string;
}

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/** What this process holds once nothing is under way. */
async function holdings(): Promise<{ files: number; handles: number; heap: number; resident: number }> {
  // Sockets close in later turns.
  for (let turns = 0; turns < 50; turns++) await turn();
  collectGarbage();
  const { heapUsed, rss } = process.memoryUsage();
  const files = (await readdir('/proc/self/fd')).length;
  return { files, handles: process.getActiveResourcesInfo().length, heap: heapUsed, resident: rss };
}

describe('a daemon that serves for long', () => {
  let host: SimulatedHost;

  before(async () => {
    host = await SimulatedHost.start();
    await host.snapshot('py');
  });

  after(async () => {
    await host.stop();
  });

  const spawn = (n: number): Promise<Sandbox[]> =>
    host.client.json<Sandbox[]>(201, 'POST', '/v1/sandboxes', { snapshot_tag: 'py', n });

  async function remove(sandboxes: readonly Sandbox[]): Promise<void> {
    for (const { id } of sandboxes) await host.client.json(204, 'DELETE', `/v1/sandboxes/${id}`);
  }

  it(`holds no more after ${CYCLES} sandboxes came and went`, async (t) => {
    for (let cycle = 0; cycle < WARM_UP; cycle++) await remove(await spawn(1));
    const early = await holdings();
    const began = performance.now();
    for (let cycle = 0; cycle < CYCLES; cycle++) await remove(await spawn(1));
    const took = performance.now() - began;
    const late = await holdings();
    t.diagnostic(
      `${(took / CYCLES).toFixed(2)} ms a cycle; files ${early.files} -> ${late.files}, handles ${early.handles} -> ${late.handles}, heap ${(early.heap / MIB).toFixed(1)} -> ${(late.heap / MIB).toFixed(1)} MiB, resident ${(early.resident / MIB).toFixed(0)} -> ${(late.resident / MIB).toFixed(0)} MiB`,
    );
    assert.equal(late.files, early.files, 'open files');
    assert.equal(late.handles, early.handles, 'handles');
    assert.ok(late.heap - early.heap < HEAP_SLACK_MIB * MIB, 'heap');
    assert.ok(late.resident - early.resident < RESIDENT_SLACK_MIB * MIB, 'resident memory');
    assert.deepEqual(await host.traces(), []);
  });

  it('gives back as much after batches, failed ones and branches', async () => {
    const round = async (): Promise<void> => {
      const [first, ...others] = await spawn(10);
      assert.ok(first);
      const tag = { tag: 'b', mode: 'diff', parent_tag: 'py' };
      await host.client.json(201, 'POST', `/v1/sandboxes/${first.id}/branch`, tag);
      void host.faults.inject({ action: 'fail', name: 'restore.greeting', nth: 7 });
      await host.client.error(500, 'POST', '/v1/sandboxes', { snapshot_tag: 'b', n: 10 });
      host.faults.release();
      await remove([first, ...others]);
      await host.client.json(204, 'DELETE', '/v1/snapshots/b');
    };
    for (let cycle = 0; cycle < 5; cycle++) await round();
    const early = await holdings();
    for (let cycle = 0; cycle < 20; cycle++) await round();
    const late = await holdings();
    assert.equal(late.files, early.files, 'open files');
    assert.equal(late.handles, early.handles, 'handles');
    assert.deepEqual(await host.traces(), []);
  });

  it(`spends little of its own on each of ${BATCH} sandboxes`, async (t) => {
    await remove(await spawn(BATCH));
    const before = process.cpuUsage();
    const sandboxes = await spawn(BATCH);
    const { user, system } = process.cpuUsage(before);
    // The simulated guests' own work is in it, so it is an upper bound.
    t.diagnostic(`${((user + system) / 1000 / BATCH).toFixed(2)} ms of CPU a sandbox`);
    await remove(sandboxes);
    assert.deepEqual(await host.traces(), []);
  });
});

describe('a daemon that starts over 50 sandboxes', () => {
  const COUNT = 50;
  /** Hundreds of times what it takes, for machines under load. */
  const LIMIT_MS = 10_000;

  for (const how of ['restart', 'crash'] as const) {
    it(`serves soon after a ${how}, and all of them answer`, async (t) => {
      const host = await SimulatedHost.start();
      try {
        await host.snapshot('py');
        const sandboxes = await host.client.json<Sandbox[]>(201, 'POST', '/v1/sandboxes', {
          snapshot_tag: 'py',
          n: COUNT,
        });
        const pids = await host.vmProcesses();
        for (const { id } of sandboxes) {
          await host.client.json(200, 'POST', `/v1/sandboxes/${id}/eval`, { code: `set me ${id}` });
        }
        const began = performance.now();
        await host[how]();
        const { ok } = await host.client.json<{ ok: boolean }>(200, 'GET', '/healthz');
        const took = performance.now() - began;
        assert.ok(ok);
        t.diagnostic(`${took.toFixed(0)} ms from the ${how} to the first answer`);
        assert.ok(took < LIMIT_MS);
        assert.deepEqual(await host.vmProcesses(), pids);
        const listed = await host.client.json<Sandbox[]>(200, 'GET', '/v1/sandboxes');
        assert.deepEqual(
          listed.map(({ id }) => id),
          sandboxes.map(({ id }) => id).sort(),
        );
        await Promise.all(
          sandboxes.map(async ({ id }) => {
            const { result } = await host.client.json<{ result: string }>(
              200,
              'POST',
              `/v1/sandboxes/${id}/eval`,
              { code: 'get me' },
            );
            assert.equal(result, `'${id}'`);
            await host.client.json(204, 'DELETE', `/v1/sandboxes/${id}`);
          }),
        );
        assert.deepEqual(await host.traces(), []);
      } finally {
        await host.stop();
      }
    });
  }
});
