import { Buffer } from 'node:buffer';
import { ProtocolError } from './protocol-error';

/** What the guest looks for at every position of what it reads. */
export const MAGIC = Buffer.from('f78ba1d59ec3e6fb91ad88b2f59cd7ea', 'hex');
/** What the host looks for, followed by its own nonce. */
export const ANSWER_MAGIC = Buffer.from('e997b3fd8ac5d1f2a69bee84dfb893cc', 'hex');
export const NONCE_BYTES = 16;

/**
 * Stale bytes that may come before the answer. What an earlier connection left under way is a few buffers of the channel;
 * a guest that sends more than this is not answering.
 */
export const MAX_STALE_BYTES = 16 * 1024 * 1024;

const ANSWER_BYTES = ANSWER_MAGIC.length + NONCE_BYTES;

/** The bytes that open a connection. The nonce must be fresh: 16 random bytes. */
export function encodeSync(nonce: Buffer): Buffer {
  return Buffer.concat([MAGIC, nonce]);
}

/** Finds the answer to one SYNC in whatever an earlier connection left in the channel. */
export class AnswerScanner {
  private readonly answer: Buffer;
  private tail: Buffer = Buffer.alloc(0);
  private stale = 0;

  constructor(nonce: Buffer) {
    this.answer = Buffer.concat([ANSWER_MAGIC, nonce]);
  }

  /**
   * Looks at the next bytes read. Returns the offset in `chunk` at which frames start, or -1 when the answer is not
   * complete yet; call it again only after -1. Throws ProtocolError past {@link MAX_STALE_BYTES}.
   */
  scan(chunk: Buffer): number {
    if (this.tail.length > 0) {
      const seam = Buffer.concat([this.tail, chunk.subarray(0, ANSWER_BYTES - 1)]);
      const found = seam.indexOf(this.answer);
      if (found >= 0) return found + ANSWER_BYTES - this.tail.length;
    }
    const found = chunk.indexOf(this.answer);
    if (found >= 0) return found + ANSWER_BYTES;
    this.stale += chunk.length;
    if (this.stale > MAX_STALE_BYTES) throw new ProtocolError(`no answer to SYNC in ${this.stale} bytes`);
    this.keepTail(chunk);
    return -1;
  }

  /** Copies the bytes an answer could begin in, so that the chunk itself can go. */
  private keepTail(chunk: Buffer): void {
    const keep = ANSWER_BYTES - 1;
    this.tail =
      chunk.length >= keep
        ? Buffer.from(chunk.subarray(chunk.length - keep))
        : Buffer.concat([this.tail, chunk]).subarray(-keep);
  }
}

/**
 * Where the DATA payload that begins at `start` must end: after `limit` bytes, or earlier, in the middle of the magic, so
 * that no payload contains it whole.
 */
export function pieceEnd(data: Buffer, start: number, limit: number): number {
  const end = Math.min(data.length, start + limit);
  const magic = data.subarray(start, end).indexOf(MAGIC);
  return magic < 0 ? end : start + magic + MAGIC.length / 2;
}
