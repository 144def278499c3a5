import assert from 'node:assert/strict';
import { closeSync, openSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import fc from 'fast-check';
import { applyDiff, writeDiff } from '../../../src/modules/memory/adapters/diff-io';
import { readerOf } from '../../../src/modules/memory/adapters/file-io';
import {
  dataOffset,
  decodeDiffHeader,
  diffHeadBytes,
  encodeDiffHeader,
} from '../../../src/modules/memory/domain/diff-file';
import { PAGE_BYTES } from '../../../src/modules/memory/domain/pagemap';

const PAGES = 2000;
const IMAGE_BYTES = PAGES * PAGE_BYTES;

const pageSets = fc
  .uniqueArray(fc.nat({ max: PAGES - 1 }), { maxLength: 40 })
  .map((pages) => Uint32Array.from(pages).sort());

describe('a memory diff', () => {
  let dir: string;
  let image: string;
  let diff: string;

  before(async () => {
    dir = await mkdtemp('/tmp/fkd-');
    [image, diff] = [join(dir, 'image'), join(dir, 'diff')];
  });

  after(async () => {
    await rm(dir, { recursive: true });
  });

  function on(path: string, flags: string, work: (fd: number) => void): void {
    const fd = openSync(path, flags);
    try {
      work(fd);
    } finally {
      closeSync(fd);
    }
  }

  it('has a head that is read as it was written', () => {
    const property = fc.property(pageSets, (pages) => {
      const head = encodeDiffHeader({ imageBytes: IMAGE_BYTES, pages });
      assert.equal(head.length % PAGE_BYTES, 0);
      assert.equal(diffHeadBytes(head), head.length);
      assert.deepEqual(decodeDiffHeader(head), { imageBytes: IMAGE_BYTES, pages });
    });
    fc.assert(property);
  });

  it('makes the parent’s image into the child’s, and touches no other page', async () => {
    const property = fc.asyncProperty(pageSets, async (pages) => {
      await rm(diff, { force: true });
      const child = Buffer.alloc(IMAGE_BYTES, 1);
      for (const page of pages) child.writeUInt32LE(page + 7, page * PAGE_BYTES);
      await writeFile(image, child);
      on(image, 'r', (fd) => {
        writeDiff(diff, readerOf(fd), { imageBytes: IMAGE_BYTES, pages });
      });
      await writeFile(image, Buffer.alloc(IMAGE_BYTES, 1));
      on(image, 'r+', (fd) => {
        applyDiff(diff, fd);
      });
      assert.ok((await readFile(image)).equals(child));
      // Nothing but the named pages is stored.
      assert.equal((await readFile(diff)).length, dataOffset(pages.length) + pages.length * PAGE_BYTES);
    });
    await fc.assert(property, { numRuns: 25 });
  });

  describe('that is damaged', () => {
    const pages = Uint32Array.from([3, 4, 9]);

    /** Applies a damaged diff; the image is as it was when that is refused. */
    async function refused(damage: (diff: Buffer) => Buffer, reason: RegExp): Promise<void> {
      const before = Buffer.alloc(16 * PAGE_BYTES, 1);
      const whole = Buffer.concat([
        encodeDiffHeader({ imageBytes: before.length, pages }),
        Buffer.alloc(3 * PAGE_BYTES, 5),
      ]);
      await writeFile(image, before);
      await writeFile(diff, damage(whole));
      on(image, 'r+', (fd) => {
        assert.throws(() => {
          applyDiff(diff, fd);
        }, reason);
      });
      assert.ok((await readFile(image)).equals(before), 'the image was written');
    }

    const withPages = (...numbers: number[]) => {
      return (whole: Buffer): Buffer => {
        numbers.forEach((number, index) => whole.writeUInt32LE(number, 24 + 4 * index));
        return whole;
      };
    };

    const CASES: Record<string, [(whole: Buffer) => Buffer, RegExp]> = {
      empty: [() => Buffer.alloc(0), /cut short/],
      'shorter than its head': [(whole) => whole.subarray(0, 20), /cut short/],
      'without its page numbers': [(whole) => whole.subarray(0, 30), /cut short/],
      'without its last byte': [(whole) => whole.subarray(0, -1), /cut short/],
      'longer than it says': [(whole) => Buffer.concat([whole, Buffer.alloc(1)]), /another length/],
      'another file': [() => Buffer.alloc(3 * PAGE_BYTES, 'not a diff'), /not a memory diff/],
      'of another page size': [
        (whole) => {
          whole.writeUInt32LE(16_384, 12);
          return whole;
        },
        /page size/,
      ],
      'of another image': [
        (whole) => {
          whole.writeBigUInt64LE(BigInt(17 * PAGE_BYTES), 16);
          return whole;
        },
        /another size/,
      ],
      'with an endless number of pages': [
        (whole) => {
          whole.writeUInt32LE(0xffff_ffff, 8);
          return whole;
        },
        /cut short/,
      ],
      'with a page past the image': [withPages(3, 4, 16), /order or range/],
      'with a page far past the image': [withPages(3, 4, 0xffff_ffff), /order or range/],
      'with a page twice': [withPages(3, 3, 9), /order or range/],
      'with pages out of order': [withPages(4, 3, 9), /order or range/],
    };
    for (const [name, [damage, reason]] of Object.entries(CASES)) {
      it(`is refused when it is ${name}`, () => refused(damage, reason));
    }

    it('never writes outside the image, whatever byte of its head is wrong', async () => {
      const before = Buffer.alloc(16 * PAGE_BYTES, 1);
      const head = encodeDiffHeader({ imageBytes: before.length, pages });
      const property = fc.asyncProperty(fc.nat({ max: 35 }), fc.integer({ max: 255 }), async (at, byte) => {
        const damaged = Buffer.concat([head, Buffer.alloc(3 * PAGE_BYTES, 5)]);
        damaged[at] = byte;
        await writeFile(image, before);
        await writeFile(diff, damaged);
        on(image, 'r+', (fd) => {
          try {
            applyDiff(diff, fd);
          } catch (error) {
            assert.match(String(error), /^Error: it/);
          }
        });
        assert.equal((await readFile(image)).length, before.length);
      });
      await fc.assert(property);
    });
  });
});
