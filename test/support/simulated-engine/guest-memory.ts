import { closeSync, fstatSync, openSync, readSync } from 'node:fs';

export const PAGE_BYTES = 4096;

/** The guest touches no page past these, so nobody needs to look at the rest, which is a hole. */
export const USED_PAGES = 272;

/** A private mapping of a file: pages are the file's until they are written. */
export class GuestMemory {
  private readonly written = new Map<number, Buffer>();
  private readonly fd: number;
  private closed = false;

  /** @throws system errors; Error when the file has another size. */
  constructor(
    path: string,
    readonly bytes: number,
  ) {
    this.fd = openSync(path, 'r');
    const { size } = fstatSync(this.fd);
    if (size === bytes) return;
    this.close();
    throw new Error(`backing store size ${size} does not match 'size' option ${bytes}`);
  }

  /** Opens the file, also when it was deleted. */
  get backingPath(): string {
    return `/proc/self/fd/${this.fd}`;
  }

  /** A copy of neighbouring pages. */
  read(first: number, count = 1): Buffer {
    if (this.closed) throw new Error('the VM ended while its memory was read');
    const bytes = Buffer.alloc(count * PAGE_BYTES);
    readSync(this.fd, bytes, 0, bytes.length, first * PAGE_BYTES);
    for (let page = first; page < first + count; page++) {
      this.written.get(page)?.copy(bytes, (page - first) * PAGE_BYTES);
    }
    return bytes;
  }

  /** @param content at most a page; the rest of the page is zeros. */
  write(page: number, content: Buffer): void {
    if (page >= USED_PAGES) throw new RangeError(`the simulated guest does not use page ${page}`);
    const copy = Buffer.alloc(PAGE_BYTES);
    content.copy(copy);
    this.written.set(page, copy);
  }

  /** The pages that are not the file's any more, in order. */
  diverged(): number[] {
    return [...this.written.keys()].sort((a, b) => a - b);
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    closeSync(this.fd);
    this.written.clear();
  }
}
