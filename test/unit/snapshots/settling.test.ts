import assert from 'node:assert/strict';
import fsPromises, {
  copyFile,
  link,
  mkdir,
  mkdtemp,
  open,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it, mock } from 'node:test';
import { Logger } from '@nestjs/common';
import { Drain } from '../../../src/common/lifecycle/drain';
import { bootId } from '../../../src/common/os/proc';
import { MemoryImageService } from '../../../src/modules/memory/memory-image.service';
import type { SnapshotCatalogService } from '../../../src/modules/snapshots/snapshot-catalog.service';
import type { SnapshotChainService } from '../../../src/modules/snapshots/snapshot-chain.service';
import type { SnapshotIntegrityService } from '../../../src/modules/snapshots/snapshot-integrity.service';
import { SnapshotOpenerService } from '../../../src/modules/snapshots/snapshot-opener.service';
import { SnapshotSettlingService } from '../../../src/modules/snapshots/snapshot-settling.service';
import { SnapshotStore } from '../../../src/modules/snapshots/snapshot-store';
import { sampleManifest } from '../../support/manifest';
import { PrivateMapping } from '../../support/memory/private-mapping';

const PAGE = 4096;
const IMAGE_BYTES = 256 * PAGE;

describe('a snapshot whose image is not on disk yet', () => {
  let root: string;
  let base: string;
  let dir: string;
  let content: Buffer;
  let memory: MemoryImageService;
  let settling: SnapshotSettlingService;
  let drain: Drain;

  beforeEach(async () => {
    root = await mkdtemp('/tmp/fks-');
    base = join(root, 'base');
    dir = join(root, 'snapshots', 'made');
    await mkdir(dir, { recursive: true });
    await writeFile(base, Buffer.alloc(IMAGE_BYTES, 1));
    memory = new MemoryImageService();
    const catalog = {
      store: new SnapshotStore(join(root, 'snapshots')),
    } as unknown as SnapshotCatalogService;
    const opener = new SnapshotOpenerService(
      catalog,
      {} as SnapshotIntegrityService,
      {} as SnapshotChainService,
    );
    drain = new Drain();
    settling = new SnapshotSettlingService(catalog, opener, memory, drain);
    await makeUnsettled();
    Logger.overrideLogger(false);
  });

  afterEach(async () => {
    Logger.overrideLogger(true);
    mock.restoreAll();
    await memory.onModuleDestroy();
    await rm(root, { recursive: true });
  });

  /** What a BRANCH publishes: image, leaves, diff, and the link to its base. */
  async function makeUnsettled(): Promise<void> {
    const source = await PrivateMapping.of(base);
    await source.write(7, 9);
    const handle = await open(base, 'r');
    assert.equal(await settling.secureBase(`/proc/${process.pid}/fd/${handle.fd}`, dir), true);
    const capture = await memory.prepareCapture({
      pid: source.pid,
      regions: source.regions,
      pages: 'diverged',
      basePath: base,
      imagePath: join(dir, 'memory.bin'),
      imageBytes: IMAGE_BYTES,
      sumsPath: join(dir, 'memory.sums'),
      diffPath: join(dir, 'memory.diff'),
      durable: false,
    });
    await capture.run();
    const { digest } = await capture.finish();
    await capture.close();
    await handle.close();
    await source.kill();
    await writeFile(join(dir, 'snapshot.json'), JSON.stringify(sampleManifest({ memory_digest: digest })));
    content = await readFile(join(dir, 'memory.bin'));
  }

  async function assertSettled(): Promise<void> {
    assert.deepEqual((await readdir(dir)).sort(), ['memory.bin', 'memory.sums', 'snapshot.json']);
    assert.ok((await readFile(join(dir, 'memory.bin'))).equals(content));
  }

  /** As if the host had lost power since. */
  async function reboot(): Promise<void> {
    await rename(join(dir, `memory.base-${await bootId()}`), join(dir, 'memory.base-an-earlier-boot'));
  }

  it('lets go of its base when the image is on disk', async () => {
    settling.begin('made');
    await settling.onApplicationShutdown();
    await assertSettled();
  });

  it('is settled by a daemon that starts in the same boot, which does not read it before it serves', async () => {
    const digest = mock.method(memory, 'digest');
    await settling.onApplicationBootstrap();
    assert.ok((await readdir(dir)).includes('memory.diff'));
    await settling.onApplicationShutdown();
    await assertSettled();
    assert.equal(digest.mock.callCount(), 0);
  });

  it('is settled by the first start of another boot', async () => {
    await reboot();
    await settling.onApplicationBootstrap();
    await assertSettled();
  });

  it('does not keep a stop that is in a hurry, and is settled by the next start', async () => {
    settling.begin('made');
    drain.expire();
    await settling.onApplicationShutdown();
    assert.ok((await readdir(dir)).includes('memory.diff'));
  });

  it('is deleted without being settled', async () => {
    settling.begin('made');
    await rm(dir, { recursive: true });
    await settling.onApplicationShutdown();
    await assert.rejects(readdir(dir), /ENOENT/);
  });

  it('of which the disk loses the image is made again, although the cache still has it', async () => {
    const inode = (await stat(join(dir, 'memory.bin'))).ino;
    const { open: original } = fsPromises;
    mock.method(fsPromises, 'open', async (...args: Parameters<typeof original>) => {
      const handle = await original(...args);
      if (String(args[0]).endsWith('memory.bin'))
        handle.sync = () => Promise.reject(Object.assign(new Error('EIO: i/o error'), { code: 'EIO' }));
      return handle;
    });
    settling.begin('made');
    await settling.onApplicationShutdown();
    await assertSettled();
    assert.notEqual((await stat(join(dir, 'memory.bin'))).ino, inode);
  });

  it('whose lost image cannot be made again is made by the next start, of the same boot as well', async () => {
    const broken = mock.method(memory, 'assemble', () => Promise.reject(new Error('ENOSPC')));
    const { open: original } = fsPromises;
    const sync = mock.method(fsPromises, 'open', async (...args: Parameters<typeof original>) => {
      if (String(args[0]).endsWith('memory.bin')) throw Object.assign(new Error('EIO'), { code: 'EIO' });
      return original(...args);
    });
    settling.begin('made');
    await settling.onApplicationShutdown();
    broken.mock.restore();
    sync.mock.restore();
    assert.ok((await readdir(dir)).includes('memory.base'));
    const assemble = mock.method(memory, 'assemble');
    await settling.onApplicationBootstrap();
    await assertSettled();
    assert.equal(assemble.mock.callCount(), 1);
  });

  it('whose description cannot be read loses nothing', async () => {
    await reboot();
    const before = (await readdir(dir)).sort();
    const text = await readFile(join(dir, 'snapshot.json'), 'utf8');
    for (const damaged of ['', '{"format":', undefined]) {
      await rm(join(dir, 'snapshot.json'));
      if (damaged !== undefined) await writeFile(join(dir, 'snapshot.json'), damaged);
      await settling.onApplicationBootstrap();
      await writeFile(join(dir, 'snapshot.json'), text);
      assert.deepEqual((await readdir(dir)).sort(), before);
    }
    await settling.onApplicationBootstrap();
    await assertSettled();
  });

  for (const [what, damage] of Object.entries({
    'was lost': (path: string) => rm(path),
    'is empty': (path: string) => writeFile(path, ''),
    'is half there': (path: string) => writeFile(path, Buffer.alloc(IMAGE_BYTES / 2, 1)),
    'has the right length and nothing in it': (path: string) => writeFile(path, Buffer.alloc(IMAGE_BYTES)),
  })) {
    it(`is made again at the next start when its image ${what}`, async () => {
      await reboot();
      await damage(join(dir, 'memory.bin'));
      await rm(base);
      await settling.onApplicationBootstrap();
      await assertSettled();
    });
  }

  it('has no image rather than a wrong one when it cannot be made again', async () => {
    await reboot();
    await writeFile(join(dir, 'memory.bin'), Buffer.alloc(IMAGE_BYTES));
    await copyFile(join(dir, 'memory.diff'), join(root, 'diff'));
    await writeFile(join(dir, 'memory.diff'), 'not a diff');
    await settling.onApplicationBootstrap();
    assert.equal((await readdir(dir)).includes('memory.bin'), false);
    await rm(join(dir, 'memory.diff'));
    await copyFile(join(root, 'diff'), join(dir, 'memory.diff'));
    await settling.onApplicationBootstrap();
    await assertSettled();
  });

  it('needs a base that has a name', async () => {
    const gone = join(root, 'gone');
    await link(base, gone);
    const handle = await open(gone, 'r');
    await rm(gone);
    const staging = join(root, 'staging');
    await mkdir(staging);
    try {
      assert.equal(await settling.secureBase(`/proc/${process.pid}/fd/${handle.fd}`, staging), false);
      // Another file has taken the name meanwhile.
      await writeFile(`${gone} (deleted)`, 'another');
      assert.equal(await settling.secureBase(`/proc/${process.pid}/fd/${handle.fd}`, staging), false);
      assert.deepEqual(await readdir(staging), []);
    } finally {
      await handle.close();
    }
  });
});
