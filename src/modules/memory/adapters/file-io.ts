import { readSync, writeSync } from 'node:fs';

/** Blocking input and output for the memory thread, which has nothing else to do. */

/** @throws Error when the file ends before. */
export function readFully(fd: number, target: Buffer, length: number, position: number | bigint): void {
  let done = 0;
  while (done < length) {
    const at = typeof position === 'bigint' ? position + BigInt(done) : position + done;
    const count = readSync(fd, target, done, length - done, at);
    if (count === 0) throw new Error('it ended while it was read');
    done += count;
  }
}

/** Writes `data[start, end)`. */
export function writeFully(fd: number, data: Buffer, start: number, end: number, position: number): void {
  let done = start;
  while (done < end) done += writeSync(fd, data, done, end - done, position + done - start);
}

/** Gives `length` bytes of an image from `position` on. */
export type ImageReader = (target: Buffer, length: number, position: number) => void;

export function readerOf(fd: number): ImageReader {
  return (target, length, position) => {
    readFully(fd, target, length, position);
  };
}
