import { closeSync, fstatSync, fsyncSync, openSync } from 'node:fs';
import {
  decodeDiffHeader,
  DIFF_HEADER_BYTES,
  type DiffHeader,
  diffHeadBytes,
  encodeDiffHeader,
} from '../domain/diff-file';
import { PAGE_BYTES } from '../domain/pagemap';
import { type ImageReader, readFully, writeFully } from './file-io';

/** Pages of a run that are copied at once. */
const RUN_PAGES = 256;

/** Writes the given pages of an image as a diff, durably. */
export function writeDiff(path: string, image: ImageReader, header: DiffHeader): void {
  const diff = openSync(path, 'wx', 0o600);
  try {
    const head = encodeDiffHeader(header);
    writeFully(diff, head, 0, head.length, 0);
    copyPages(header.pages, (buffer, page, slot, length) => {
      image(buffer, length, page * PAGE_BYTES);
      writeFully(diff, buffer, 0, length, head.length + slot * PAGE_BYTES);
    });
    fsyncSync(diff);
  } finally {
    closeSync(diff);
  }
}

/** Writes a diff's pages over an image. @throws Error when the file is not a diff of an image of this size. */
export function applyDiff(path: string, image: number): void {
  const diff = openSync(path, 'r');
  try {
    const bytes = fstatSync(diff).size;
    if (bytes < DIFF_HEADER_BYTES) throw new Error('it is cut short');
    const start = Buffer.alloc(DIFF_HEADER_BYTES);
    readFully(diff, start, start.length, 0);
    const headBytes = diffHeadBytes(start);
    if (headBytes > bytes) throw new Error('it is cut short');
    const head = Buffer.alloc(headBytes);
    readFully(diff, head, head.length, 0);
    const header = decodeDiffHeader(head);
    if (header.imageBytes !== fstatSync(image).size) throw new Error('it is of an image of another size');
    const whole = headBytes + header.pages.length * PAGE_BYTES;
    if (whole !== bytes)
      throw new Error(bytes < whole ? 'it is cut short' : 'it has another length than it says');
    copyPages(header.pages, (buffer, page, slot, length) => {
      readFully(diff, buffer, length, headBytes + slot * PAGE_BYTES);
      writeFully(image, buffer, 0, length, page * PAGE_BYTES);
    });
  } finally {
    closeSync(diff);
  }
}

/** Walks runs of neighbouring pages; `slot` is the place of the run's first page among the given ones. */
function copyPages(
  pages: Uint32Array,
  copy: (buffer: Buffer, page: number, slot: number, length: number) => void,
): void {
  const buffer = Buffer.allocUnsafe(RUN_PAGES * PAGE_BYTES);
  let slot = 0;
  while (slot < pages.length) {
    const first = pages[slot] ?? 0;
    let count = 1;
    while (count < RUN_PAGES && pages[slot + count] === first + count) count++;
    copy(buffer, first, slot, count * PAGE_BYTES);
    slot += count;
  }
}
