import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { runProcess } from '../../../src/common/os/run-process';
import {
  buildInitramfs,
  INITRAMFS_FILE,
  readBusybox,
} from '../../../src/modules/images/adapters/initramfs-builder';

describe('initramfs', { skip: !existsSync('/usr/bin/busybox') }, () => {
  it('holds the agent as /init, a shell, and the modules in load order', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'forkd-initramfs-'));
    try {
      await mkdir(join(directory, 'modules'));
      for (const name of ['virtio', 'overlay'])
        await writeFile(join(directory, 'modules', `${name}.ko`), name);
      const kernel = { path: directory, modules: ['virtio', 'overlay'] };
      await buildInitramfs(Buffer.from('agent'), await readBusybox(), kernel, directory);
      const input = await promisify(gunzip)(await readFile(join(directory, INITRAMFS_FILE)));
      const read = async (path: string): Promise<string> =>
        (await runProcess('busybox', ['cpio', '-i', '--to-stdout', path], { input })).stdout;
      assert.equal(await read('init'), 'agent');
      assert.equal(await read('lib/modules/forkd/modules.list'), 'virtio.ko\noverlay.ko\n');
      assert.equal(await read('lib/modules/forkd/overlay.ko'), 'overlay');
      const names = (await runProcess('busybox', ['cpio', '-t'], { input })).stdout.split('\n');
      for (const name of ['bin/busybox', 'bin/sh', 'dev/console', 'proc', 'sys'])
        assert.ok(names.includes(name), name);
    } finally {
      await rm(directory, { recursive: true });
    }
  });
});
