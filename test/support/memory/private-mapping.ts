import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readlinkSync } from 'node:fs';
import { open, readFile, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import type { SourceRegion } from '../../../src/modules/memory/domain/jobs';
import { PAGE_BYTES } from '../../../src/modules/memory/domain/pagemap';
import { until } from '../until';

const PROGRAM = join(resolve(__dirname, '..', '..', '..', '..'), 'test/support/memory/private_mapping.py');

/** A real process with a private mapping of a file: what a capture sees of a VM. */
export class PrivateMapping {
  private constructor(
    private readonly child: ChildProcessByStdio<Writable, Readable, null>,
    private readonly lines: Interface,
    readonly regions: readonly SourceRegion[],
  ) {}

  static async of(path: string): Promise<PrivateMapping> {
    const child = spawn('python3', [PROGRAM, path], { stdio: ['pipe', 'pipe', 'inherit'] });
    const lines = createInterface({ input: child.stdout });
    const [address] = (await once(lines, 'line')) as [string];
    const { size } = await stat(path);
    return new PrivateMapping(child, lines, [{ address: BigInt(address), length: size, fileOffset: 0 }]);
  }

  get pid(): number {
    if (this.child.pid === undefined) throw new Error('not started');
    return this.child.pid;
  }

  /** Fills a page, which then is this process's own. */
  write(page: number, byte: number): Promise<void> {
    return this.tell(`write ${page} ${byte}`);
  }

  /** Touches a page, which stays the file's. */
  read(page: number): Promise<void> {
    return this.tell(`read ${page}`);
  }

  /** Gives a page back, which then is the file's again. */
  discard(page: number): Promise<void> {
    return this.tell(`discard ${page}`);
  }

  /** Writes and gives back pages at random from now on. */
  churn(): Promise<void> {
    return this.tell('churn');
  }

  /** Stops all its threads, as a VM is paused. */
  async pause(): Promise<void> {
    process.kill(this.pid, 'SIGSTOP');
    await until(async () => /^State:\s+T/m.test(await readFile(`/proc/${this.pid}/status`, 'utf8')));
  }

  /** What it sees in its mapping; nothing of that is changed by looking. */
  async memory(): Promise<Buffer> {
    const memory = await open(`/proc/${this.pid}/mem`, 'r');
    try {
      const parts = this.regions.map(async ({ address, length }) => {
        const part = Buffer.alloc(length);
        for (let done = 0; done < length;) {
          const { bytesRead } = await memory.read(part, done, length - done, Number(address) + done);
          done += bytesRead;
        }
        return part;
      });
      return Buffer.concat(await Promise.all(parts));
    } finally {
      await memory.close();
    }
  }

  async kill(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const ended = once(this.child, 'exit');
    this.child.kill('SIGKILL');
    await ended;
  }

  private async tell(order: string): Promise<void> {
    const answered = once(this.lines, 'line');
    this.child.stdin.write(`${order}\n`);
    await answered;
  }
}

/** A page that holds nothing but this byte. */
export function pageOf(byte: number): Buffer {
  return Buffer.alloc(PAGE_BYTES, byte);
}

/** What this process and its threads have open below a directory, and of other processes' memory. */
export function openFilesOf(dir: string): string[] {
  return readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      const path = readlinkSync(`/proc/self/fd/${fd}`);
      return path.startsWith(dir) || /^\/proc\/\d+\/(mem|pagemap)/.test(path) ? [path] : [];
    } catch {
      // The descriptor that listed the others.
      return [];
    }
  });
}
