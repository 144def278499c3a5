import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, readlink, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { runProcess } from '../../../src/common/os/run-process';
import { writeCpio, type CpioEntry } from '../../../src/modules/images/domain/cpio';

const ENTRIES: readonly CpioEntry[] = [
  { type: 'directory', path: 'bin', mode: 0o755 },
  { type: 'file', path: 'init', mode: 0o750, data: Buffer.from('#!/bin/sh\n') },
  { type: 'file', path: 'bin/odd', mode: 0o644, data: Buffer.from('five!') },
  { type: 'file', path: 'empty', mode: 0o644, data: Buffer.alloc(0) },
  { type: 'symlink', path: 'bin/sh', target: 'busybox' },
];

describe('cpio writer', () => {
  it('is read by a real cpio', { skip: !existsSync('/usr/bin/busybox') }, async () => {
    const directory = await mkdtemp(join(tmpdir(), 'forkd-cpio-'));
    try {
      const input = writeCpio(ENTRIES);
      const listing = await runProcess('busybox', ['cpio', '-t'], { input });
      assert.deepEqual(listing.stdout.trim().split('\n'), ['bin', 'init', 'bin/odd', 'empty', 'bin/sh']);
      await runProcess('busybox', ['cpio', '-i', '-d'], { input, cwd: directory });
      assert.equal(await readFile(join(directory, 'init'), 'utf8'), '#!/bin/sh\n');
      assert.equal((await stat(join(directory, 'init'))).mode & 0o777, 0o750);
      assert.equal(await readFile(join(directory, 'bin/odd'), 'utf8'), 'five!');
      assert.equal((await stat(join(directory, 'empty'))).size, 0);
      assert.equal(await readlink(join(directory, 'bin/sh')), 'busybox');
    } finally {
      await rm(directory, { recursive: true });
    }
  });

  it('gives a device its numbers and root as owner', () => {
    const archive = writeCpio([
      { type: 'character-device', path: 'dev/console', mode: 0o600, major: 5, minor: 1 },
    ]);
    const field = (index: number): number =>
      Number.parseInt(archive.toString('latin1', 6 + index * 8, 14 + index * 8), 16);
    assert.equal(archive.toString('latin1', 0, 6), '070701');
    assert.equal(field(1), 0o020600);
    assert.deepEqual([field(2), field(3)], [0, 0]);
    assert.deepEqual([field(9), field(10)], [5, 1]);
  });

  it('is the same for the same content, and whole blocks long', () => {
    assert.deepEqual(writeCpio(ENTRIES), writeCpio(ENTRIES));
    assert.equal(writeCpio(ENTRIES).length % 512, 0);
  });

  it('refuses paths that would leave the archive root', () => {
    assert.throws(() => writeCpio([{ type: 'directory', path: '/etc', mode: 0o755 }]), /not a path/);
    assert.throws(() => writeCpio([{ type: 'directory', path: '', mode: 0o755 }]), /not a path/);
  });
});
