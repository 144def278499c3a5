import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { closeSync, openSync } from 'node:fs';
import { mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import fc from 'fast-check';
import { readerOf } from '../../../src/modules/memory/adapters/file-io';
import {
  digestImage,
  hashChunks,
  knownLeaves,
  zeroLeaves,
} from '../../../src/modules/memory/adapters/image-digest';
import { CHUNK_BYTES, digestOf, LEAF_BYTES } from '../../../src/modules/memory/domain/digest';

/** The digest as it is defined, computed without any of its short cuts. */
function plainDigest(image: Buffer): string {
  const tree = createHash('sha256').update(`forkd memory 1 ${image.length}\n`);
  for (let at = 0; at < image.length; at += CHUNK_BYTES) {
    tree.update(
      createHash('sha256')
        .update(image.subarray(at, at + CHUNK_BYTES))
        .digest(),
    );
  }
  return tree.digest('hex');
}

/** An image of chunks that are zeros or filled with a byte, with an end that need not fill its chunk. */
const images = fc
  .record({
    chunks: fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 6 }),
    rest: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: CHUNK_BYTES - 1 })),
    restByte: fc.integer({ min: 0, max: 3 }),
  })
  .map(({ chunks, rest, restByte }) =>
    Buffer.concat([...chunks.map((byte) => Buffer.alloc(CHUNK_BYTES, byte)), Buffer.alloc(rest, restByte)]),
  );

describe('the digest of a memory image', () => {
  let dir: string;
  let path: string;

  before(async () => {
    dir = await mkdtemp('/tmp/fkd-');
    path = join(dir, 'image');
  });

  after(async () => {
    await rm(dir, { recursive: true });
  });

  function withImage<T>(work: (fd: number) => T): T {
    const fd = openSync(path, 'r');
    try {
      return work(fd);
    } finally {
      closeSync(fd);
    }
  }

  it('is the tree of its chunks’ hashes, at any size, and its leaves are kept', async () => {
    const property = fc.asyncProperty(images, async (image) => {
      await writeFile(path, image);
      const sums = join(dir, 'sums');
      assert.equal(
        withImage((fd) => digestImage(fd, sums)),
        plainDigest(image),
      );
      const leaves = await readFile(sums);
      assert.equal(leaves.length, Math.ceil(image.length / CHUNK_BYTES) * LEAF_BYTES);
      assert.equal(digestOf(image.length, leaves), plainDigest(image));
    });
    await fc.assert(property, { numRuns: 60 });
  });

  it('is the same when only the chunks that changed are hashed again', async () => {
    const changes = fc.array(
      fc.record({ at: fc.nat(), length: fc.integer({ min: 1, max: 20_000 }), byte: fc.integer({ max: 3 }) }),
      { maxLength: 5 },
    );
    const property = fc.asyncProperty(images, changes, async (image, writes) => {
      await writeFile(path, image);
      const sums = join(dir, 'sums');
      const digest = withImage((fd) => digestImage(fd, sums));
      const changed = new Set<number>();
      for (const { at, length, byte } of writes) {
        const from = image.length === 0 ? 0 : at % image.length;
        const to = Math.min(image.length, from + length);
        image.fill(byte, from, to);
        for (let each = from; each < to; each++) changed.add(Math.floor(each / CHUNK_BYTES));
      }
      await writeFile(path, image);
      const leaves = knownLeaves(image.length, { path: sums, digest });
      assert.ok(leaves);
      withImage((fd) => {
        hashChunks(readerOf(fd), image.length, leaves, (chunk) => changed.has(chunk));
      });
      assert.equal(digestOf(image.length, leaves), plainDigest(image));
    });
    await fc.assert(property, { numRuns: 60 });
  });

  it('costs no reading of an image of holes', async () => {
    await writeFile(path, '');
    await truncate(path, 3 * CHUNK_BYTES);
    assert.equal(digestOf(3 * CHUNK_BYTES, zeroLeaves(3 * CHUNK_BYTES)), plainDigest(await readFile(path)));
  });

  it('knows leaves only by their digest', async () => {
    const sums = join(dir, 'leaves');
    const bytes = 3 * CHUNK_BYTES;
    const leaves = zeroLeaves(bytes);
    const digest = digestOf(bytes, leaves);
    await writeFile(sums, leaves);
    assert.ok(knownLeaves(bytes, { path: sums, digest }));
    assert.equal(knownLeaves(bytes + CHUNK_BYTES, { path: sums, digest }), undefined);
    assert.equal(knownLeaves(bytes, { path: join(dir, 'missing'), digest }), undefined);
    assert.equal(knownLeaves(bytes, undefined), undefined);
    leaves[0] = 1;
    await writeFile(sums, leaves);
    assert.equal(knownLeaves(bytes, { path: sums, digest }), undefined);
  });

  it('says so when the image ends before its size', async () => {
    await writeFile(path, Buffer.alloc(CHUNK_BYTES));
    withImage((fd) => {
      assert.throws(() => {
        hashChunks(readerOf(fd), 2 * CHUNK_BYTES, zeroLeaves(2 * CHUNK_BYTES), () => true);
      }, /ended while it was read/);
    });
  });
});
