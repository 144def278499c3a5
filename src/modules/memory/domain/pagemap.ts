/** Size of a page of guest memory as the host's kernel tracks it on x86-64. */
export const PAGE_BYTES = 4096;

/** A run of neighbouring pages, in bytes from the region's start. */
export interface PageRun {
  readonly offset: number;
  readonly length: number;
}

/** Bits 63 (present), 62 (swapped), 61 (page of the file) and 55 (soft-dirty) of a pagemap entry, in its upper 32 bits. */
const PRESENT_OR_SWAPPED = 0xc0000000;
const FILE_PAGE = 0x20000000;
const SOFT_DIRTY = 0x00800000;

/**
 * Finds the pages of a private file mapping that no longer are the file's: present or swapped, and not file-backed
 * (https://docs.kernel.org/admin-guide/mm/pagemap.html). It needs no dirty tracking, so it is right after any number of
 * snapshots. Neighbouring pages come as one run of at most `maxRunBytes`.
 *
 * @param entries little-endian 64-bit pagemap entries, one a page.
 */
export function divergedRuns(entries: Buffer, maxRunBytes: number): Generator<PageRun> {
  return runsWhere(entries, maxRunBytes, isDiverged);
}

/**
 * Finds the pages whose copy, made while the process ran, is not what they are by now: those written since the marks were
 * cleared, those that diverged since, and those that are the file's again, as they were given back to the kernel.
 *
 * @param copied one byte a page; not 0 where a copy was made, after the marks were cleared.
 * @param marked whether the marks can be believed; else any page that diverged may have been written since.
 */
export function staleRuns(
  entries: Buffer,
  { copied, marked }: { readonly copied: Uint8Array; readonly marked: boolean },
  maxRunBytes: number,
): Generator<PageRun> {
  return runsWhere(entries, maxRunBytes, (upper, page) =>
    isDiverged(upper) ? !marked || copied[page] === 0 || (upper & SOFT_DIRTY) !== 0 : copied[page] !== 0,
  );
}

/** Whether a page was written since the marks of its process were cleared. */
export function isSoftDirty(entry: bigint): boolean {
  return (Number(entry >> 32n) & SOFT_DIRTY) !== 0;
}

function isDiverged(upper: number): boolean {
  return (upper & PRESENT_OR_SWAPPED) !== 0 && (upper & FILE_PAGE) === 0;
}

function* runsWhere(
  entries: Buffer,
  maxRunBytes: number,
  wanted: (upper: number, page: number) => boolean,
): Generator<PageRun> {
  const words = new Uint32Array(entries.buffer, entries.byteOffset, entries.length >>> 2);
  const maxPages = Math.max(1, Math.floor(maxRunBytes / PAGE_BYTES));
  const pages = words.length >>> 1;
  let first = -1;
  for (let page = 0; page <= pages; page++) {
    const hit = page < pages && wanted(words[2 * page + 1] ?? 0, page);
    if (first >= 0 && (!hit || page - first >= maxPages)) {
      yield { offset: first * PAGE_BYTES, length: (page - first) * PAGE_BYTES };
      first = -1;
    }
    if (hit && first < 0) first = page;
  }
}
