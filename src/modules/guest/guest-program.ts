import { DomainError } from '../../common/errors/domain-error';
import { Channel, encodeResize, encodeSignal } from './domain/frame';
import { SendQueue } from './domain/send-queue';
import { GuestConnection } from './guest-connection';
import { GuestError, unanswered } from './guest-error';
import { ANSWER_GRACE_MS, checkTimeout } from './guest-exec';
import { ExecStatus, JsonObject, readExecStatus } from './guest-messages';
import { GuestStream, RequestHandler } from './guest-stream';

/** What an agent must say it can do for terminals, signals and output without a limit. */
const CAPABILITY = 'exec-stream';

export interface TerminalSize {
  readonly rows: number;
  readonly cols: number;
}

export interface ProgramRequest {
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>> | undefined;
  readonly cwd?: string | undefined;
  readonly user?: string | undefined;
  /** Milliseconds after which the guest kills it; no limit without it. */
  readonly timeoutMs?: number | undefined;
  /** Standard input is /dev/null without it; in a terminal, nothing can be typed. */
  readonly stdin: boolean;
  readonly terminal?: TerminalSize | undefined;
}

/** Who listens to a program that runs. Nothing is said after {@link GuestProgram.cancel}. */
export interface ProgramListener {
  /** The payload is valid during the call only; tell the program when it is {@link GuestProgram.consumed}. */
  onOutput(channel: Channel, payload: Buffer): void;
  /** So many bytes of standard input were taken; as many more may be written. */
  onInputTaken(bytes: number): void;
  /** It has ended, after all its output; an Error when that is not known: GuestError when the guest refused to start it. */
  onEnd(end: ExecStatus | Error): void;
}

/** A program that runs in a guest, with its input and output as they come. */
export class GuestProgram implements RequestHandler {
  private readonly input: SendQueue | undefined;
  private readonly stream: GuestStream;
  private readonly timer: NodeJS.Timeout | undefined;
  private readonly streams: boolean;

  /** Throws DomainError: `invalid` for what no guest takes, `conflict` when this one is too old, `unavailable`, `internal`. */
  constructor(
    private readonly connection: GuestConnection,
    request: ProgramRequest,
    private readonly listener: ProgramListener,
  ) {
    const { args, env, cwd, user, timeoutMs, stdin, terminal } = request;
    this.streams = connection.hello?.capabilities.includes(CAPABILITY) === true;
    if (terminal !== undefined) this.require('terminals');
    if (timeoutMs !== undefined) checkTimeout(timeoutMs);
    this.input = stdin ? new SendQueue() : undefined;
    this.stream = connection.request({
      method: 'exec',
      params: { args, env, cwd, user, timeout_ms: timeoutMs, stdin, stream: true, terminal },
      ...(this.input !== undefined && { stdin: this.input }),
      // An agent that knows no streams stops at its own limit and says so.
      outputLimit: Number.MAX_SAFE_INTEGER,
      holdsOutput: true,
      handler: this,
    });
    if (timeoutMs !== undefined) this.timer = setTimeout(this.onDeadline, timeoutMs + ANSWER_GRACE_MS);
  }

  /** Bytes of standard input that {@link write} takes now. */
  get room(): number {
    return this.input?.room ?? 0;
  }

  /** Writes to standard input. Throws RangeError past {@link room}. */
  write(data: Buffer): void {
    this.input?.push(data);
    this.connection.sendInput(this.stream);
  }

  endInput(): void {
    this.input?.end();
    this.connection.sendInput(this.stream);
  }

  /** Throws DomainError `conflict` when the agent knows no signals. */
  signal(number: number): void {
    this.require('signals');
    this.connection.control(this.stream, encodeSignal(this.stream.number, number));
  }

  resize({ rows, cols }: TerminalSize): void {
    if (this.streams) this.connection.control(this.stream, encodeResize(this.stream.number, rows, cols));
  }

  /** Lets the program write on. */
  consumed(channel: Channel, bytes: number): void {
    this.connection.consumed(this.stream, channel, bytes);
  }

  /** Kills the program; its listener hears nothing more. */
  cancel(): void {
    clearTimeout(this.timer);
    this.connection.cancel(this.stream);
  }

  onOutput(channel: Channel, payload: Buffer): void {
    this.listener.onOutput(channel, payload);
  }

  onInputTaken(bytes: number): void {
    this.listener.onInputTaken(bytes);
  }

  onResponse(response: JsonObject | GuestError): void {
    const end = response instanceof GuestError ? response : readExecStatus(response);
    clearTimeout(this.timer);
    this.listener.onEnd(end);
  }

  onBroken(error: Error): void {
    clearTimeout(this.timer);
    this.listener.onEnd(error);
  }

  private readonly onDeadline = (): void => {
    this.cancel();
    this.listener.onEnd(unanswered('no answer to exec although the time limit is over'));
  };

  private require(what: string): void {
    if (this.streams) return;
    throw new DomainError(
      'conflict',
      `the agent in this sandbox knows no ${what}: its snapshot was made by an older forkd; make the snapshot anew and fork from that`,
    );
  }
}
