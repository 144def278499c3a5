import { closeSync, fstatSync, openSync, readFileSync, readSync } from 'node:fs';
import { chunkCount, digestOf, LEAF_BYTES, ZERO_LEAF } from '../../memory/domain/digest';
import { HOLE_BYTES } from '../domain/packed-files';
import type { Extent } from '../domain/sparse-map';
import { PlainHash } from './content-hash';

/** Where a file has data, and what it is. */
export interface ScannedFile {
  readonly size: number;
  readonly digest: string;
  /** All but its holes, in ascending order. */
  readonly extents: readonly Extent[];
}

const READ_BYTES = 1024 * 1024;
const ZEROS = Buffer.alloc(HOLE_BYTES);

/** Reads a file to tell its SHA-256 and its holes; blocks of zeros count as such. */
export function scanFile(path: string): ScannedFile {
  const fd = openSync(path, 'r');
  try {
    const { size } = fstatSync(fd);
    const hash = new PlainHash(size);
    const extents = new Extents();
    const buffer = Buffer.allocUnsafe(Math.min(READ_BYTES, Math.max(size, 1)));
    for (let at = 0; at < size;) {
      const count = readSync(fd, buffer, 0, Math.min(buffer.length, size - at), at);
      if (count === 0) throw new Error(`${path} became shorter while it was read`);
      hash.update(at, buffer.subarray(0, count));
      for (let from = 0; from < count; from += HOLE_BYTES) {
        const piece = buffer.subarray(from, Math.min(from + HOLE_BYTES, count));
        if (!piece.equals(ZEROS.subarray(0, piece.length))) extents.add(at + from, piece.length);
      }
      at += count;
    }
    return { size, digest: hash.finish(), extents: extents.all };
  } finally {
    closeSync(fd);
  }
}

/** Where a memory image has data, by its leaves; undefined when they are missing or another image's. */
export function imageExtents(sumsPath: string, size: number, digest: string): Extent[] | undefined {
  let leaves: Buffer;
  try {
    leaves = readFileSync(sumsPath);
  } catch {
    return undefined;
  }
  if (leaves.length !== chunkCount(size) * LEAF_BYTES || digestOf(size, leaves) !== digest) return undefined;
  const extents = new Extents();
  for (let chunk = 0; chunk < chunkCount(size); chunk++) {
    const at = chunk * HOLE_BYTES;
    if (leaves.compare(ZERO_LEAF, 0, LEAF_BYTES, chunk * LEAF_BYTES, (chunk + 1) * LEAF_BYTES) !== 0)
      extents.add(at, Math.min(HOLE_BYTES, size - at));
  }
  return extents.all;
}

class Extents {
  readonly all: { offset: number; length: number }[] = [];

  /** Neighbours become one. */
  add(offset: number, length: number): void {
    const last = this.all.at(-1);
    if (last !== undefined && last.offset + last.length === offset) last.length += length;
    else this.all.push({ offset, length });
  }
}
