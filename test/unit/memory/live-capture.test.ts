import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { CaptureJob, Captured } from '../../../src/modules/memory/domain/jobs';
import { PAGE_BYTES } from '../../../src/modules/memory/domain/pagemap';
import { MemoryImageService } from '../../../src/modules/memory/memory-image.service';
import { openFilesOf, PrivateMapping } from '../../support/memory/private-mapping';

const PAGES = 1500;
const BYTES = PAGES * PAGE_BYTES;
/** Set by host/live-branch.test.ts, which runs this file under a kernel that tells what is written. */
const MUST_BE_LIVE = process.env['FORKD_TEST_SOFT_DIRTY'] === 'required';

/** Runs under any kernel: where it cannot tell what is written, the image is right all the same, and the reason is told. */
describe('a live capture', () => {
  let dir: string;
  let base: string;
  let image: string;
  let service: MemoryImageService;
  let live: boolean;

  before(async () => {
    dir = await mkdtemp('/tmp/fkl-');
    base = join(dir, 'base');
    image = join(dir, 'image');
    await writeFile(base, Buffer.alloc(BYTES, 1));
    service = new MemoryImageService();
    live = await service.canCaptureLive();
    if (MUST_BE_LIVE) assert.ok(live, 'this kernel does not tell what is written');
  });

  after(async () => {
    await service.onModuleDestroy();
    await rm(dir, { recursive: true });
    assert.deepEqual(openFilesOf(dir), []);
  });

  /** Captures a process that does something before, and something after its pages were copied ahead. */
  async function capture(
    first: (source: PrivateMapping) => Promise<void>,
    meanwhile: (source: PrivateMapping) => Promise<void>,
    changes: Partial<CaptureJob> = {},
  ): Promise<Captured> {
    const source = await PrivateMapping.of(base);
    try {
      await first(source);
      const session = await service.prepareCapture({
        pid: source.pid,
        regions: source.regions,
        pages: 'diverged',
        live: true,
        basePath: base,
        imagePath: image,
        imageBytes: BYTES,
        sumsPath: join(dir, 'sums'),
        durable: false,
        ...changes,
      });
      try {
        await meanwhile(source);
        await source.pause();
        const captured = await session.run();
        const { digest } = await session.finish();
        assert.ok(
          (await readFile(image)).equals(await source.memory()),
          'the image is not what the process has',
        );
        assert.equal(digest, await service.digest(image));
        return captured;
      } finally {
        await session.close();
      }
    } finally {
      await source.kill();
      for (const name of ['image', 'sums']) await rm(join(dir, name), { force: true });
    }
  }

  const fill = async (source: PrivateMapping, from: number, count: number): Promise<void> => {
    for (let page = from; page < from + count; page++) await source.write(page, 2 + (page % 200));
  };

  it('copies in the pause only what was written since it was copied ahead', async () => {
    const { divergedBytes, copiedBytes, notLive } = await capture(
      (source) => fill(source, 0, 100),
      async (source) => {
        await source.write(7, 9);
        await source.write(1200, 9);
      },
    );
    assert.equal(divergedBytes, 101 * PAGE_BYTES);
    if (live) assert.deepEqual([copiedBytes, notLive], [2 * PAGE_BYTES, undefined]);
    else {
      assert.equal(copiedBytes, divergedBytes);
      assert.match(notLive ?? '', /the kernel does not mark what is written/);
    }
  });

  it('gives the file’s content for what was given back meanwhile', async () => {
    const { divergedBytes } = await capture(
      (source) => fill(source, 0, 20),
      async (source) => {
        await source.discard(3);
        await source.discard(4);
        await source.write(4, 77);
      },
    );
    assert.equal(divergedBytes, 19 * PAGE_BYTES);
  });

  it('copies all in the pause, and says so, when something else clears the marks', async () => {
    const { divergedBytes, copiedBytes, notLive } = await capture(
      (source) => fill(source, 0, 50),
      async (source) => {
        await source.write(3, 9);
        await writeFile(`/proc/${source.pid}/clear_refs`, '4');
        await source.discard(5);
      },
    );
    assert.equal(divergedBytes, 49 * PAGE_BYTES);
    if (!live) return;
    assert.match(notLive ?? '', /something else clears the marks/);
    assert.equal(copiedBytes, 50 * PAGE_BYTES);
  });

  it('is whole under a process that writes and gives back pages all the time', async () => {
    for (let round = 0; round < 2; round++) {
      await capture(
        async (source) => {
          await fill(source, 0, 50);
          await source.churn();
        },
        () => Promise.resolve(),
      );
    }
  });

  it('writes a diff of every page that was copied, ahead or in the pause', async () => {
    const diffPath = join(dir, 'diff');
    await capture(
      (source) => fill(source, 10, 10),
      async (source) => {
        await source.write(5, 5);
        await source.write(30, 5);
        await source.write(12, 5);
      },
      { diffPath },
    );
    const copy = join(dir, 'copy');
    await service.assemble(base, { imagePath: copy, diffPaths: [diffPath], sumsPath: join(dir, 'sums') });
    const content = await readFile(copy);
    for (const [page, byte] of [
      [5, 5],
      [12, 5],
      [13, 15],
      [30, 5],
      [9, 1],
    ] as const) {
      assert.ok(content.subarray(page * PAGE_BYTES, (page + 1) * PAGE_BYTES).every((each) => each === byte));
    }
    for (const path of [diffPath, copy]) await rm(path);
  });
});
