import { constants } from 'node:os';
import { ExitCode } from '../errors';
import type { Session } from '../session';
import { ExecStream, NoStreams, type StartRequest } from './exec-stream';
import { EscapeKeys, LocalTerminal } from './local-terminal';

export interface ProgramOptions {
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd?: string | undefined;
  readonly user?: string | undefined;
  readonly timeoutSecs?: number | undefined;
  /** Hands this program's standard input on. */
  readonly interactive: boolean;
  readonly terminal: boolean;
}

/** How often each signal is handed on; the next one ends this program, and with it the one in the guest. */
const FORWARDED: Readonly<Partial<Record<NodeJS.Signals, number>>> = {
  SIGINT: 2,
  SIGTERM: 1,
  SIGQUIT: 1,
  SIGUSR1: Number.POSITIVE_INFINITY,
  SIGUSR2: Number.POSITIVE_INFINITY,
  // The terminal is gone: nobody is left to wait for.
  SIGHUP: 0,
};

/**
 * Runs a program in a sandbox as if it ran here: standard streams, signals, terminal.
 *
 * @returns the exit code for this program: the guest's own, 128 and N for signal N; undefined when the daemon has no streams.
 * @throws CliError when the program's end is not known.
 */
// The only export: Node finds no more in a module that is loaded late.
export async function runProgram(
  session: Session,
  id: string,
  options: ProgramOptions,
): Promise<number | undefined> {
  try {
    return await new ProgramRun(options).perform(session, id);
  } catch (error) {
    if (error instanceof NoStreams) return undefined;
    throw error;
  }
}

class ProgramRun {
  private stream: ExecStream | undefined;
  private readonly terminal = new LocalTerminal(process.stdin, process.stdout);
  private readonly escape = new EscapeKeys();
  private readonly cleanups: (() => void)[] = [];
  private readonly seen = new Map<NodeJS.Signals, number>();
  /** Input that was read and has no room yet. */
  private waiting: Buffer = Buffer.alloc(0);
  private inputOver = false;
  /** Why this side left, as an exit code. */
  private left: number | undefined;

  constructor(private readonly options: ProgramOptions) {}

  async perform(session: Session, id: string): Promise<number> {
    const stream = await ExecStream.open(await session.target(), id, {
      onOutput: (pipe, bytes) => this.print(pipe === 'stdout' ? process.stdout : process.stderr, bytes),
      onRoom: () => {
        this.sendInput();
      },
    });
    this.stream = stream;
    try {
      this.forwardSignals(stream);
      this.watchOutput();
      stream.start(this.request());
      if (this.options.terminal) this.useTerminal(stream);
      if (this.options.interactive) this.readInput();
      const exit = await stream.ended;
      this.restore();
      if (exit.truncated) {
        session.output.note('The output was cut at 16 MiB: the agent of this sandbox is too old for more.');
      }
      if (!exit.timedOut) return exit.exitCode < 0 ? 128 - exit.exitCode : exit.exitCode & 0xff;
      session.output.errorData(
        `killed: the program did not end within ${String(this.options.timeoutSecs)} s (--timeout)\n`,
      );
      return ExitCode.failed;
    } catch (error) {
      if (this.left === undefined) throw error;
      return this.left;
    } finally {
      this.restore();
    }
  }

  private request(): StartRequest {
    const { args, env, cwd, user, timeoutSecs, interactive, terminal } = this.options;
    return {
      args,
      env,
      stdin: interactive,
      ...(cwd === undefined ? {} : { cwd }),
      ...(user === undefined ? {} : { user }),
      ...(terminal ? { tty: this.terminal.size } : {}),
      ...(timeoutSecs === undefined ? {} : { timeout_secs: timeoutSecs }),
    };
  }

  private print(target: NodeJS.WriteStream, bytes: Buffer): boolean {
    const more = target.write(bytes);
    if (!more) {
      target.once('drain', () => {
        this.stream?.resume();
      });
    }
    return more;
  }

  /** A reader that has enough ends the program, as it would end one that runs here. */
  private watchOutput(): void {
    const gone = (): void => {
      this.leave(128 + constants.signals.SIGPIPE);
    };
    process.stdout.once('error', gone);
    this.cleanups.push(() => process.stdout.off('error', gone));
  }

  private forwardSignals(stream: ExecStream): void {
    for (const [name, times] of Object.entries(FORWARDED)) {
      const signal = name as NodeJS.Signals;
      const forward = (): void => {
        const count = (this.seen.get(signal) ?? 0) + 1;
        this.seen.set(signal, count);
        if (count <= times) stream.signal(signal);
        else this.leave(128 + constants.signals[signal]);
      };
      process.on(signal, forward);
      this.cleanups.push(() => process.off(signal, forward));
    }
  }

  private useTerminal(stream: ExecStream): void {
    const resize = (): void => {
      stream.resize(this.terminal.size);
    };
    const stop = (): void => {
      this.terminal.leave();
      process.kill(process.pid, 'SIGSTOP');
    };
    const goOn = (): void => {
      if (this.options.interactive) this.terminal.enter();
      resize();
    };
    process.on('SIGTSTP', stop).on('SIGCONT', goOn);
    this.cleanups.push(this.terminal.onResize(resize), this.terminal.leave, () => {
      process.off('SIGTSTP', stop).off('SIGCONT', goOn);
    });
    if (this.options.interactive) this.terminal.enter();
  }

  private readInput(): void {
    const { stdin } = process;
    const read = (chunk: Buffer): void => {
      const typed =
        this.options.terminal && stdin.isTTY ? this.escape.read(chunk) : { keys: chunk, leave: false };
      this.waiting = this.waiting.length === 0 ? typed.keys : Buffer.concat([this.waiting, typed.keys]);
      this.sendInput();
      if (typed.leave) this.leave(128 + constants.signals.SIGHUP);
    };
    const end = (): void => {
      this.inputOver = true;
      this.sendInput();
    };
    stdin.on('data', read).once('end', end);
    this.cleanups.push(() => {
      stdin.off('data', read).off('end', end).pause();
      // A pipe that nobody writes to any more would keep this process.
      if (!stdin.isTTY) stdin.destroy();
    });
  }

  private sendInput(): void {
    if (this.stream === undefined) return;
    this.waiting = this.stream.write(this.waiting);
    if (this.waiting.length > 0) process.stdin.pause();
    else if (this.inputOver) this.stream.endInput();
    else if (process.stdin.isPaused()) process.stdin.resume();
  }

  private leave(exitCode: number): void {
    this.left = exitCode;
    this.restore();
    this.stream?.leave();
  }

  private restore(): void {
    for (const cleanup of this.cleanups.splice(0)) cleanup();
  }
}
