import { existsSync, fstatSync, readFileSync, writeFileSync } from 'node:fs';
import { CHUNK_BYTES, chunkCount, digestOf, LEAF_BYTES, leafOf, ZERO_LEAF } from '../domain/digest';
import type { KnownSums } from '../domain/jobs';
import { type ImageReader, readerOf } from './file-io';

const ZERO_CHUNK = Buffer.alloc(CHUNK_BYTES);

/** Hashes the chunks of an image for which `changed` says yes; the other leaves are in `leaves` already. */
export function hashChunks(
  image: ImageReader,
  bytes: number,
  leaves: Buffer,
  changed: (chunk: number) => boolean,
): void {
  const buffer = Buffer.allocUnsafe(CHUNK_BYTES);
  for (let chunk = 0; chunk < chunkCount(bytes); chunk++) {
    if (!changed(chunk)) continue;
    const length = Math.min(CHUNK_BYTES, bytes - chunk * CHUNK_BYTES);
    image(buffer, length, chunk * CHUNK_BYTES);
    const data = buffer.subarray(0, length);
    // Comparing with zeros is many times faster than hashing, and most of a guest's memory was never touched.
    const leaf = length === CHUNK_BYTES && data.equals(ZERO_CHUNK) ? ZERO_LEAF : leafOf(data);
    leaf.copy(leaves, chunk * LEAF_BYTES);
  }
}

/** The digest of an image that nothing is known of; its leaves go to `sumsPath`. */
export function digestImage(image: number, sumsPath: string | undefined): string {
  const bytes = fstatSync(image).size;
  const leaves = Buffer.alloc(chunkCount(bytes) * LEAF_BYTES);
  hashChunks(readerOf(image), bytes, leaves, () => true);
  if (sumsPath !== undefined) writeFileSync(sumsPath, leaves, { mode: 0o600, flush: true });
  return digestOf(bytes, leaves);
}

/** The leaves of an image of this size; undefined when they are missing or another's. */
export function knownLeaves(bytes: number, sums: KnownSums | undefined): Buffer | undefined {
  if (sums === undefined || !existsSync(sums.path)) return undefined;
  const leaves = readFileSync(sums.path);
  const fit = leaves.length === chunkCount(bytes) * LEAF_BYTES && digestOf(bytes, leaves) === sums.digest;
  return fit ? leaves : undefined;
}

export function zeroLeaves(bytes: number): Buffer {
  return Buffer.alloc(chunkCount(bytes) * LEAF_BYTES, ZERO_LEAF);
}
