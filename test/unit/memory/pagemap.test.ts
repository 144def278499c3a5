import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  divergedRuns,
  isSoftDirty,
  PAGE_BYTES,
  type PageRun,
  staleRuns,
} from '../../../src/modules/memory/domain/pagemap';

const PRESENT = 1n << 63n;
const SWAPPED = 1n << 62n;
const FILE = 1n << 61n;
const SOFT_DIRTY = 1n << 55n;

function pagemap(entries: bigint[]): Buffer {
  const buffer = Buffer.alloc(entries.length * 8);
  entries.forEach((entry, index) => buffer.writeBigUInt64LE(entry, index * 8));
  return buffer;
}

function pagesOf(entries: bigint[], maxRunBytes: number): number[] {
  return numbersOf(divergedRuns(pagemap(entries), maxRunBytes));
}

function numbersOf(runs: Iterable<PageRun>): number[] {
  return [...runs].flatMap(({ offset, length }) =>
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

describe('staleRuns', () => {
  const stale = (entries: bigint[], copied: number[], marked = true): number[] =>
    numbersOf(staleRuns(pagemap(entries), { copied: Uint8Array.from(copied), marked }, 1 << 20));

  it('takes what was written since it was copied, what diverged since, and what is the file’s again', () => {
    const entries = [0n, PRESENT, PRESENT | SOFT_DIRTY, SWAPPED | SOFT_DIRTY, PRESENT, 0n, PRESENT | FILE];
    assert.deepEqual(stale(entries, [0, 1, 1, 1, 0, 1, 1]), [2, 3, 4, 5, 6]);
  });

  it('takes all that diverged or was copied where the marks cannot be believed', () => {
    assert.deepEqual(stale([0n, PRESENT, PRESENT, 0n], [0, 1, 0, 1], false), [1, 2, 3]);
  });

  it('reads the mark of one entry', () => {
    assert.ok(isSoftDirty(PRESENT | SOFT_DIRTY | 0x1234n));
    assert.ok(!isSoftDirty((1n << 64n) - 1n - SOFT_DIRTY));
  });

  it('makes a copy whole, whatever the guest did while it was made', () => {
    const step = fc.record({
      page: fc.nat(7),
      /** 0 gives the page back to the kernel, so that it is the file's again. */
      value: fc.nat(3),
    });
    const steps = fc.array(step, { maxLength: 12 });
    fc.assert(
      fc.property(steps, fc.array(steps, { minLength: 8, maxLength: 8 }), steps, (first, during, last) => {
        const guest = new SimulatedPages(8);
        for (const { page, value } of first) guest.set(page, value);
        guest.clearMarks();
        const image = Array<number>(8).fill(0);
        const copied = new Uint8Array(8);
        const found = numbersOf(divergedRuns(guest.pagemap(), 1 << 20));
        for (const [index, page] of found.entries()) {
          for (const each of during[index] ?? []) guest.set(each.page, each.value);
          image[page] = guest.values[page] ?? 0;
          copied[page] = 1;
        }
        for (const { page, value } of last) guest.set(page, value);
        for (const page of numbersOf(staleRuns(guest.pagemap(), { copied, marked: true }, 1 << 20)))
          image[page] = guest.values[page] ?? 0;
        assert.deepEqual(image, guest.values);
      }),
    );
  });
});

/** Pages of a private mapping of a file of zeros, as the kernel shows them. */
class SimulatedPages {
  readonly values: number[];
  private readonly entries: bigint[];

  constructor(count: number) {
    this.values = Array<number>(count).fill(0);
    this.entries = Array<bigint>(count).fill(0n);
  }

  /** A write, or with 0 the return of the page. */
  set(page: number, value: number): void {
    this.values[page] = value;
    this.entries[page] = value === 0 ? 0n : PRESENT | SOFT_DIRTY;
  }

  clearMarks(): void {
    for (const [page, entry] of this.entries.entries()) this.entries[page] = entry & ~SOFT_DIRTY;
  }

  pagemap(): Buffer {
    return pagemap(this.entries);
  }
}
