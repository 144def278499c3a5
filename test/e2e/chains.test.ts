import assert from 'node:assert/strict';
import { copyFile, cp, mkdir, open, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { SnapshotRecord } from '../../src/modules/registry/domain/records';
import { ChainedSnapshots } from '../support/chained-snapshots';

describe('chained snapshots', () => {
  let chain: ChainedSnapshots;

  before(async () => {
    chain = await ChainedSnapshots.start();
  });

  after(async () => {
    await chain.host.stop();
  });

  /** Changes a file for the time of a check; the original comes back, unchanged. */
  async function withFile(path: string, damage: (copy: string) => Promise<void>, check: () => Promise<void>) {
    const kept = join(chain.host.root, 'kept');
    await rename(path, kept);
    await copyFile(kept, path);
    try {
      await damage(path);
      await check();
      assert.deepEqual(await chain.host.vmProcesses(), []);
    } finally {
      await rename(kept, path);
    }
  }

  async function flipByte(path: string): Promise<void> {
    const file = await open(path, 'r+');
    try {
      const at = (await file.stat()).size - 4096;
      const { buffer } = await file.read(Buffer.alloc(1), 0, 1, at);
      buffer[0] = (buffer[0] ?? 0) ^ 0xff;
      await file.write(buffer, 0, 1, at);
    } finally {
      await file.close();
    }
  }

  async function withoutCache(check: () => Promise<void>): Promise<void> {
    await rm(join(chain.root, '.assembled'), { recursive: true, force: true });
    await check();
  }

  for (const [tag, name] of [
    ['py', 'memory.bin'],
    ['c1', 'memory.diff'],
    ['c3', 'memory.diff'],
  ] as const) {
    it(`sees that ${name} of ${tag} is damaged before a VM starts, with the cache and without`, async () => {
      const check = async (): Promise<void> => {
        const error = await chain.refusedFork(409, 'c3');
        assert.match(error, new RegExp(`snapshot \`${tag}\` is not bootable: .*${tag}/${name}`));
      };
      await withFile(join(chain.root, tag, name), flipByte, check);
      await withFile(join(chain.root, tag, name), flipByte, () => withoutCache(check));
      assert.equal(await chain.counter('c3'), '3');
    });
  }

  it('makes the whole image again when the cache was deleted, and when it is damaged', async () => {
    await withoutCache(async () => {
      assert.deepEqual(
        [await chain.counter('c3'), await chain.counter('c2'), await chain.counter('c1')],
        ['3', '2', '1'],
      );
    });
    assert.equal((await chain.assembled()).length, 3);
    for (const name of await chain.assembled())
      await flipByte(join(chain.root, '.assembled', name, 'memory.bin'));
    assert.deepEqual(
      [await chain.counter('c3'), await chain.counter('c2'), await chain.counter('c1')],
      ['3', '2', '1'],
    );
    for (const name of await chain.assembled()) await rm(join(chain.root, '.assembled', name, 'seal.json'));
    assert.equal(await chain.counter('c3'), '3');
  });

  it('starts many children at once from an image that has to be made first', async () => {
    await withoutCache(async () => {
      const ids = await Promise.all(['c3', 'c3', 'c2', 'c3'].map((tag) => chain.fork(tag)));
      assert.deepEqual(await Promise.all(ids.map((id) => chain.evaluate(id, 'n'))), ['3', '3', '2', '3']);
      await Promise.all(ids.map((id) => chain.remove(id)));
    });
    assert.equal((await chain.assembled()).length, 2);
  });

  it('compacts flat and chained snapshots, and refuses in the documented order', async () => {
    assert.match(await chain.refusedCompact(400, '..%2Fx', '../y'), /^tag must be/);
    assert.match(await chain.refusedCompact(400, 'nothing', '../y'), /^to must be/);
    assert.match(await chain.refusedCompact(400, 'nothing', 'nothing'), /must differ/);
    assert.match(await chain.refusedCompact(409, 'nothing', 'py'), /py already exists; DELETE first/);
    assert.equal(await chain.refusedCompact(404, 'nothing', 'new'), 'snapshot nothing not found');
    const flat = await chain.host.client.json<SnapshotRecord>(200, 'POST', '/v1/snapshots/c2/compact', {
      to: 'flat2',
    });
    assert.deepEqual([flat.tag, flat.status, flat.branched_from], ['flat2', 'ready', 'compact:c2']);
    await chain.host.client.json(200, 'POST', '/v1/snapshots/flat2/compact', { to: 'again' });
    assert.deepEqual((await chain.info('again')).ancestors, []);
    assert.deepEqual([await chain.counter('flat2'), await chain.counter('again')], ['2', '2']);
    await chain.removeTag('flat2');
    await chain.removeTag('again');
  });

  it('does not compact what is damaged', async () => {
    await withFile(join(chain.root, 'c1', 'memory.diff'), flipByte, async () => {
      await chain.refusedCompact(409, 'c3', 'new');
    });
    assert.equal((await readdir(chain.root)).includes('new'), false);
  });

  describe('whose parents were tampered with', () => {
    /** Rewrites snapshot.json of a tag for the time of a check. */
    const withManifest = (
      tag: string,
      change: (manifest: Record<string, unknown>) => void,
      check: () => Promise<void>,
    ): Promise<void> =>
      withFile(
        join(chain.root, tag, 'snapshot.json'),
        async (path) => {
          const manifest = JSON.parse(await readFile(path, 'utf8')) as Record<string, unknown>;
          change(manifest);
          await writeFile(path, JSON.stringify(manifest));
        },
        check,
      );

    it('are refused when the chain is a cycle, and can be deleted', async () => {
      await cp(join(chain.root, 'c1'), join(chain.root, 'x1'), { recursive: true, preserveTimestamps: true });
      await cp(join(chain.root, 'c1'), join(chain.root, 'x2'), { recursive: true, preserveTimestamps: true });
      const over = async (tag: string, parent: string): Promise<void> => {
        const path = join(chain.root, tag, 'snapshot.json');
        const manifest = JSON.parse(await readFile(path, 'utf8')) as Record<string, unknown>;
        await writeFile(path, JSON.stringify({ ...manifest, parent_tag: parent }));
      };
      await over('x1', 'x2');
      await over('x2', 'x1');
      assert.match(await chain.refusedFork(500, 'x1'), /cycle: x1 -> x2 -> x1/);
      assert.match(
        await chain.host.client.error(500, 'GET', '/v1/snapshots/x2/info'),
        /cycle: x2 -> x1 -> x2/,
      );
      assert.match(await chain.refusedCompact(500, 'x1', 'new'), /^compact: .*cycle/);
      await over('x2', 'x2');
      assert.match(await chain.refusedFork(500, 'x2'), /cycle: x2 -> x2/);
      await over('x2', 'x1');
      await chain.removeTag('x1', '?cascade=true');
      assert.deepEqual(
        (await readdir(chain.root)).filter((name) => name.startsWith('x')),
        [],
      );
    });

    it('are refused when the parent has other memory now', async () => {
      const other = (manifest: Record<string, unknown>): void => {
        manifest['parent_content_hash'] = '0'.repeat(64);
      };
      await withManifest('c2', other, async () => {
        assert.match(
          await chain.refusedFork(500, 'c3'),
          /c2 was stored on top of other memory than .*c1 has now/,
        );
      });
      assert.equal(await chain.counter('c3'), '3');
    });

    it('may have 32 parents and no more', async () => {
      const names = Array.from({ length: 33 }, (_, index) => `l${index}`);
      for (const [index, name] of names.entries()) {
        await mkdir(join(chain.root, name));
        for (const file of await readdir(join(chain.root, 'c1'))) {
          await copyFile(join(chain.root, 'c1', file), join(chain.root, name, file));
        }
        const path = join(chain.root, name, 'snapshot.json');
        const manifest = JSON.parse(await readFile(path, 'utf8')) as Record<string, unknown>;
        await writeFile(path, JSON.stringify({ ...manifest, parent_tag: names[index - 1] ?? 'py' }));
      }
      assert.equal((await chain.info('l31')).chain_depth, 32);
      assert.match(
        await chain.host.client.error(500, 'GET', '/v1/snapshots/l32/info'),
        /more than 33 links; compact an ancestor/,
      );
      await chain.removeTag('l0', '?cascade=true');
      assert.deepEqual((await chain.info('py')).dependents, ['c1']);
    });
  });
});
