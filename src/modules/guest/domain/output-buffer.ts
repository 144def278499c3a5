import { Buffer } from 'node:buffer';

const FIRST_BLOCK_BYTES = 512;
const MAX_BLOCK_BYTES = 1024 * 1024;
const EMPTY = Buffer.alloc(0);

/**
 * Collects output in blocks of its own. Payloads are copied: keeping views would keep the chunks they were read in, and a
 * guest that sends single bytes could make every byte cost a hundred.
 */
export class OutputBuffer {
  private readonly blocks: Buffer[] = [];
  private tail: Buffer = EMPTY;
  private tailFilled = 0;
  private total = 0;

  append(payload: Buffer): void {
    const copied = payload.copy(this.tail, this.tailFilled);
    this.tailFilled += copied;
    this.total += payload.length;
    if (copied === payload.length) return;
    this.sealTail();
    const rest = payload.length - copied;
    this.tail = Buffer.allocUnsafe(Math.max(rest, FIRST_BLOCK_BYTES, Math.min(MAX_BLOCK_BYTES, this.total)));
    this.tailFilled = payload.copy(this.tail, 0, copied);
  }

  /** All bytes in one buffer; append nothing afterwards. */
  take(): Buffer {
    this.sealTail();
    const [first] = this.blocks;
    if (first !== undefined && this.blocks.length === 1) return first;
    return Buffer.concat(this.blocks, this.total);
  }

  private sealTail(): void {
    if (this.tailFilled > 0) this.blocks.push(this.tail.subarray(0, this.tailFilled));
    this.tailFilled = 0;
    this.tail = EMPTY;
  }
}
