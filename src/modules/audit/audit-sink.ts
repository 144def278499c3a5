import { Logger } from '@nestjs/common';
import { type FileHandle, mkdir, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { DomainError, errorMessage } from '../../common/errors/domain-error';

/** Characters that may wait for a slow disk; past it lines are lost rather than memory. */
const MAX_PENDING = 16 * 1024 * 1024;

/**
 * Appends lines to the audit log in the background: at once when idle, else together with what arrives while a write is
 * under way. A failed write is logged and its lines are lost; requests are not held up by it.
 */
export class AuditSink {
  private readonly logger = new Logger('Audit');
  private file: FileHandle | undefined;
  private pending: string[] = [];
  private pendingSize = 0;
  private lost = 0;
  /** The chain of file operations; one at a time. */
  private work: Promise<void> = Promise.resolve();
  private scheduled = false;

  constructor(private readonly path: string) {}

  /** Creates the file (mode 0600) and its directory. @throws DomainError when that is impossible. */
  async open(): Promise<void> {
    try {
      await mkdir(dirname(this.path), { recursive: true, mode: 0o750 });
      this.file = await open(this.path, 'a', 0o600);
    } catch (error) {
      throw new DomainError('invalid', `audit log ${this.path} cannot be opened: ${errorMessage(error)}`);
    }
  }

  /** @param line with its line end. Lines before {@link open} wait for it. */
  append(line: string): void {
    if (this.pendingSize + line.length > MAX_PENDING) {
      this.lost += 1;
      return;
    }
    this.pending.push(line);
    this.pendingSize += line.length;
    if (this.scheduled || this.file === undefined) return;
    this.scheduled = true;
    this.work = this.work.then(() => this.writePending());
  }

  /** Opens the file anew, for when a log rotation has moved it away. On failure the old file stays in use. */
  reopen(): Promise<void> {
    const swap = async (): Promise<void> => {
      const old = this.file;
      try {
        await this.open();
        await old?.close();
      } catch (error) {
        this.logger.error(errorMessage(error));
      }
    };
    this.work = this.work.then(swap);
    return this.work;
  }

  /** Settles when all lines so far are in the file. */
  async flush(): Promise<void> {
    await this.work;
  }

  /** Writes what waits and closes the file. Idempotent. */
  async close(): Promise<void> {
    await this.work;
    const { file } = this;
    this.file = undefined;
    await file?.close();
  }

  private async writePending(): Promise<void> {
    this.scheduled = false;
    const lines = this.pending;
    this.pending = [];
    this.pendingSize = 0;
    try {
      await this.file?.appendFile(lines.join(''));
    } catch (error) {
      this.lost += lines.length;
      this.logger.error(`audit log ${this.path} cannot be written: ${errorMessage(error)}`);
    }
    if (this.lost > 0) {
      this.logger.error(`${this.lost} audit lines were lost`);
      this.lost = 0;
    }
  }
}
