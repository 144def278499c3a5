import assert from 'node:assert/strict';
import fsPromises, {
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { DiskStateFile } from '../../../src/modules/registry/adapters/disk-state-file';

/** Lets fsync of a path fail, as a disk that is breaking does. */
function failingSyncs(failing: string): { pause(): void; resume(): void; end(): void } {
  const { open } = fsPromises;
  let on = true;
  fsPromises.open = async (...args) => {
    const handle = await open(...args);
    if (on && args[0] === failing) {
      handle.sync = () => Promise.reject(Object.assign(new Error('EIO: i/o error, fsync'), { code: 'EIO' }));
    }
    return handle;
  };
  return {
    pause: () => {
      on = false;
    },
    resume: () => {
      on = true;
    },
    end: () => {
      fsPromises.open = open;
    },
  };
}

let directory: string;
let path: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'forkd-state-'));
  path = join(directory, 'lib/state.json');
});
afterEach(async () => {
  await rm(directory, { recursive: true });
});

describe('DiskStateFile', () => {
  it('creates its directory and is absent at first', async () => {
    assert.equal(await new DiskStateFile(path).read(), undefined);
    assert.deepEqual(await readdir(join(directory, 'lib')), []);
  });

  it('replaces its text, for its owner only, and leaves no temporary file', async () => {
    const file = new DiskStateFile(path);
    await file.read();
    await writeFile(join(directory, 'lib/state.json.tmp'), 'left by a crash', { mode: 0o644 });
    await file.replace('one');
    await file.replace('two');
    assert.equal(await file.read(), 'two');
    assert.equal((await stat(path)).mode & 0o777, 0o600);
    assert.deepEqual(await readdir(join(directory, 'lib')), ['state.json']);
  });

  it('removes what a daemon that was killed had half written', async () => {
    await mkdir(join(directory, 'lib'));
    await writeFile(join(directory, 'lib/state.json.tmp'), '{"snapsh');
    await writeFile(path, 'whole');
    assert.equal(await new DiskStateFile(path).read(), 'whole');
    assert.deepEqual(await readdir(join(directory, 'lib')), ['state.json']);
  });

  it('has the old text again when the new one cannot be made durable', async () => {
    const file = new DiskStateFile(path);
    await file.read();
    const fail = failingSyncs(join(directory, 'lib'));
    try {
      await assert.rejects(file.replace('never'), /EIO/);
      await assert.rejects(readFile(path), /ENOENT/);
      fail.pause();
      await file.replace('old');
      fail.resume();
      await assert.rejects(file.replace('new'), /EIO/);
      assert.equal(await readFile(path, 'utf8'), 'old');
    } finally {
      fail.end();
    }
    await file.replace('new');
    assert.equal(await file.read(), 'new');
    assert.deepEqual(await readdir(join(directory, 'lib')), ['state.json']);
  });

  it('keeps the old text when the new one cannot be put in place', async () => {
    const file = new DiskStateFile(path);
    await file.read();
    await mkdir(path);
    await assert.rejects(file.replace('text'));
    assert.deepEqual(await readdir(join(directory, 'lib')), ['state.json']);
    await assert.rejects(file.read());
  });

  it('does not write through a link somebody has put in the way', async () => {
    const file = new DiskStateFile(path);
    await file.read();
    const victim = join(directory, 'victim');
    await writeFile(victim, 'precious');
    await symlink(victim, join(directory, 'lib/state.json.tmp'));
    await assert.rejects(file.replace('text'));
    assert.equal(await readFile(victim, 'utf8'), 'precious');
  });
});
