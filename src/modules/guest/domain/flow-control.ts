import { Buffer } from 'node:buffer';
import { pieceEnd } from './sync';
import { MAX_PAYLOAD_BYTES } from './frame';
import { ProtocolError } from './protocol-error';

/** DATA bytes that may be under way per stream and channel. */
export const WINDOW_BYTES = 262_144;

/** Half a window: the sender never runs dry, and one WINDOW answers many small DATA frames. */
const GIVE_BACK_BYTES = WINDOW_BYTES / 2;

/** Accounts for DATA of one channel that the guest sends. */
export class ReceiveWindow {
  private credit = WINDOW_BYTES;
  private consumed = 0;
  private remaining: number;
  private ended = false;

  /** `limit`: bytes the guest may send in all. */
  constructor(limit: number) {
    this.remaining = limit;
  }

  /**
   * Counts bytes that were received and consumed. Returns how many to give back by WINDOW now, 0 for none yet. Throws
   * ProtocolError past the window, past the limit, or after END.
   */
  receive(bytes: number): number {
    this.take(bytes);
    return this.consume(bytes);
  }

  /** Counts bytes that were received, and are consumed later. Throws as {@link receive} does. */
  take(bytes: number): void {
    if (this.ended) throw new ProtocolError('DATA after END');
    if (bytes > this.credit) throw new ProtocolError('DATA past the window');
    if (bytes > this.remaining) throw new ProtocolError('more output than the request allows');
    this.credit -= bytes;
    this.remaining -= bytes;
  }

  /** Counts bytes that were consumed. Returns how many to give back by WINDOW now, 0 for none yet. */
  consume(bytes: number): number {
    this.consumed += bytes;
    if (this.consumed < GIVE_BACK_BYTES) return 0;
    const back = this.consumed;
    this.credit += back;
    this.consumed = 0;
    return back;
  }

  /** Throws ProtocolError the second time. */
  end(): void {
    if (this.ended) throw new ProtocolError('END twice');
    this.ended = true;
  }
}

/** What is to be sent on one channel, in DATA payloads as the window allows. */
export interface SendSource {
  /** Everything was handed out, and nothing more will come. */
  readonly done: boolean;
  /** There is something that may be sent now. */
  readonly ready: boolean;
  /** The next DATA payload; undefined when there is none that may be sent now. */
  next(): Buffer | undefined;
  /** Takes credit back; true when it ended a stall. Throws ProtocolError when it is more than what is under way. */
  grant(bytes: number): boolean;
}

/** Bytes that are all there, to be sent on one channel. */
export class SendWindow implements SendSource {
  private offset = 0;
  private credit = WINDOW_BYTES;

  constructor(private readonly data: Buffer) {}

  /** Everything was handed out. */
  get done(): boolean {
    return this.offset === this.data.length;
  }

  get ready(): boolean {
    return !this.done && this.credit > 0;
  }

  /** Bytes remain, and none may be sent before more credit comes. */
  get stalled(): boolean {
    return this.credit === 0 && !this.done;
  }

  /** The next DATA payload; undefined when done or stalled. */
  next(): Buffer | undefined {
    if (this.done || this.credit === 0) return undefined;
    const end = pieceEnd(this.data, this.offset, Math.min(MAX_PAYLOAD_BYTES, this.credit));
    const piece = this.data.subarray(this.offset, end);
    this.offset = end;
    this.credit -= piece.length;
    return piece;
  }

  /**
   * Takes credit back; true when it ended a stall. Throws ProtocolError when it is more than what is under way.
   */
  grant(bytes: number): boolean {
    if (bytes > WINDOW_BYTES - this.credit) throw new ProtocolError('WINDOW for more than was sent');
    const wasStalled = this.stalled;
    this.credit += bytes;
    return wasStalled && bytes > 0;
  }
}
