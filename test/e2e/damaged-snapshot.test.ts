import assert from 'node:assert/strict';
import { chmod, copyFile, mkdir, open, readFile, rename, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { RealHost } from '../support/real-host';

const MIB = 1024 * 1024;

describe('a snapshot whose files are not what was written', () => {
  let host: RealHost;
  let dir: string;

  before(async () => {
    host = await RealHost.start();
    await host.snapshot('py');
    dir = join(host.config.snapshotRoot, 'py');
  });

  after(async () => {
    await host.stop();
  });

  const spawnError = (): Promise<string> =>
    host.client.error(409, 'POST', '/v1/sandboxes', { snapshot_tag: 'py' });

  /** Replaces one file for the time of a test; the original comes back, unchanged. */
  async function withFile(
    name: string,
    damage: (path: string) => Promise<void>,
    check: () => Promise<void>,
  ): Promise<void> {
    const path = join(dir, name);
    const kept = join(host.root, `kept-${name}`);
    await rename(path, kept);
    await copyFile(kept, path);
    await chmod(path, 0o600);
    try {
      await damage(path);
      await check();
      assert.deepEqual(await host.traces(), []);
    } finally {
      await rm(path, { force: true });
      await rename(kept, path);
    }
  }

  it('is refused when memory.bin is cut short', async () => {
    await withFile(
      'memory.bin',
      (path) => truncate(path, 100 * MIB),
      async () => {
        const error = await spawnError();
        assert.match(error, /snapshot `py` is not bootable/);
        assert.match(error, /memory\.bin has 104857600 bytes where the VM's memory has 268435456/);
        assert.match(error, /make it again/);
      },
    );
  });

  it('is refused when memory.bin is another VM’s', async () => {
    await withFile(
      'memory.bin',
      async (path) => {
        const file = await open(path, 'r+');
        await file.write(Buffer.from('not what was here'), 0, 17, 64 * MIB);
        await file.close();
      },
      async () => {
        assert.match(await spawnError(), /memory\.bin is not the memory that was written/);
      },
    );
  });

  it('starts when memory.bin is a faithful copy', async () => {
    await withFile(
      'memory.bin',
      () => Promise.resolve(),
      async () => {
        const [child] = await host.client.json<{ id: string }[]>(201, 'POST', '/v1/sandboxes', {
          snapshot_tag: 'py',
        });
        await host.client.json(204, 'DELETE', `/v1/sandboxes/${child?.id ?? ''}`);
      },
    );
  });

  it('is refused when vmstate is cut short or foreign', async () => {
    for (const damage of [
      (path: string) => truncate(path, 100),
      (path: string) => writeFile(path, Buffer.alloc(9000, 7)),
    ]) {
      await withFile('vmstate', damage, async () => {
        assert.match(await spawnError(), /vmstate is not the device state that was written/);
      });
    }
  });

  it('is refused when its disk is cut short', async () => {
    await withFile(
      'rootfs.ext4',
      (path) => truncate(path, 4096),
      async () => {
        assert.match(await spawnError(), /rootfs\.ext4 has 4096 bytes where \d+ were written/);
      },
    );
  });

  it('is refused when its memory size does not match', async () => {
    await withFile(
      'snapshot.json',
      async (path) => {
        const manifest = JSON.parse(await readFile(path, 'utf8')) as { guest: { mem_size_mib: number } };
        manifest.guest.mem_size_mib = 512;
        await writeFile(path, JSON.stringify(manifest));
      },
      async () => {
        assert.match(await spawnError(), /has 268435456 bytes where the VM's memory has 536870912/);
      },
    );
  });

  it('is refused when another engine version made it, naming both', async () => {
    await withFile(
      'snapshot.json',
      async (path) => {
        const manifest = JSON.parse(await readFile(path, 'utf8')) as { engine: { version: string } };
        manifest.engine.version = '9.1.0';
        await writeFile(path, JSON.stringify(manifest));
      },
      async () => {
        assert.match(await spawnError(), /made with qemu version 9\.1\.0, and this host has \d+\./);
      },
    );
  });

  it('is listed as failed and refused when a file is missing or snapshot.json is corrupt', async () => {
    const listed = async (tag: string): Promise<Record<string, unknown>> => {
      const all = await host.client.json<Record<string, unknown>[]>(200, 'GET', '/v1/snapshots');
      return all.find((each) => each['tag'] === tag) ?? {};
    };
    await mkdir(join(host.config.snapshotRoot, 'half'));
    await writeFile(join(host.config.snapshotRoot, 'half', 'vmstate'), 'x');
    const half = await listed('half');
    assert.deepEqual([half['status'], half['bootable']], ['failed', false]);
    assert.match(String(half['warning']), /missing memory artifact: .*memory\.bin/);
    const error = await host.client.error(409, 'POST', '/v1/sandboxes', { snapshot_tag: 'half' });
    assert.match(error, /half.*memory\.bin/);
    await withFile(
      'snapshot.json',
      (path) => writeFile(path, '{"vmstate":'),
      async () => {
        assert.match(String((await listed('py'))['warning']), /parse .*snapshot\.json/);
        assert.match(await spawnError(), /parse .*snapshot\.json/);
      },
    );
    await host.client.json(204, 'DELETE', '/v1/snapshots/half');
    assert.equal((await listed('half'))['tag'], undefined);
  });

  it('is refused when it is not this daemon’s', async () => {
    const foreign = join(host.config.snapshotRoot, 'foreign');
    await mkdir(foreign);
    await writeFile(join(foreign, 'vmstate'), 'x');
    await writeFile(join(foreign, 'memory.bin'), 'x');
    const error = await host.client.error(409, 'POST', '/v1/sandboxes', { snapshot_tag: 'foreign' });
    assert.match(error, /was not made by this daemon/);
    await host.client.json(204, 'DELETE', '/v1/snapshots/foreign');
  });
});
