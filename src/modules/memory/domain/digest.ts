import { createHash } from 'node:crypto';

/**
 * The digest of a memory image is a tree of two levels: SHA-256 of each 64 KiB chunk (a leaf), and SHA-256 over a header
 * and all leaves. So after a BRANCH only the chunks that changed are read and hashed again, and holes cost nothing.
 */
export const CHUNK_BYTES = 65_536;
export const LEAF_BYTES = 32;

export function leafOf(chunk: Buffer): Buffer {
  return createHash('sha256').update(chunk).digest();
}

/** The leaf of a chunk of zeros, which is what a hole reads as. */
export const ZERO_LEAF = leafOf(Buffer.alloc(CHUNK_BYTES));

/** @param leaves one leaf per chunk, in order. */
export function digestOf(imageBytes: number, leaves: Buffer): string {
  return createHash('sha256').update(`forkd memory 1 ${imageBytes}\n`).update(leaves).digest('hex');
}

export function chunkCount(imageBytes: number): number {
  return Math.ceil(imageBytes / CHUNK_BYTES);
}
