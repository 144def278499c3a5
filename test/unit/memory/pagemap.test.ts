import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { divergedRuns, PAGE_BYTES } from '../../../src/modules/memory/domain/pagemap';

const PRESENT = 1n << 63n;
const SWAPPED = 1n << 62n;
const FILE = 1n << 61n;

function pagemap(entries: bigint[]): Buffer {
  const buffer = Buffer.alloc(entries.length * 8);
  entries.forEach((entry, index) => buffer.writeBigUInt64LE(entry, index * 8));
  return buffer;
}

function pagesOf(entries: bigint[], maxRunBytes: number): number[] {
  return [...divergedRuns(pagemap(entries), maxRunBytes)].flatMap(({ offset, length }) =>
    Array.from({ length: length / PAGE_BYTES }, (_, index) => offset / PAGE_BYTES + index),
  );
}

describe('divergedRuns', () => {
  it('takes pages that are present or swapped and not the file’s', () => {
    const entries = [0n, PRESENT | FILE, PRESENT, SWAPPED, SWAPPED | FILE, PRESENT | 0x1234n];
    assert.deepEqual(pagesOf(entries, 1 << 20), [2, 3, 5]);
  });

  it('cuts runs at the given length and loses no page', () => {
    const runs = [...divergedRuns(pagemap(Array<bigint>(10).fill(PRESENT)), 4 * PAGE_BYTES)];
    assert.deepEqual(
      runs.map(({ length }) => length / PAGE_BYTES),
      [4, 4, 2],
    );
  });

  it('agrees with a page-by-page reading on any map', () => {
    const entry = fc.constantFrom(0n, PRESENT, SWAPPED, PRESENT | FILE, SWAPPED | FILE, FILE);
    fc.assert(
      fc.property(fc.array(entry, { maxLength: 200 }), fc.integer({ min: 1, max: 9 }), (entries, pages) => {
        const expected = entries.flatMap((value, page) =>
          (value & (PRESENT | SWAPPED)) !== 0n && (value & FILE) === 0n ? [page] : [],
        );
        assert.deepEqual(pagesOf(entries, pages * PAGE_BYTES), expected);
      }),
    );
  });
});
