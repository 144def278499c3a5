import assert from 'node:assert/strict';
import { copyFile, link, mkdir, mkdtemp, open, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { Logger } from '@nestjs/common';
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
    settling = new SnapshotSettlingService(catalog, opener, memory);
    await makeUnsettled();
    Logger.overrideLogger(false);
  });

  afterEach(async () => {
    Logger.overrideLogger(true);
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

  it('lets go of its base when the image is on disk', async () => {
    settling.begin('made');
    await settling.onModuleDestroy();
    await assertSettled();
  });

  it('is settled by the next start', async () => {
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
      await damage(join(dir, 'memory.bin'));
      await rm(base);
      await settling.onApplicationBootstrap();
      await assertSettled();
    });
  }

  it('has no image rather than a wrong one when it cannot be made again', async () => {
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
