import assert from 'node:assert/strict';
import { mkdtemp, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { KeyedMutex } from '../../../src/common/lifecycle/keyed-mutex';
import { writeFileAtomic } from '../../../src/common/os/atomic-file';

interface Gate {
  readonly passed: Promise<void>;
  readonly open: () => void;
}

function gate(): Gate {
  let open = (): void => undefined;
  const passed = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { passed, open };
}

describe('atomic file', () => {
  it('replaces content and mode, and leaves nothing else', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'forkd-atomic-'));
    try {
      const path = join(directory, 'file');
      await writeFile(path, 'old');
      await writeFileAtomic(path, 'new', 0o600);
      assert.equal(await readFile(path, 'utf8'), 'new');
      assert.equal((await stat(path)).mode & 0o777, 0o600);
      assert.deepEqual(await readdir(directory), ['file']);
      // A directory cannot be replaced by a file: the rename fails, and the temporary file goes.
      await assert.rejects(writeFileAtomic(directory, 'x'));
      await assert.rejects(writeFileAtomic(join(directory, 'none/file'), 'x'), { code: 'ENOENT' });
      assert.deepEqual(await readdir(directory), ['file']);
    } finally {
      await rm(directory, { recursive: true });
    }
  });
});

describe('keyed mutex', () => {
  it('runs tasks of one key in order, and those of others at once', async () => {
    const mutex = new KeyedMutex();
    const events: string[] = [];
    const first = gate();
    const a1 = mutex.runExclusive('a', async () => {
      await first.passed;
      events.push('a1');
    });
    const a2 = mutex.runExclusive('a', () => Promise.resolve(events.push('a2')));
    await mutex.runExclusive('b', () => Promise.resolve(events.push('b')));
    assert.equal(mutex.isBusy('a'), true);
    first.open();
    await Promise.all([a1, a2]);
    assert.deepEqual(events, ['b', 'a1', 'a2']);
    assert.equal(mutex.isBusy('a'), false);
  });

  it('goes on after a task that fails', async () => {
    const mutex = new KeyedMutex();
    await assert.rejects(
      mutex.runExclusive('a', () => Promise.reject(new Error('broken'))),
      /broken/,
    );
    assert.equal(await mutex.runExclusive('a', () => Promise.resolve(1)), 1);
  });

  it('lets a waiting task give up without letting the next one overtake', async () => {
    const mutex = new KeyedMutex();
    const events: string[] = [];
    const first = gate();
    const controller = new AbortController();
    const a1 = mutex.runExclusive('a', async () => {
      await first.passed;
      events.push('a1');
    });
    const a2 = mutex.runExclusive('a', () => Promise.resolve(events.push('a2')), controller.signal);
    const a3 = mutex.runExclusive('a', () => Promise.resolve(events.push('a3')));
    controller.abort(new Error('enough'));
    await assert.rejects(a2, /enough/);
    first.open();
    await Promise.all([a1, a3]);
    assert.deepEqual(events, ['a1', 'a3']);
  });
});
