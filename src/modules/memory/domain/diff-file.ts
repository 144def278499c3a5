import { PAGE_BYTES } from './pagemap';

/**
 * memory.diff: the pages in which an image differs from its parent's. Little-endian: 8 bytes of magic, number of pages
 * (u32), page size (u32), size of the image (u64), the page numbers in ascending order (u32 each), zeros up to the next
 * page boundary, then the pages in the same order.
 */
const MAGIC = Buffer.from('FKDIFF1\n', 'latin1');
const HEADER_BYTES = 24;

export interface DiffHeader {
  readonly imageBytes: number;
  readonly pages: Uint32Array;
}

/** Offset of the first page's data. */
export function dataOffset(pageCount: number): number {
  return Math.ceil((HEADER_BYTES + pageCount * 4) / PAGE_BYTES) * PAGE_BYTES;
}

/** Header and page numbers, padded to where the data begins. */
export function encodeDiffHeader({ imageBytes, pages }: DiffHeader): Buffer {
  const head = Buffer.alloc(dataOffset(pages.length));
  MAGIC.copy(head);
  head.writeUInt32LE(pages.length, 8);
  head.writeUInt32LE(PAGE_BYTES, 12);
  head.writeBigUInt64LE(BigInt(imageBytes), 16);
  pages.forEach((page, index) => head.writeUInt32LE(page, HEADER_BYTES + index * 4));
  return head;
}

/** How many bytes hold header and page numbers, from the first {@link HEADER_BYTES}. @throws Error when it is no diff. */
export function diffHeadBytes(start: Buffer): number {
  if (start.length < HEADER_BYTES || !start.subarray(0, MAGIC.length).equals(MAGIC)) {
    throw new Error('it is not a memory diff');
  }
  if (start.readUInt32LE(12) !== PAGE_BYTES) throw new Error('its page size is another than this host’s');
  return dataOffset(start.readUInt32LE(8));
}

/** @throws Error when the page numbers do not fit the image. */
export function decodeDiffHeader(head: Buffer): DiffHeader {
  const count = head.readUInt32LE(8);
  const imageBytes = Number(head.readBigUInt64LE(16));
  const pages = new Uint32Array(count);
  let previous = -1;
  for (let index = 0; index < count; index++) {
    const page = head.readUInt32LE(HEADER_BYTES + index * 4);
    if (page <= previous || (page + 1) * PAGE_BYTES > imageBytes)
      throw new Error('its page numbers are out of order or range');
    pages[index] = previous = page;
  }
  return { imageBytes, pages };
}

export { HEADER_BYTES as DIFF_HEADER_BYTES };
