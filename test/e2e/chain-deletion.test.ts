import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import type { SandboxRecord } from '../../src/modules/registry/domain/records';
import { ChainedSnapshots } from '../support/chained-snapshots';
import { until } from '../support/until';

describe('chained snapshots and deletion', () => {
  let chain: ChainedSnapshots;

  before(async () => {
    chain = await ChainedSnapshots.start();
  });

  after(async () => {
    await chain.host.stop();
  });

  describe('of a parent or of what is in use', () => {
    it('is refused for a parent, and with force leaves an error that names it', async () => {
      const error = await chain.host.client.error(409, 'DELETE', '/v1/snapshots/c2');
      assert.match(error, /dependents: c3;.*cascade=true.*force=true/);
      await chain.removeTag('c2', '?force=true');
      assert.match(
        await chain.refusedFork(500, 'c3'),
        /chain of snapshot c3 is broken: its ancestor c2 is missing/,
      );
      assert.match(
        await chain.host.client.error(500, 'GET', '/v1/snapshots/c3/info'),
        /ancestor c2 is missing/,
      );
      assert.match(await chain.refusedCompact(500, 'c3', 'new'), /^compact: .*ancestor c2 is missing/);
      // Another snapshot takes the parent's tag: its memory is not what c3 was stored on.
      const id = await chain.fork('c1');
      await chain.evaluate(id, 'n = 22');
      await chain.branch(id, { tag: 'c2', mode: 'diff', parent_tag: 'c1' });
      await chain.remove(id);
      assert.match(await chain.refusedFork(500, 'c3'), /hash mismatch/);
      assert.equal(await chain.counter('c2'), '22');
      await chain.removeTag('c3');
    });

    it('waits for a spawn from the tag, and a spawn for a deletion', async () => {
      const spawned = chain.fork('c2');
      const removed = chain.host.client.send('DELETE', '/v1/snapshots/c2');
      const late = chain.host.client.send('POST', '/v1/sandboxes', { json: { snapshot_tag: 'c2' } });
      const id = await spawned;
      assert.equal((await removed).status, 204);
      const { status, text } = await late;
      if (status === 201) await chain.remove((JSON.parse(text) as SandboxRecord[])[0]?.id ?? '');
      else assert.equal(status, 404);
      assert.equal(await chain.evaluate(id, 'n'), '22');
      await chain.branch(id, { tag: 'orphan', mode: 'diff' });
      await chain.remove(id);
      assert.equal(await chain.counter('orphan'), '22');
      await chain.removeTag('orphan');
    });

    it('of the parent waits for a branch on top of it', async () => {
      const id = await chain.fork('c1');
      const path = `/v1/sandboxes/${id}/branch`;
      const made = chain.host.client.send('POST', path, {
        json: { tag: 'on', mode: 'diff', parent_tag: 'c1' },
      });
      await until(async () => (await readdir(chain.root)).some((name) => name.startsWith('.new-on-')));
      assert.match(await chain.host.client.error(409, 'DELETE', '/v1/snapshots/c1'), /dependents: on;/);
      assert.equal((await made).status, 201);
      assert.equal(await chain.counter('on'), '1');
      await chain.remove(id);
      await chain.removeTag('on');
    });
  });

  describe('a sandbox whose snapshot was deleted', () => {
    it('is branched by its own origin although the tag is another’s now', async () => {
      const first = await chain.fork('c1');
      await chain.evaluate(first, 'n = 100');
      await chain.removeTag('c1');
      const other = await chain.fork('py');
      await chain.evaluate(other, 'n = 200');
      await chain.branch(other, { tag: 'c1', mode: 'full' });
      await chain.remove(other);
      assert.match(
        await chain.host.client.error(409, 'POST', `/v1/sandboxes/${first}/branch`, {
          mode: 'diff',
          parent_tag: 'c1',
        }),
        /c1 is no longer the one/,
      );
      await chain.branch(first, { tag: 'mine', mode: 'diff' });
      await chain.host.restart();
      await chain.branch(first, { tag: 'mine2', mode: 'diff' });
      assert.deepEqual(
        [await chain.counter('mine'), await chain.counter('mine2'), await chain.counter('c1')],
        ['100', '100', '200'],
      );
      await chain.remove(first);
      for (const tag of ['mine', 'mine2', 'c1']) await chain.removeTag(tag);
    });

    it('leaves nothing behind: no image, no origin, no process', async () => {
      await chain.removeTag('py', '?cascade=true');
      assert.deepEqual(await chain.host.traces(), []);
      assert.deepEqual(await chain.assembled(), []);
    });
  });
});
