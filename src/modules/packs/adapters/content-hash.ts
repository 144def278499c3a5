import { createHash, type Hash } from 'node:crypto';
import { CHUNK_BYTES, chunkCount, digestOf, LEAF_BYTES, leafOf, ZERO_LEAF } from '../../memory/domain/digest';
import { MEMORY_DIGEST, memoryDigest, sha256Digest } from '../domain/packed-files';

const ZEROS = Buffer.alloc(1024 * 1024);

/** Hashes a file whose data comes in ascending order; what is left out are zeros. */
export interface ContentHash {
  update(offset: number, data: Buffer): void;
  /** The digest of a file of the size that was announced. */
  finish(): string;
}

/** The hash that a digest was made with. */
export function contentHashFor(digest: string, size: number): ContentHash {
  return digest.startsWith(`${MEMORY_DIGEST}:`) ? new MemoryHash(size) : new PlainHash(size);
}

/** SHA-256 of the whole file. */
export class PlainHash implements ContentHash {
  private readonly hash: Hash = createHash('sha256');
  private at = 0;

  constructor(private readonly size: number) {}

  update(offset: number, data: Buffer): void {
    this.zerosTo(offset);
    this.hash.update(data);
    this.at += data.length;
  }

  finish(): string {
    this.zerosTo(this.size);
    return sha256Digest(this.hash.digest('hex'));
  }

  private zerosTo(offset: number): void {
    while (this.at < offset) {
      const length = Math.min(ZEROS.length, offset - this.at);
      this.hash.update(ZEROS.subarray(0, length));
      this.at += length;
    }
  }
}

/** The digest of a memory image, which costs nothing for chunks that are holes. */
class MemoryHash implements ContentHash {
  private readonly leaves: Buffer;
  private readonly chunk = Buffer.alloc(CHUNK_BYTES);
  /** The chunk that is not complete; -1 when there is none. */
  private current = -1;

  constructor(private readonly size: number) {
    this.leaves = Buffer.alloc(chunkCount(size) * LEAF_BYTES, ZERO_LEAF);
  }

  update(offset: number, data: Buffer): void {
    for (let done = 0; done < data.length;) {
      const position = offset + done;
      const index = Math.floor(position / CHUNK_BYTES);
      const within = position - index * CHUNK_BYTES;
      const length = Math.min(CHUNK_BYTES - within, data.length - done);
      const piece = data.subarray(done, done + length);
      if (index !== this.current) this.complete();
      if (length === CHUNK_BYTES) this.put(index, piece);
      else {
        if (this.current === -1) this.chunk.fill(0);
        this.current = index;
        piece.copy(this.chunk, within);
      }
      done += length;
    }
  }

  finish(): string {
    this.complete();
    return memoryDigest(digestOf(this.size, this.leaves));
  }

  private complete(): void {
    if (this.current === -1) return;
    const length = Math.min(CHUNK_BYTES, this.size - this.current * CHUNK_BYTES);
    this.put(this.current, this.chunk.subarray(0, length));
    this.current = -1;
  }

  private put(index: number, chunk: Buffer): void {
    leafOf(chunk).copy(this.leaves, index * LEAF_BYTES);
  }
}
