import assert from 'node:assert/strict';
import { mkdtemp, open, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { closeSync, openSync } from 'node:fs';
import { applyDiff } from '../../../src/modules/memory/adapters/diff-io';
import type { CaptureJob, KnownSums } from '../../../src/modules/memory/domain/jobs';
import { CHUNK_BYTES } from '../../../src/modules/memory/domain/digest';
import { PAGE_BYTES } from '../../../src/modules/memory/domain/pagemap';
import { MemoryImageService } from '../../../src/modules/memory/memory-image.service';
import { openFilesOf, pageOf, PrivateMapping } from '../../support/memory/private-mapping';

/** More than is kept in memory during a pause, so that both ways of capturing are reached. */
const PAGES = 12_000;
const IMAGE_BYTES = PAGES * PAGE_BYTES;
/** The mapped file: a page of 1s and a page of 2s, then holes, and a page of 3s at its end. */
const WRITTEN: readonly [page: number, byte: number][] = [
  [0, 1],
  [1, 2],
  [PAGES - 1, 3],
];

describe('capturing the memory of a process', () => {
  let dir: string;
  let base: string;
  let image: string;
  let source: PrivateMapping;
  let service: MemoryImageService;

  before(async () => {
    dir = await mkdtemp('/tmp/fkc-');
    base = join(dir, 'base');
    image = join(dir, 'image');
    const file = await open(base, 'w');
    for (const [page, byte] of WRITTEN) await file.write(pageOf(byte), 0, PAGE_BYTES, page * PAGE_BYTES);
    await file.truncate(IMAGE_BYTES);
    await file.close();
    service = new MemoryImageService();
  });

  beforeEach(async () => {
    source = await PrivateMapping.of(base);
  });

  afterEach(async () => {
    await source.kill();
    for (const name of ['image', 'sums', 'diff', 'base-sums']) await rm(join(dir, name), { force: true });
  });

  after(async () => {
    await service.onModuleDestroy();
    await rm(dir, { recursive: true });
    assert.deepEqual(openFiles(), [], 'files are open after all threads have ended');
  });

  const openFiles = (): string[] => openFilesOf(dir);

  const job = (changes: Partial<CaptureJob> = {}): Omit<CaptureJob, 'kind'> => ({
    pid: source.pid,
    regions: source.regions,
    pages: 'diverged',
    imagePath: image,
    imageBytes: IMAGE_BYTES,
    sumsPath: join(dir, 'sums'),
    durable: true,
    ...changes,
  });

  /** Captures all at once; returns what was measured, the digest, and the image. */
  async function capture(changes: Partial<CaptureJob> = {}) {
    const session = await service.prepareCapture(job(changes));
    try {
      const captured = await session.run();
      const { digest } = await session.finish();
      return { ...captured, digest, content: await readFile(image) };
    } finally {
      await session.close();
    }
  }

  async function sumsOfBase(): Promise<KnownSums> {
    const path = join(dir, 'base-sums');
    return { path, digest: await service.digest(base, path) };
  }

  function expected(overBase: boolean, changes: readonly [number, number][]): Buffer {
    const content = Buffer.alloc(IMAGE_BYTES);
    for (const [page, byte] of [...(overBase ? WRITTEN : []), ...changes])
      pageOf(byte).copy(content, page * PAGE_BYTES);
    return content;
  }

  async function write(pages: readonly [number, number][]): Promise<void> {
    for (const [page, byte] of pages) await source.write(page, byte);
  }

  const CHANGES: readonly [number, number][] = [
    [1, 7],
    [2, 8],
    [40, 9],
    [41, 0],
    [PAGES - 1, 6],
  ];

  it('gives the base with the pages that diverged over it, and their size', async () => {
    await write(CHANGES);
    await source.read(0);
    await source.read(500);
    const result = await capture({ basePath: base });
    assert.ok(result.content.equals(expected(true, CHANGES)));
    assert.equal(result.divergedBytes, CHANGES.length * PAGE_BYTES);
    assert.equal(result.digest, await service.digest(image));
  });

  it('hashes only what changed when the leaves of the base are known, with the same digest', async () => {
    const baseSums = await sumsOfBase();
    await write(CHANGES);
    const { digest, content } = await capture({ basePath: base, baseSums });
    assert.ok(content.equals(expected(true, CHANGES)));
    assert.equal(digest, await service.digest(image));
    assert.ok((await stat(image)).blocks * 512 <= 5 * CHUNK_BYTES, 'holes were filled');
    const sums = await readFile(join(dir, 'sums'));
    await service.digest(image, join(dir, 'sums'));
    assert.ok(sums.equals(await readFile(join(dir, 'sums'))));
  });

  it('does not believe leaves that are another image’s, damaged or missing', async () => {
    await write(CHANGES);
    const { path, digest } = await sumsOfBase();
    const right = await capture({ basePath: base, baseSums: { path, digest } });
    for (const baseSums of [
      { path, digest: '0'.repeat(64) },
      { path: base, digest },
      { path: join(dir, 'missing'), digest },
    ]) {
      const result = await capture({ basePath: base, baseSums });
      assert.ok(result.content.equals(right.content));
      assert.equal(result.digest, right.digest);
    }
  });

  it('gives what diverged over holes, and leaves zeros holes', async () => {
    await write(CHANGES);
    const result = await capture();
    assert.ok(result.content.equals(expected(false, CHANGES)));
    assert.equal(result.digest, await service.digest(image));
    assert.ok((await stat(image)).blocks * 512 <= 8 * PAGE_BYTES, 'holes were filled');
  });

  it('gives every page when asked for all', async () => {
    await write(CHANGES);
    const result = await capture({ pages: 'all' });
    assert.ok(result.content.equals(expected(true, CHANGES)));
    assert.equal(result.digest, await service.digest(image));
    assert.ok((await stat(image)).blocks * 512 <= 12 * PAGE_BYTES, 'holes were filled');
  });

  it('takes what was written until the pause, not what was when it was prepared, and nothing later', async () => {
    const session = await service.prepareCapture(job({ basePath: base }));
    await write(CHANGES);
    await session.run();
    await write([[5, 5]]);
    const { digest } = await session.finish();
    await session.close();
    assert.ok((await readFile(image)).equals(expected(true, CHANGES)));
    assert.equal(digest, await service.digest(image));
  });

  it('takes any number of pages, few in memory and many directly', async () => {
    const many = Array.from({ length: 9000 }, (_, index): [number, number] => [index + 7, (index % 250) + 1]);
    await write(many);
    const result = await capture({ basePath: base });
    assert.equal(result.divergedBytes, many.length * PAGE_BYTES);
    assert.ok(result.content.equals(expected(true, many)));
    assert.equal(result.digest, await service.digest(image));
  });

  it('gives the same image when it is live, and says why it was not where the kernel cannot tell', async () => {
    await write(CHANGES);
    const session = await service.prepareCapture(job({ basePath: base, live: true }));
    await write([
      [2, 9],
      [60, 6],
    ]);
    const { divergedBytes, notLive } = await session.run();
    await write([[5, 5]]);
    const { digest } = await session.finish();
    await session.close();
    assert.ok(
      (await readFile(image)).equals(
        expected(true, [...CHANGES.filter(([page]) => page !== 2), [2, 9], [60, 6]]),
      ),
    );
    assert.equal(digest, await service.digest(image));
    assert.equal(divergedBytes, (CHANGES.length + 1) * PAGE_BYTES);
    if (await service.canCaptureLive()) assert.equal(notLive, undefined);
    else assert.match(notLive ?? '', /the kernel does not mark what is written/);
  });

  it('sees the same state at each capture, as nothing is tracked or reset', async () => {
    await write(CHANGES);
    const first = await capture({ basePath: base });
    const second = await capture({ basePath: base });
    assert.equal(second.digest, first.digest);
    await write([[77, 7]]);
    const third = await capture({ basePath: base });
    assert.ok(third.content.equals(expected(true, [...CHANGES, [77, 7]])));
  });

  it('needs the file no more by its name', async () => {
    const other = join(dir, 'other');
    await writeFile(other, await readFile(base));
    const second = await PrivateMapping.of(other);
    try {
      await second.write(3, 9);
      const handle = await open(other, 'r');
      await rm(other);
      try {
        // A path that opens a file which has no name any more, as an engine gives it.
        const basePath = `/proc/${process.pid}/fd/${handle.fd}`;
        const result = await capture({ pid: second.pid, regions: second.regions, basePath });
        assert.ok(result.content.equals(expected(true, [[3, 9]])));
      } finally {
        await handle.close();
      }
    } finally {
      await second.kill();
    }
  });

  for (const count of [5, 9000]) {
    it(`writes a diff of ${count} pages that turns the base into the image`, async () => {
      const changes = Array.from({ length: count }, (_, index): [number, number] => [
        index + 3,
        (index % 250) + 1,
      ]);
      await write(changes);
      const diffPath = join(dir, 'diff');
      await capture({ basePath: base, diffPath });
      assert.ok((await stat(diffPath)).size < (count + 20) * PAGE_BYTES);
      const copy = join(dir, 'copy');
      await writeFile(copy, await readFile(base));
      const fd = openSync(copy, 'r+');
      applyDiff(diffPath, fd);
      closeSync(fd);
      assert.ok((await readFile(copy)).equals(await readFile(image)));
      await rm(copy);
    });
  }

  describe('that goes wrong', () => {
    it('says that the process has gone, before and in the middle', async () => {
      const session = await service.prepareCapture(job({ basePath: base }));
      await source.kill();
      await assert.rejects(session.run(), /ended while it was read/);
      await session.close();
      await assert.rejects(service.prepareCapture(job({ basePath: base })), { code: 'ENOENT' });
      assert.deepEqual(openFiles(), []);
    });

    it('gives the errno of what cannot be written', async () => {
      await write(CHANGES);
      const imagePath = join(dir, 'missing', 'image');
      await assert.rejects(service.prepareCapture(job({ imagePath })), { code: 'ENOENT' });
      const session = await service.prepareCapture(job({ sumsPath: join(dir, 'missing', 'sums') }));
      await session.run();
      await assert.rejects(session.finish(), { code: 'ENOENT' });
      await session.close();
      assert.deepEqual(openFiles(), []);
    });

    it('gives the reason when the base cannot be copied, and the thread works on', async () => {
      await write(CHANGES);
      const imagePath = join(dir, 'missing', 'image');
      const session = await service.prepareCapture(job({ imagePath, basePath: base }));
      await session.run();
      await assert.rejects(session.finish(), /cp failed.*No such file/);
      await session.close();
      assert.deepEqual(openFiles(), []);
      assert.ok((await capture({ basePath: base })).content.equals(expected(true, CHANGES)));
    });

    it('leaves nothing open when it is given up at any step', async () => {
      await write(CHANGES);
      const steps: ((session: Awaited<ReturnType<typeof service.prepareCapture>>) => unknown)[] = [
        () => undefined,
        (session) => session.run(),
        (session) => void session.run().catch(() => undefined),
        async (session) => {
          await session.run();
          session.finish().catch(() => undefined);
        },
      ];
      for (const step of steps) {
        const baseSums = await sumsOfBase();
        for (const changes of [
          {},
          { basePath: base },
          { basePath: base, baseSums },
          { pages: 'all' as const },
        ]) {
          const session = await service.prepareCapture(job(changes));
          await step(session);
          await session.close();
          await session.close();
          assert.deepEqual(openFiles(), []);
        }
      }
    });

    it('does not disturb another capture of the same process', async () => {
      await write(CHANGES);
      const lost = await service.prepareCapture(
        job({ imagePath: join(dir, 'lost'), sumsPath: join(dir, 'lost-sums') }),
      );
      const running = capture({ basePath: base });
      await lost.close();
      assert.ok((await running).content.equals(expected(true, CHANGES)));
    });
  });
});
