import assert from 'node:assert/strict';
import { copyFile, cp, mkdir, open, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { SandboxRecord, SnapshotRecord } from '../../src/modules/registry/domain/records';
import { RealHost } from '../support/real-host';
import { until } from '../support/until';

interface Detail {
  readonly ancestors: string[];
  readonly dependents: string[];
  readonly chain_depth: number;
}

/** py <- c1 <- c2 <- c3, each with a counter that tells it apart. */
const CHAIN = ['py', 'c1', 'c2', 'c3'] as const;

describe('chained snapshots', () => {
  let host: RealHost;
  let root: string;

  before(async () => {
    host = await RealHost.start();
    root = host.config.snapshotRoot;
    const body = { tag: 'py', image: 'python', mem_size_mib: 128, boot_wait_secs: 60 };
    await host.client.json(201, 'POST', '/v1/snapshots', body);
    for (const [index, tag] of CHAIN.slice(1).entries()) {
      const parent = CHAIN[index] ?? '';
      const id = await fork(parent);
      await evaluate(id, `n = ${index + 1}`);
      await branch(id, { tag, mode: 'diff', parent_tag: parent });
      await remove(id);
    }
  });

  after(async () => {
    await host.stop();
  });

  async function fork(tag: string): Promise<string> {
    const [child] = await host.client.json<SandboxRecord[]>(201, 'POST', '/v1/sandboxes', {
      snapshot_tag: tag,
    });
    return child?.id ?? '';
  }
  const refusedFork = (status: number, tag: string): Promise<string> =>
    host.client.error(status, 'POST', '/v1/sandboxes', { snapshot_tag: tag });
  const branch = (id: string, body: object): Promise<SnapshotRecord> =>
    host.client.json(201, 'POST', `/v1/sandboxes/${id}/branch`, body);
  async function evaluate(id: string, code: string): Promise<string | null> {
    const path = `/v1/sandboxes/${id}/eval`;
    const answer = await host.client.json<{ result: string | null; error: string | null }>(
      200,
      'POST',
      path,
      {
        code,
      },
    );
    assert.equal(answer.error, null);
    return answer.result;
  }
  const remove = (id: string): Promise<void> => host.client.json(204, 'DELETE', `/v1/sandboxes/${id}`);
  const removeTag = (tag: string, query = ''): Promise<void> =>
    host.client.json(204, 'DELETE', `/v1/snapshots/${tag}${query}`);
  const info = (tag: string): Promise<Detail> => host.client.json(200, 'GET', `/v1/snapshots/${tag}/info`);
  const compact = (status: number, tag: string, to: string): Promise<string> =>
    host.client.error(status, 'POST', `/v1/snapshots/${tag}/compact`, { to });
  const assembled = (): Promise<string[]> => readdir(join(root, '.assembled')).catch(() => []);

  /** The counter in a new child of the tag. */
  async function counter(tag: string): Promise<string | null> {
    const id = await fork(tag);
    try {
      return await evaluate(id, 'n');
    } finally {
      await remove(id);
    }
  }

  /** Changes a file for the time of a check; the original comes back, unchanged. */
  async function withFile(path: string, damage: (copy: string) => Promise<void>, check: () => Promise<void>) {
    const kept = join(host.root, 'kept');
    await rename(path, kept);
    await copyFile(kept, path);
    try {
      await damage(path);
      await check();
      assert.deepEqual(await host.vmProcesses(), []);
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
    await rm(join(root, '.assembled'), { recursive: true, force: true });
    await check();
  }

  for (const [tag, name] of [
    ['py', 'memory.bin'],
    ['c1', 'memory.diff'],
    ['c3', 'memory.diff'],
  ] as const) {
    it(`sees that ${name} of ${tag} is damaged before a VM starts, with the cache and without`, async () => {
      const check = async (): Promise<void> => {
        const error = await refusedFork(409, 'c3');
        assert.match(error, new RegExp(`snapshot \`${tag}\` is not bootable: .*${tag}/${name}`));
      };
      await withFile(join(root, tag, name), flipByte, check);
      await withFile(join(root, tag, name), flipByte, () => withoutCache(check));
      assert.equal(await counter('c3'), '3');
    });
  }

  it('makes the whole image again when the cache was deleted, and when it is damaged', async () => {
    await withoutCache(async () => {
      assert.deepEqual([await counter('c3'), await counter('c2'), await counter('c1')], ['3', '2', '1']);
    });
    assert.equal((await assembled()).length, 3);
    for (const name of await assembled()) await flipByte(join(root, '.assembled', name, 'memory.bin'));
    assert.deepEqual([await counter('c3'), await counter('c2'), await counter('c1')], ['3', '2', '1']);
    for (const name of await assembled()) await rm(join(root, '.assembled', name, 'seal.json'));
    assert.equal(await counter('c3'), '3');
  });

  it('starts many children at once from an image that has to be made first', async () => {
    await withoutCache(async () => {
      const ids = await Promise.all(['c3', 'c3', 'c2', 'c3'].map(fork));
      assert.deepEqual(await Promise.all(ids.map((id) => evaluate(id, 'n'))), ['3', '3', '2', '3']);
      await Promise.all(ids.map(remove));
    });
    assert.equal((await assembled()).length, 2);
  });

  it('compacts flat and chained snapshots, and refuses in the documented order', async () => {
    assert.match(await compact(400, '..%2Fx', '../y'), /^tag must be/);
    assert.match(await compact(400, 'nothing', '../y'), /^to must be/);
    assert.match(await compact(400, 'nothing', 'nothing'), /must differ/);
    assert.match(await compact(409, 'nothing', 'py'), /py already exists; DELETE first/);
    assert.equal(await compact(404, 'nothing', 'new'), 'snapshot nothing not found');
    const flat = await host.client.json<SnapshotRecord>(200, 'POST', '/v1/snapshots/c2/compact', {
      to: 'flat2',
    });
    assert.deepEqual([flat.tag, flat.status, flat.branched_from], ['flat2', 'ready', 'compact:c2']);
    await host.client.json(200, 'POST', '/v1/snapshots/flat2/compact', { to: 'again' });
    assert.deepEqual((await info('again')).ancestors, []);
    assert.deepEqual([await counter('flat2'), await counter('again')], ['2', '2']);
    await removeTag('flat2');
    await removeTag('again');
  });

  it('does not compact what is damaged', async () => {
    await withFile(join(root, 'c1', 'memory.diff'), flipByte, async () => {
      await compact(409, 'c3', 'new');
    });
    assert.equal((await readdir(root)).includes('new'), false);
  });

  describe('whose parents were tampered with', () => {
    /** Rewrites snapshot.json of a tag for the time of a check. */
    const withManifest = (
      tag: string,
      change: (manifest: Record<string, unknown>) => void,
      check: () => Promise<void>,
    ): Promise<void> =>
      withFile(
        join(root, tag, 'snapshot.json'),
        async (path) => {
          const manifest = JSON.parse(await readFile(path, 'utf8')) as Record<string, unknown>;
          change(manifest);
          await writeFile(path, JSON.stringify(manifest));
        },
        check,
      );

    it('are refused when the chain is a cycle, and can be deleted', async () => {
      await cp(join(root, 'c1'), join(root, 'x1'), { recursive: true, preserveTimestamps: true });
      await cp(join(root, 'c1'), join(root, 'x2'), { recursive: true, preserveTimestamps: true });
      const over = async (tag: string, parent: string): Promise<void> => {
        const path = join(root, tag, 'snapshot.json');
        const manifest = JSON.parse(await readFile(path, 'utf8')) as Record<string, unknown>;
        await writeFile(path, JSON.stringify({ ...manifest, parent_tag: parent }));
      };
      await over('x1', 'x2');
      await over('x2', 'x1');
      assert.match(await refusedFork(500, 'x1'), /cycle: x1 -> x2 -> x1/);
      assert.match(await host.client.error(500, 'GET', '/v1/snapshots/x2/info'), /cycle: x2 -> x1 -> x2/);
      assert.match(await compact(500, 'x1', 'new'), /^compact: .*cycle/);
      await over('x2', 'x2');
      assert.match(await refusedFork(500, 'x2'), /cycle: x2 -> x2/);
      await over('x2', 'x1');
      await removeTag('x1', '?cascade=true');
      assert.deepEqual(
        (await readdir(root)).filter((name) => name.startsWith('x')),
        [],
      );
    });

    it('are refused when the parent has other memory now', async () => {
      const other = (manifest: Record<string, unknown>): void => {
        manifest['parent_content_hash'] = '0'.repeat(64);
      };
      await withManifest('c2', other, async () => {
        assert.match(await refusedFork(500, 'c3'), /c2 was stored on top of other memory than .*c1 has now/);
      });
      assert.equal(await counter('c3'), '3');
    });

    it('may have 32 parents and no more', async () => {
      const names = Array.from({ length: 33 }, (_, index) => `l${index}`);
      for (const [index, name] of names.entries()) {
        await mkdir(join(root, name));
        for (const file of await readdir(join(root, 'c1'))) {
          await copyFile(join(root, 'c1', file), join(root, name, file));
        }
        const path = join(root, name, 'snapshot.json');
        const manifest = JSON.parse(await readFile(path, 'utf8')) as Record<string, unknown>;
        await writeFile(path, JSON.stringify({ ...manifest, parent_tag: names[index - 1] ?? 'py' }));
      }
      assert.equal((await info('l31')).chain_depth, 32);
      assert.match(
        await host.client.error(500, 'GET', '/v1/snapshots/l32/info'),
        /more than 33 links; compact an ancestor/,
      );
      await removeTag('l0', '?cascade=true');
      assert.deepEqual((await info('py')).dependents, ['c1']);
    });
  });

  describe('and deletion', () => {
    it('is refused for a parent, and with force leaves an error that names it', async () => {
      const error = await host.client.error(409, 'DELETE', '/v1/snapshots/c2');
      assert.match(error, /dependents: c3;.*cascade=true.*force=true/);
      await removeTag('c2', '?force=true');
      assert.match(
        await refusedFork(500, 'c3'),
        /chain of snapshot c3 is broken: its ancestor c2 is missing/,
      );
      assert.match(await host.client.error(500, 'GET', '/v1/snapshots/c3/info'), /ancestor c2 is missing/);
      assert.match(await compact(500, 'c3', 'new'), /^compact: .*ancestor c2 is missing/);
      // Another snapshot takes the parent's tag: its memory is not what c3 was stored on.
      const id = await fork('c1');
      await evaluate(id, 'n = 22');
      await branch(id, { tag: 'c2', mode: 'diff', parent_tag: 'c1' });
      await remove(id);
      assert.match(await refusedFork(500, 'c3'), /hash mismatch/);
      assert.equal(await counter('c2'), '22');
      await removeTag('c3');
    });

    it('waits for a spawn from the tag, and a spawn for a deletion', async () => {
      const spawned = fork('c2');
      const removed = host.client.send('DELETE', '/v1/snapshots/c2');
      const late = host.client.send('POST', '/v1/sandboxes', { json: { snapshot_tag: 'c2' } });
      const id = await spawned;
      assert.equal((await removed).status, 204);
      const { status, text } = await late;
      if (status === 201) await remove((JSON.parse(text) as SandboxRecord[])[0]?.id ?? '');
      else assert.equal(status, 404);
      assert.equal(await evaluate(id, 'n'), '22');
      await branch(id, { tag: 'orphan', mode: 'diff' });
      await remove(id);
      assert.equal(await counter('orphan'), '22');
      await removeTag('orphan');
    });

    it('of the parent waits for a branch on top of it', async () => {
      const id = await fork('c1');
      const path = `/v1/sandboxes/${id}/branch`;
      const made = host.client.send('POST', path, { json: { tag: 'on', mode: 'diff', parent_tag: 'c1' } });
      await until(async () => (await readdir(root)).some((name) => name.startsWith('.new-on-')));
      assert.match(await host.client.error(409, 'DELETE', '/v1/snapshots/c1'), /dependents: on;/);
      assert.equal((await made).status, 201);
      assert.equal(await counter('on'), '1');
      await remove(id);
      await removeTag('on');
    });
  });

  describe('a sandbox whose snapshot was deleted', () => {
    it('is branched by its own origin although the tag is another’s now', async () => {
      const first = await fork('c1');
      await evaluate(first, 'n = 100');
      await removeTag('c1');
      const other = await fork('py');
      await evaluate(other, 'n = 200');
      await branch(other, { tag: 'c1', mode: 'full' });
      await remove(other);
      assert.match(
        await host.client.error(409, 'POST', `/v1/sandboxes/${first}/branch`, {
          mode: 'diff',
          parent_tag: 'c1',
        }),
        /c1 is no longer the one/,
      );
      await branch(first, { tag: 'mine', mode: 'diff' });
      await host.restart();
      await branch(first, { tag: 'mine2', mode: 'diff' });
      assert.deepEqual(
        [await counter('mine'), await counter('mine2'), await counter('c1')],
        ['100', '100', '200'],
      );
      await remove(first);
      for (const tag of ['mine', 'mine2', 'c1']) await removeTag(tag);
    });

    it('leaves nothing behind: no image, no origin, no process', async () => {
      await removeTag('py', '?cascade=true');
      assert.deepEqual(await host.traces(), []);
      assert.deepEqual(await assembled(), []);
    });
  });
});
