import { spawn } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';

export interface RunOptions {
  readonly cwd?: string;
  /** The whole environment of the child; inherited when absent. */
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** Bytes for standard input, or a stream of them; empty when absent. */
  readonly input?: string | Uint8Array | Readable;
  /** Where standard output goes instead of the result; ended when the child has ended. */
  readonly output?: Writable;
  /** Milliseconds after which the process group is killed. Unlimited when absent. */
  readonly timeoutMs?: number;
  /** Kills the process group; the call then rejects with the signal's reason. */
  readonly signal?: AbortSignal;
  /** Bytes of each output that are kept (the last ones); 1 MiB when absent. */
  readonly maxOutputBytes?: number;
  /** Called for every line of standard output; not with `output`. */
  readonly onLine?: (line: string) => void;
}

export interface RunResult {
  readonly stdout: string;
  readonly stderr: string;
}

/** A tool that could not be started, or did not end with exit code 0. */
export class ProcessError extends Error {
  constructor(
    message: string,
    readonly tool: string,
    /** The tool is not on this machine. */
    readonly missing: boolean,
    readonly exitCode: number | null,
    readonly stderr: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.name = 'ProcessError';
  }
}

/**
 * Runs a program without a shell, as a process group of its own, and waits for its end and all its output.
 *
 * @throws ProcessError when it cannot be started, fails or exceeds its time limit; the signal's reason when aborted.
 */
export async function runProcess(
  tool: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<RunResult> {
  options.signal?.throwIfAborted();
  const child = spawn(tool, [...args], {
    cwd: options.cwd,
    env: options.env,
    stdio: ['pipe', 'pipe', 'pipe'],
    detached: true,
  });
  const limit = options.maxOutputBytes ?? 1024 * 1024;
  const stdout = new Tail(limit);
  const stderr = new Tail(limit);
  const lines = new LineSplitter(options.onLine);
  child.stderr.on('data', (chunk: Buffer) => {
    stderr.push(chunk);
  });
  if (options.output === undefined) {
    child.stdout.on('data', (chunk: Buffer) => {
      stdout.push(chunk);
      lines.push(chunk);
    });
  }

  const deadline = { passed: false };
  const killGroup = (): void => {
    if (child.pid === undefined) return;
    try {
      process.kill(-child.pid, 'SIGKILL');
    } catch {
      child.kill('SIGKILL');
    }
  };
  const timer =
    options.timeoutMs === undefined
      ? undefined
      : setTimeout(() => {
          deadline.passed = true;
          killGroup();
        }, options.timeoutMs);
  options.signal?.addEventListener('abort', killGroup, { once: true });

  // A child that ends early breaks the pipe; its exit code tells the story better than EPIPE.
  child.stdin.on('error', () => undefined);
  const streams: Promise<Error | undefined>[] = [];
  if (options.output !== undefined) streams.push(copy(child.stdout, options.output, killGroup));
  if (isReadable(options.input)) {
    options.input.on('error', killGroup);
    options.input.pipe(child.stdin);
  } else {
    child.stdin.end(options.input);
  }

  try {
    const end = await new Promise<{ code: number | null; signal: NodeJS.Signals | null; error?: Error }>(
      (resolve) => {
        child.once('error', (error) => {
          resolve({ code: null, signal: null, error });
        });
        child.once('close', (code, signal) => {
          resolve({ code, signal });
        });
      },
    );
    if (end.error !== undefined) options.output?.destroy();
    const copyError = (await Promise.all(streams)).find((error) => error !== undefined);
    options.signal?.throwIfAborted();
    lines.flush();
    const result = { stdout: stdout.text(), stderr: stderr.text() };
    if (end.error !== undefined) {
      const missing = 'code' in end.error && end.error.code === 'ENOENT';
      const text = missing ? `${tool} was not found` : `${tool} cannot be started: ${end.error.message}`;
      throw new ProcessError(text, tool, missing, null, '', { cause: end.error });
    }
    if (deadline.passed) {
      const seconds = Math.round((options.timeoutMs ?? 0) / 100) / 10;
      throw new ProcessError(
        `${tool} did not end within ${seconds} s and was killed${lastLine(result.stderr)}`,
        tool,
        false,
        null,
        result.stderr,
      );
    }
    if (copyError !== undefined) throw copyError;
    if (end.code !== 0) {
      const how = end.signal === null ? `exit code ${end.code ?? -1}` : `signal ${end.signal}`;
      throw new ProcessError(
        `${tool} failed with ${how}${lastLine(result.stderr)}`,
        tool,
        false,
        end.code,
        result.stderr,
      );
    }
    return result;
  } finally {
    clearTimeout(timer);
    options.signal?.removeEventListener('abort', killGroup);
  }
}

function isReadable(input: RunOptions['input']): input is Readable {
  return input !== undefined && typeof input !== 'string' && !(input instanceof Uint8Array);
}

/** Settles when everything was written, with the error of the target if there was one. */
function copy(from: Readable, to: Writable, onError: () => void): Promise<Error | undefined> {
  return new Promise((resolve) => {
    let failure: Error | undefined;
    to.once('error', (error: Error) => {
      failure = error;
      onError();
    });
    to.once('close', () => {
      resolve(failure);
    });
    from.pipe(to);
  });
}

function lastLine(stderr: string): string {
  const line = stderr.trimEnd().split('\n').at(-1)?.trim() ?? '';
  return line === '' ? '' : `: ${line.slice(0, 500)}`;
}

/** Keeps the last bytes of a stream. */
class Tail {
  private chunks: Buffer[] = [];
  private size = 0;

  constructor(private readonly limit: number) {}

  push(chunk: Buffer): void {
    this.chunks.push(chunk);
    this.size += chunk.length;
    if (this.size > 2 * this.limit) this.trim();
  }

  text(): string {
    this.trim();
    return Buffer.concat(this.chunks).toString('utf8');
  }

  private trim(): void {
    if (this.size <= this.limit) return;
    const all = Buffer.concat(this.chunks);
    this.chunks = [Buffer.from(all.subarray(all.length - this.limit))];
    this.size = this.limit;
  }
}

class LineSplitter {
  private rest = '';

  constructor(private readonly onLine: ((line: string) => void) | undefined) {}

  push(chunk: Buffer): void {
    if (this.onLine === undefined) return;
    const parts = (this.rest + chunk.toString('utf8')).split('\n');
    // A tool that never ends its line must not grow our memory.
    this.rest = (parts.pop() ?? '').slice(-8192);
    for (const line of parts) this.onLine(line);
  }

  flush(): void {
    if (this.rest !== '') this.onLine?.(this.rest);
    this.rest = '';
  }
}
