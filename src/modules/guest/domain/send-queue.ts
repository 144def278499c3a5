import { Buffer } from 'node:buffer';
import { SendSource, WINDOW_BYTES } from './flow-control';
import { MAX_PAYLOAD_BYTES } from './frame';
import { ProtocolError } from './protocol-error';
import { pieceEnd } from './sync';

/** Pieces up to this size are joined: a writer of single bytes must not make each of them cost a hundred. */
const JOIN_BYTES = 4096;

/** Bytes to send on one channel that come one after the other. At most a window of them is waiting or under way. */
export class SendQueue implements SendSource {
  private readonly pieces: Buffer[] = [];
  private credit = WINDOW_BYTES;
  private waiting = 0;
  private ended = false;

  get done(): boolean {
    return this.ended && this.waiting === 0;
  }

  get ready(): boolean {
    return this.waiting > 0 && this.credit > 0;
  }

  /** Bytes that {@link push} takes now. */
  get room(): number {
    return this.ended ? 0 : this.credit - this.waiting;
  }

  /** Adds bytes, which must not be changed afterwards. Throws RangeError when there is no room. */
  push(data: Buffer): void {
    if (data.length > this.room) throw new RangeError(`${data.length} bytes do not fit, ${this.room} do`);
    if (data.length === 0) return;
    this.waiting += data.length;
    const last = this.pieces.at(-1);
    if (last !== undefined && last.length + data.length <= JOIN_BYTES) {
      this.pieces[this.pieces.length - 1] = Buffer.concat([last, data]);
    } else this.pieces.push(data);
  }

  /** Nothing more comes. Idempotent. */
  end(): void {
    this.ended = true;
  }

  next(): Buffer | undefined {
    const [first] = this.pieces;
    if (first === undefined || this.credit === 0) return undefined;
    const piece = first.subarray(0, pieceEnd(first, 0, Math.min(MAX_PAYLOAD_BYTES, this.credit)));
    if (piece.length === first.length) this.pieces.shift();
    else this.pieces[0] = first.subarray(piece.length);
    this.credit -= piece.length;
    this.waiting -= piece.length;
    return piece;
  }

  grant(bytes: number): boolean {
    if (bytes > WINDOW_BYTES - this.credit) throw new ProtocolError('WINDOW for more than was sent');
    const wasStalled = this.credit === 0 && this.waiting > 0;
    this.credit += bytes;
    return wasStalled && bytes > 0;
  }
}
