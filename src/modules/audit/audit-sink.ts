import { Logger } from '@nestjs/common';
import { type FileHandle, mkdir, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { DomainError, errorMessage } from '../../common/errors/domain-error';
import { LineQueue, type QueuedLine } from './line-queue';

/** How soon a log that could not be written is tried again, unless a new line comes first. */
const RETRY_MS = 1_000;
/** While lines keep coming, they are written this often; a write costs more than making some lines. */
const GATHER_MS = 10;

/**
 * Appends lines to the audit log in the background: at once when idle or when somebody waits for one, else together with what
 * arrives within some milliseconds. Lines that cannot be written are kept, up to a limit, and tried again; the log of the daemon says so.
 */
export class AuditSink {
  private readonly logger = new Logger('Audit');
  private readonly queue = new LineQueue();
  private file: FileHandle | undefined;
  /** The chain of file operations; one at a time. */
  private work: Promise<void> = Promise.resolve();
  private scheduled = false;
  private gathering: NodeJS.Timeout | undefined;
  private lastWrite = Number.NEGATIVE_INFINITY;
  private retry: NodeJS.Timeout | undefined;
  private problem: string | undefined;
  private lost = 0;
  private failed = 0;

  constructor(readonly path: string) {}

  /** Why the log cannot be written; undefined when the last write succeeded. */
  get failure(): string | undefined {
    return this.problem;
  }

  /** How many lines are not in the file yet. */
  get waiting(): number {
    return this.queue.length;
  }

  /** How many lines were not written when they should have been, whether or not they were later. */
  get failures(): number {
    return this.failed;
  }

  /** Creates the file (mode 0600) and its directory. @throws DomainError when that is impossible. */
  async open(): Promise<void> {
    try {
      await mkdir(dirname(this.path), { recursive: true, mode: 0o750 });
      const file = await open(this.path, 'a+', 0o600);
      // A daemon that was killed, or a full disk, may have cut its last line short.
      if (await lacksLineEnd(file)) this.queue.putFirst('\n');
      this.file = file;
    } catch (error) {
      throw new DomainError('invalid', `audit log ${this.path} cannot be opened: ${errorMessage(error)}`);
    }
  }

  /** @param text with its line end. Lines before {@link open} wait for it. */
  append(text: string): QueuedLine {
    const line = this.queue.push(text);
    if (line.state === 'dropped') this.countLost();
    if (this.file !== undefined) this.gather();
    return line;
  }

  /** Whether the line is in the file; has it written at once. A line that is there survives the end of this process. */
  written(line: QueuedLine): Promise<boolean> {
    if (this.file !== undefined && line.state === 'queued') this.schedule();
    return line.settled();
  }

  /** Takes a line back; false when part of it is in the file already. */
  withdraw(line: QueuedLine): boolean {
    return this.queue.remove(line);
  }

  /** Opens the file anew, for when a log rotation has moved it away. On failure the old file stays in use. */
  reopen(): Promise<void> {
    const swap = async (): Promise<void> => {
      await this.writeQueue();
      const old = this.file;
      try {
        await this.open();
        this.queue.restart();
        await old?.close();
      } catch (error) {
        this.logger.error(errorMessage(error));
      }
      await this.writeQueue();
    };
    this.work = this.work.then(swap);
    return this.work;
  }

  /** Settles when all lines so far are in the file, or an attempt has failed. */
  async flush(): Promise<void> {
    if (this.gathering !== undefined) this.schedule();
    await this.work;
  }

  /** Writes what waits and closes the file. Idempotent. */
  async close(): Promise<void> {
    clearTimeout(this.retry);
    clearTimeout(this.gathering);
    this.gathering = undefined;
    this.work = this.work.then(() => this.writeQueue());
    await this.work;
    clearTimeout(this.retry);
    const { file } = this;
    this.file = undefined;
    if (file !== undefined && this.queue.length > 0) {
      this.logger.error(`${this.queue.length} audit lines were lost`);
    }
    await file?.close();
  }

  /** Has what waits written soon. */
  private gather(): void {
    if (this.scheduled || this.gathering !== undefined) return;
    const wait = this.lastWrite + GATHER_MS - performance.now();
    if (wait <= 0) this.schedule();
    else {
      this.gathering = setTimeout(() => {
        this.schedule();
      }, wait);
    }
  }

  private schedule(): void {
    clearTimeout(this.gathering);
    this.gathering = undefined;
    if (this.scheduled) return;
    this.scheduled = true;
    this.work = this.work.then(() => {
      this.scheduled = false;
      return this.writeQueue();
    });
  }

  private async writeQueue(): Promise<void> {
    const { file } = this;
    if (file === undefined) return;
    this.lastWrite = performance.now();
    try {
      for (let chunk = this.queue.chunk(); chunk !== undefined; chunk = this.queue.chunk()) {
        const { bytesWritten } = await file.write(chunk);
        this.queue.wrote(bytesWritten);
        if (this.problem !== undefined) this.recovered();
      }
    } catch (error) {
      this.failed += this.queue.fail();
      if (this.problem === undefined) {
        this.logger.error(
          `audit log ${this.path} cannot be written: ${errorMessage(error)}. Lines are kept in memory and tried again`,
        );
      }
      this.problem = errorMessage(error);
      clearTimeout(this.retry);
      this.retry = setTimeout(() => {
        this.schedule();
      }, RETRY_MS).unref();
    }
  }

  private countLost(): void {
    this.failed += 1;
    this.lost += 1;
    if (this.lost === 1) this.logger.error('too many audit lines wait to be written: further ones are lost');
  }

  private recovered(): void {
    this.problem = undefined;
    const rest = this.lost > 0 ? `; ${this.lost} lines were lost meanwhile` : '';
    this.logger.warn(`audit log ${this.path} can be written again${rest}`);
    this.lost = 0;
  }
}

/** Whether the last line of the file lacks its end. */
async function lacksLineEnd(file: FileHandle): Promise<boolean> {
  const stats = await file.stat();
  if (!stats.isFile() || stats.size === 0) return false;
  const { buffer, bytesRead } = await file.read(Buffer.alloc(1), 0, 1, stats.size - 1);
  return bytesRead === 1 && buffer[0] !== 0x0a;
}
