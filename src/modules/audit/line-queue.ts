/** Characters that may wait for a slow or full disk; past it lines are dropped rather than memory used up. */
const MAX_QUEUED = 16 * 1024 * 1024;
/** Characters that are written at once. */
const CHUNK = 256 * 1024;

/** A line on its way to the file. */
export class QueuedLine {
  /** `late` is still queued, but an attempt to write it has failed. */
  state: 'queued' | 'late' | 'written' | 'dropped' = 'queued';
  private wake: ((written: boolean) => void) | undefined;

  constructor(readonly text: string) {}

  /** Settles with whether the line is written, at the latest when the first attempt has failed. */
  settled(): Promise<boolean> {
    if (this.state !== 'queued') return Promise.resolve(this.state === 'written');
    return new Promise((resolve) => {
      this.wake = resolve;
    });
  }

  settle(state: 'late' | 'written' | 'dropped'): void {
    this.state = state;
    this.wake?.(state === 'written');
    this.wake = undefined;
  }
}

/** Lines in their order; knows how much of them is in the file when a write stops in the middle of one. */
export class LineQueue {
  private lines: QueuedLine[] = [];
  private size = 0;
  /** The lines of the chunk that is being written, its bytes, and how many of these are in the file. */
  private taken = 0;
  private bytes: Buffer | undefined;
  private done = 0;

  get length(): number {
    return this.lines.length;
  }

  /** Adds a line at the end; its state is `dropped` when there is no room. */
  push(text: string): QueuedLine {
    const line = new QueuedLine(text);
    if (this.size + text.length > MAX_QUEUED) {
      line.settle('dropped');
      return line;
    }
    this.size += text.length;
    this.lines.push(line);
    return line;
  }

  /** Adds a line in front of all others, of which none may be partly written. */
  putFirst(text: string): void {
    this.restart();
    this.size += text.length;
    this.lines.unshift(new QueuedLine(text));
  }

  /** Takes a line out; false when it is written, partly written, or being written. */
  remove(line: QueuedLine): boolean {
    const index = this.lines.indexOf(line);
    if (index === -1 || (this.bytes !== undefined && index < this.taken)) return false;
    this.lines.splice(index, 1);
    this.size -= line.text.length;
    return true;
  }

  /** What is to be written next; the same bytes again until they are reported as written. Undefined when nothing waits. */
  chunk(): Buffer | undefined {
    if (this.bytes === undefined) {
      let length = 0;
      this.taken = 0;
      for (const { text } of this.lines) {
        if (this.taken > 0 && length + text.length > CHUNK) break;
        length += text.length;
        this.taken += 1;
      }
      if (this.taken === 0) return undefined;
      const texts = this.lines.slice(0, this.taken).map(({ text }) => text);
      this.bytes = Buffer.from(texts.join(''));
      this.done = 0;
    }
    return this.bytes.subarray(this.done);
  }

  /** Reports bytes of the chunk as being in the file. */
  wrote(count: number): void {
    this.done += count;
    if (this.bytes !== undefined && this.done === this.bytes.length) this.complete(this.taken);
  }

  /** Reports that the chunk cannot be written now. Gives the number of lines this is the first failure of. */
  fail(): number {
    this.shrink();
    let count = 0;
    for (const line of this.lines) {
      if (line.state !== 'queued') continue;
      line.settle('late');
      count += 1;
    }
    return count;
  }

  /** The file is another one from now on: a line that is partly in the old one is to be written whole. */
  restart(): void {
    this.shrink();
    this.bytes = undefined;
    this.done = 0;
  }

  /** Takes the whole lines of the chunk out that are written; keeps the rest of one that is partly written. */
  private shrink(): void {
    const { bytes, done } = this;
    if (bytes === undefined) return;
    let whole = 0;
    let length = 0;
    for (const { text } of this.lines.slice(0, this.taken)) {
      const next = length + Buffer.byteLength(text);
      if (next > done) break;
      length = next;
      whole += 1;
    }
    this.complete(whole);
    if (done === length) return;
    const [partial] = this.lines;
    if (partial === undefined) return;
    this.taken = 1;
    this.bytes = Buffer.from(partial.text);
    this.done = done - length;
  }

  private complete(count: number): void {
    for (const line of this.lines.splice(0, count)) {
      this.size -= line.text.length;
      line.settle('written');
    }
    this.bytes = undefined;
    this.done = 0;
  }
}
