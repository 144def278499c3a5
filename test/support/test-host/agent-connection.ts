import { createInterface } from 'node:readline';
import type { Duplex } from 'node:stream';

/** What a command in the host came to. */
export interface CommandResult {
  /** null when a signal ended it. */
  readonly code: number | null;
  readonly signal: string | null;
  readonly timedOut: boolean;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CommandOptions {
  /** Milliseconds after which the command and what it started are killed; 60 s when absent. */
  readonly timeoutMs?: number;
  /** Text for standard input; empty when absent. */
  readonly input?: string;
  /** What the command finds in $1, $2 and so on. */
  readonly args?: readonly string[];
}

interface Pending {
  readonly resolve: (result: CommandResult) => void;
  readonly reject: (error: Error) => void;
}

interface Answer extends CommandResult {
  readonly ready?: true;
  readonly id: number;
}

/** How much longer than the command itself its answer may take. */
const ANSWER_MARGIN_MS = 60_000;

/** The line of the tests into the host: JSON, one object a line, over a virtio port. */
export class AgentConnection {
  /** Settles when the host takes commands; rejects when it ends before. */
  readonly ready: Promise<void>;
  private readonly waiting = new Map<number, Pending>();
  private lastId = 0;
  private ended = false;

  constructor(private readonly port: Duplex) {
    port.on('error', () => undefined);
    const lines = createInterface({ input: port });
    this.ready = new Promise((resolve, reject) => {
      lines.on('line', (line) => {
        const answer = JSON.parse(line) as Answer;
        if (answer.ready === true) resolve();
        else this.waiting.get(answer.id)?.resolve(answer);
      });
      lines.on('close', () => {
        this.ended = true;
        const error = new Error('the test host has ended');
        reject(error);
        for (const pending of this.waiting.values()) pending.reject(error);
      });
    });
    this.ready.catch(() => undefined);
  }

  async command(command: string, options: CommandOptions): Promise<CommandResult> {
    const { timeoutMs = 60_000, input = '', args = [] } = options;
    if (this.ended) throw new Error('the test host has ended');
    const id = ++this.lastId;
    let deadline: NodeJS.Timeout | undefined;
    try {
      return await new Promise<CommandResult>((resolve, reject) => {
        this.waiting.set(id, { resolve, reject });
        deadline = setTimeout(() => {
          reject(new Error(`the test host does not answer; asked: ${command}`));
        }, timeoutMs + ANSWER_MARGIN_MS);
        this.port.write(`${JSON.stringify({ id, command, args, timeoutMs, input })}\n`);
      });
    } finally {
      clearTimeout(deadline);
      this.waiting.delete(id);
    }
  }
}
