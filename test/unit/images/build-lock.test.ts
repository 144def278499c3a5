import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { withLockFile } from '../../../src/modules/images/adapters/build-lock';
import { isAlive, parseIdentity, thisProcess } from '../../../src/common/os/process-identity';

const nobodyWaits = (): void => {
  assert.fail('nobody holds the lock');
};

describe('build lock', () => {
  let directory = '';
  let path = '';
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'forkd-lock-'));
    path = join(directory, 'store.lock');
  });
  afterEach(async () => {
    await rm(directory, { recursive: true });
  });

  it('lets the second wait for the first and tells it who holds the lock', async () => {
    const events: string[] = [];
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    let entered = (): void => undefined;
    const inside = new Promise<void>((resolve) => {
      entered = resolve;
    });
    const first = withLockFile(
      path,
      async () => {
        entered();
        await held;
        events.push('first');
      },
      nobodyWaits,
      undefined,
    );
    await inside;
    const second = withLockFile(
      path,
      () => {
        events.push('second');
        return Promise.resolve();
      },
      (pid) => {
        events.push(`waits for ${pid}`);
        release();
      },
      undefined,
    );
    await Promise.all([first, second]);
    assert.deepEqual(events, [`waits for ${process.pid}`, 'first', 'second']);
    assert.deepEqual(await readdir(directory), []);
  });

  it('is taken over from a process that is gone', async () => {
    const child = spawn('sleep', ['1000']);
    await once(child, 'spawn');
    const pid = child.pid ?? 0;
    child.kill('SIGKILL');
    await once(child, 'close');
    const mine = await thisProcess();
    await writeFile(path, JSON.stringify({ ...mine, pid }));
    assert.equal(await withLockFile(path, () => Promise.resolve('done'), nobodyWaits, undefined), 'done');
    assert.deepEqual(await readdir(directory), []);
  });

  it('is taken over when the pid is that of a later process, another boot, or nonsense', async () => {
    const mine = await thisProcess();
    const left = [
      JSON.stringify({ ...mine, startTime: '1' }),
      JSON.stringify({ ...mine, bootId: 'another' }),
      '',
      'null',
    ];
    for (const text of left) {
      await writeFile(path, text);
      assert.equal(await withLockFile(path, () => Promise.resolve('done'), nobodyWaits, undefined), 'done');
    }
    assert.deepEqual(await readdir(directory), []);
  });

  it('stops waiting when aborted and leaves the lock to its holder', async () => {
    const holder = JSON.stringify(await thisProcess());
    await writeFile(path, holder);
    const controller = new AbortController();
    const waiting = withLockFile(
      path,
      () => Promise.reject(new Error('must not run')),
      () => {
        controller.abort(new Error('enough'));
      },
      controller.signal,
    );
    await assert.rejects(waiting, /enough|aborted/i);
    assert.deepEqual(await readdir(directory), ['store.lock']);
  });

  it('is released when the task fails', async () => {
    await assert.rejects(
      withLockFile(path, () => Promise.reject(new Error('broken')), nobodyWaits, undefined),
      /broken/,
    );
    assert.deepEqual(await readdir(directory), []);
  });
});

describe('process identity', () => {
  it('knows this process, and not one with its pid and another start', async () => {
    const mine = await thisProcess();
    assert.equal(await isAlive(mine), true);
    assert.equal(await isAlive({ ...mine, startTime: `${mine.startTime}0` }), false);
    assert.deepEqual(parseIdentity(JSON.stringify(mine)), mine);
  });
});
