import type { Duplex } from 'node:stream';
import { DomainError } from '../../../../common/errors/domain-error';

/** A line longer than this is no QMP message; QEMU's own longest answers stay far below. */
const MAX_LINE_BYTES = 1 << 20;

/** An error that QEMU answered to a command. */
export class QmpError extends Error {
  constructor(
    readonly command: string,
    readonly qmpClass: string,
    description: string,
  ) {
    super(`${command}: ${description}`);
    this.name = 'QmpError';
  }
}

interface Pending {
  readonly command: string;
  resolve(value: unknown): void;
  reject(error: Error): void;
  readonly timer: NodeJS.Timeout;
}

interface QmpMessage {
  readonly QMP?: unknown;
  readonly id?: unknown;
  readonly return?: unknown;
  readonly error?: { readonly class?: unknown; readonly desc?: unknown };
}

/**
 * QEMU's machine protocol over one connection (https://www.qemu.org/docs/master/interop/qmp-spec.html). Commands are
 * answered in order of their ids; events are ignored, as everything we wait for has a better sign.
 */
export class QmpClient {
  private readonly pending = new Map<number, Pending>();
  private nextId = 1;
  private rest = '';
  private failure: Error | undefined;
  private greeted!: () => void;
  private notGreeted!: (error: Error) => void;
  private readonly greeting: Promise<void>;
  /** Settles when the connection is gone, whoever ended it. */
  readonly closed: Promise<void>;

  constructor(private readonly channel: Duplex) {
    this.greeting = new Promise((resolve, reject) => {
      this.greeted = resolve;
      this.notGreeted = reject;
    });
    this.greeting.catch(() => undefined);
    this.closed = new Promise((resolve) => {
      const gone = (): void => {
        this.fail(new Error('QEMU closed its control connection'));
        resolve();
      };
      // A process that ends at once may have closed it before anybody listened.
      if (channel.closed) gone();
      else channel.once('close', gone);
    });
    channel.setEncoding('utf8');
    channel.on('data', (text: string) => {
      this.read(text);
    });
    channel.on('error', (error) => {
      this.fail(error);
    });
    channel.on('end', () => {
      channel.destroy();
    });
  }

  /** Waits for the greeting and enters command mode; after this every chardev of the process is ready. */
  async ready(): Promise<void> {
    await this.greeting;
    await this.execute('qmp_capabilities');
  }

  /** Runs one command. Rejects with {@link QmpError}, or when the answer takes longer than `deadlineMs`. */
  execute(command: string, args?: Record<string, unknown>, deadlineMs = 10_000): Promise<unknown> {
    if (this.failure) return Promise.reject(this.failure);
    const id = this.nextId++;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.pending.delete(id);
        reject(new DomainError('internal', `QEMU did not answer ${command} within ${deadlineMs / 1000} s`));
      }, deadlineMs);
      this.pending.set(id, { command, resolve, reject, timer });
      this.channel.write(`${JSON.stringify({ execute: command, arguments: args, id })}\n`);
    });
  }

  close(): void {
    this.channel.destroy();
  }

  private read(text: string): void {
    this.rest += text;
    let end: number;
    while ((end = this.rest.indexOf('\n')) >= 0) {
      const line = this.rest.slice(0, end).trim();
      this.rest = this.rest.slice(end + 1);
      if (line !== '') this.take(line);
    }
    if (this.rest.length > MAX_LINE_BYTES) this.fail(new Error('QEMU sent an endless control message'));
  }

  private take(line: string): void {
    let message: QmpMessage;
    try {
      message = JSON.parse(line) as QmpMessage;
    } catch {
      this.fail(new Error('QEMU sent a control message that is not JSON'));
      return;
    }
    if (message.QMP !== undefined) {
      this.greeted();
      return;
    }
    if (typeof message.id !== 'number') return;
    const waiting = this.pending.get(message.id);
    if (!waiting) return;
    this.pending.delete(message.id);
    clearTimeout(waiting.timer);
    if (message.error) {
      const { class: qmpClass, desc } = message.error;
      waiting.reject(new QmpError(waiting.command, String(qmpClass), String(desc)));
    } else waiting.resolve(message.return);
  }

  private fail(error: Error): void {
    if (this.failure) return;
    this.failure = error;
    this.notGreeted(error);
    for (const waiting of this.pending.values()) {
      clearTimeout(waiting.timer);
      waiting.reject(error);
    }
    this.pending.clear();
    this.channel.destroy();
  }
}
