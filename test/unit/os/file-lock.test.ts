import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readlink, rm, stat, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { FileLock, LockHeldError } from '../../../src/common/os/file-lock';

let directory: string;
let path: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'forkd-lock-'));
  path = join(directory, 'a/b.lock');
});
afterEach(async () => {
  await rm(directory, { recursive: true });
});

describe('FileLock', () => {
  it('is held until it is released, and names its holder', async () => {
    const lock = await FileLock.acquire(path, 0o700);
    await assert.rejects(
      FileLock.acquire(path, 0o700),
      (error: unknown) => error instanceof LockHeldError && error.pid === process.pid,
    );
    await lock.release();
    await (await FileLock.acquire(path, 0o700)).release();
    assert.equal((await stat(path)).mode & 0o777, 0o600);
    assert.equal((await stat(join(directory, 'a'))).mode & 0o777, 0o700);
  });

  it('is not handed on to processes that outlive its holder', async () => {
    const lock = await FileLock.acquire(path, 0o700);
    const child = spawn('sleep', ['60'], { detached: true, stdio: 'ignore' });
    await once(child, 'spawn');
    try {
      const open = await Promise.all(
        (await readdir(`/proc/${child.pid ?? 0}/fd`)).map((fd) =>
          readlink(`/proc/${child.pid ?? 0}/fd/${fd}`).catch(() => ''),
        ),
      );
      assert.ok(!open.includes(path), open.join());
    } finally {
      child.kill('SIGKILL');
      await lock.release();
    }
  });

  it('follows no symbolic link', async () => {
    await symlink('/etc/hostname', join(directory, 'link'));
    await assert.rejects(FileLock.acquire(join(directory, 'link'), 0o700), /ELOOP/);
  });
});
