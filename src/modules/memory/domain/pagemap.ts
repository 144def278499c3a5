/** Size of a page of guest memory as the host's kernel tracks it on x86-64. */
export const PAGE_BYTES = 4096;

/** A run of neighbouring pages, in bytes from the region's start. */
export interface PageRun {
  readonly offset: number;
  readonly length: number;
}

/** Bits 63 (present), 62 (swapped) and 61 (page of the file) of a pagemap entry, in its upper 32 bits. */
const PRESENT_OR_SWAPPED = 0xc0000000;
const FILE_PAGE = 0x20000000;

/**
 * Finds the pages of a private file mapping that no longer are the file's: present or swapped, and not file-backed
 * (https://docs.kernel.org/admin-guide/mm/pagemap.html). It needs no dirty tracking, so it is right after any number of
 * snapshots. Neighbouring pages come as one run of at most `maxRunBytes`.
 *
 * @param entries little-endian 64-bit pagemap entries, one a page.
 */
export function* divergedRuns(entries: Buffer, maxRunBytes: number): Generator<PageRun> {
  const words = new Uint32Array(entries.buffer, entries.byteOffset, entries.length >>> 2);
  const maxPages = Math.max(1, Math.floor(maxRunBytes / PAGE_BYTES));
  const pages = words.length >>> 1;
  let first = -1;
  for (let page = 0; page <= pages; page++) {
    const upper = page < pages ? (words[2 * page + 1] ?? 0) : 0;
    const diverged = (upper & PRESENT_OR_SWAPPED) !== 0 && (upper & FILE_PAGE) === 0;
    if (first >= 0 && (!diverged || page - first >= maxPages)) {
      yield { offset: first * PAGE_BYTES, length: (page - first) * PAGE_BYTES };
      first = -1;
    }
    if (diverged && first < 0) first = page;
  }
}
