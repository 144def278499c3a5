import { closeSync, constants, openSync, readFileSync, readlinkSync, readSync, writeSync } from 'node:fs';
import { isSoftDirty, PAGE_BYTES } from '../domain/pagemap';
import { readFully } from './file-io';

const CLEAR_SOFT_DIRTY = '4';

/**
 * Lets the kernel mark the pages that a process writes (https://docs.kernel.org/admin-guide/mm/soft-dirty.html). The marks
 * belong to the process and anybody may clear them, which would lose writes. So one page that the process itself never
 * writes, the header of its program, is marked by writing the byte there that it has: while it is marked, nobody cleared.
 */
export class WriteTracker {
  private constructor(
    private readonly pagemap: number,
    private readonly witness: bigint,
  ) {}

  /**
   * Clears all marks: what is written from now on is marked.
   *
   * @param pagemap the process's, open.
   * @throws Error saying why it cannot be told what is written.
   */
  static begin(pid: number, pagemap: number): WriteTracker {
    const tracker = new WriteTracker(pagemap, programHeaderOf(pid));
    write(`/proc/${pid}/clear_refs`, Buffer.from(CLEAR_SOFT_DIRTY), null);
    if (tracker.holds()) throw new Error('the marks cannot be cleared');
    tracker.mark(pid);
    if (!tracker.holds()) throw new Error('the kernel does not mark what is written');
    return tracker;
  }

  /** Whether every write since the beginning is marked. */
  holds(): boolean {
    const entry = Buffer.alloc(8);
    readFully(this.pagemap, entry, entry.length, (this.witness / BigInt(PAGE_BYTES)) * 8n);
    return isSoftDirty(entry.readBigUInt64LE());
  }

  private mark(pid: number): void {
    const path = `/proc/${pid}/mem`;
    const byte = Buffer.alloc(1);
    const memory = openSync(path, 'r');
    try {
      readSync(memory, byte, 0, 1, this.witness);
    } finally {
      closeSync(memory);
    }
    write(path, byte, Number(this.witness));
  }
}

/** Where a process has the first page of its program, a private mapping that is only read. */
function programHeaderOf(pid: number): bigint {
  const program = readlinkSync(`/proc/${pid}/exe`);
  for (const line of readFileSync(`/proc/${pid}/maps`, 'utf8').split('\n')) {
    const [, start, path] = /^([0-9a-f]+)-[0-9a-f]+ r--p 0+ \S+ \d+ +(.*)$/.exec(line) ?? [];
    if (start !== undefined && path === program) return BigInt(`0x${start}`);
  }
  throw new Error(`the process has no header of ${program}`);
}

function write(path: string, data: Buffer, position: number | null): void {
  const fd = openSync(path, constants.O_WRONLY);
  try {
    writeSync(fd, data, 0, data.length, position);
  } finally {
    closeSync(fd);
  }
}
