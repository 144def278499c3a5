import assert from 'node:assert/strict';
import { link, mkdir, mkdtemp, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { parseSmapsRollup } from '../../../src/modules/metrics/domain/smaps-rollup';
import { Refreshed } from '../../../src/modules/metrics/refreshed';
import { SandboxMemory } from '../../../src/modules/metrics/sandbox-memory';
import { INTERNAL, SHARED, snapshotDisk } from '../../../src/modules/metrics/snapshot-disk';

const ROLLUP = `55f3c8c00000-7ffd1a1f2000 ---p 00000000 00:00 0                          [rollup]
Rss:               10240 kB
Pss:                6144 kB
Pss_Dirty:          2048 kB
Shared_Clean:       4096 kB
Shared_Dirty:       1024 kB
Private_Clean:      2048 kB
Private_Dirty:      3072 kB
Swap:                  0 kB
`;
const KIB = 1024;

describe('smaps_rollup', () => {
  it('tells private, shared and proportional memory', () => {
    assert.deepEqual(parseSmapsRollup(ROLLUP), {
      private: 5120 * KIB,
      shared: 5120 * KIB,
      proportional: 6144 * KIB,
    });
  });

  it('of a process without memory tells nothing', () => {
    assert.equal(parseSmapsRollup(''), undefined);
  });
});

describe('the memory of sandboxes', () => {
  const sandboxes = (count: number) =>
    Array.from({ length: count }, (_, index) => ({ id: `sb-${index}`, snapshot_tag: 'py', pid: index + 1 }));

  it('is read of this very process', async () => {
    const memory = new SandboxMemory(() => [{ id: 'a', snapshot_tag: 'py', pid: process.pid }]);
    const [use] = await memory.get();
    assert.equal(use?.snapshot, 'py');
    assert.ok(use.use.private > 1024 * KIB && use.use.proportional >= use.use.private);
  });

  it('costs a bounded number of reads in one go, few at once; all have their turn', async () => {
    const all = sandboxes(150);
    const reads: number[] = [];
    let atOnce = 0;
    let most = 0;
    const memory = new SandboxMemory(
      () => all,
      async (pid) => {
        reads.push(pid);
        most = Math.max(most, ++atOnce);
        await new Promise((resolve) => setImmediate(resolve));
        atOnce -= 1;
        return ROLLUP;
      },
      0,
    );
    const known: number[] = [];
    for (let round = 0; round < 3; round++) known.push((await memory.get()).length);
    assert.deepEqual(known, [64, 128, 150]);
    assert.equal(reads.length, 192);
    assert.equal(new Set(reads).size, 150);
    assert.ok(most <= 2);
  });

  it('is not read anew for some seconds, and once for all who ask', async () => {
    let reads = 0;
    const memory = new SandboxMemory(
      () => sandboxes(1),
      () => {
        reads += 1;
        return Promise.resolve(ROLLUP);
      },
    );
    await Promise.all([memory.get(), memory.get(), memory.get()]);
    await memory.get();
    assert.equal(reads, 1);
  });

  it('leaves out what has ended', async () => {
    let running = [...sandboxes(2), { id: 'dead', snapshot_tag: 'py', pid: null }];
    const memory = new SandboxMemory(
      () => running,
      (pid) => (pid === 1 ? Promise.reject(new Error('ESRCH')) : Promise.resolve(ROLLUP)),
      0,
    );
    assert.equal((await memory.get()).length, 1);
    running = [];
    assert.deepEqual(await memory.get(), []);
  });
});

describe('a figure that is refreshed', () => {
  it('does not keep the one who asks waiting for a read that hangs', async () => {
    const figure = new Refreshed('old', 0, () => new Promise<string>(() => undefined), 1);
    // What is waited for does not keep the process alive.
    const alive = setInterval(() => undefined, 60_000);
    assert.equal(await figure.get(), 'old');
    clearInterval(alive);
  });

  it('stays when a read fails', async () => {
    const values = [Promise.resolve('new'), Promise.reject(new Error('EIO'))];
    const figure = new Refreshed('old', 0, () => values.shift() ?? Promise.resolve('newer'));
    assert.deepEqual([await figure.get(), await figure.get(), await figure.get()], ['new', 'new', 'newer']);
  });
});

describe('the disk space of snapshots', () => {
  it('is that of blocks, each file once, holes for nothing', async () => {
    const root = await mkdtemp(join(tmpdir(), 'forkd-disk-'));
    try {
      for (const dir of ['a', 'b', '.assembled/x']) await mkdir(join(root, dir), { recursive: true });
      const write = async (name: string): Promise<number> => {
        await writeFile(join(root, name), Buffer.alloc(100_000, 1));
        return (await stat(join(root, name))).blocks * 512;
      };
      const inA = await write('a/memory.bin');
      await truncate(join(root, 'a/memory.bin'), 1024 ** 3);
      const shared = await write('a/rootfs.ext4');
      await link(join(root, 'a/rootfs.ext4'), join(root, 'b/rootfs.ext4'));
      const inB = await write('b/vmstate');
      const internal = await write('.assembled/x/memory.bin');
      await write('stray');
      const expected = new Map([
        ['a', inA],
        ['b', inB],
        [SHARED, shared],
        [INTERNAL, internal],
      ]);
      assert.deepEqual(new Map([...(await snapshotDisk(root))].sort()), new Map([...expected].sort()));
    } finally {
      await rm(root, { recursive: true, force: true });
    }
  });

  it('is none where there is no root yet', async () => {
    assert.equal((await snapshotDisk('/nonexistent/forkd')).size, 0);
  });
});
