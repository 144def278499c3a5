import { abortReason, listenForAbort } from './abort';
import { AgentHello, EvalResult, ExecRequest, ExecResult, GuestIdentity } from './guest-agent.types';
import { ConnectOptions, OpenChannel, openConnection } from './guest-connect';
import { GuestConnection } from './guest-connection';
import { unanswered } from './guest-error';
import { EvalOptions, evalSpec, execSpec } from './guest-exec';
import { GuestProgram, ProgramListener, ProgramRequest } from './guest-program';
import { JsonObject, readPing } from './guest-messages';
import { performRequest, RequestSpec } from './guest-request';

/**
 * The agent in one guest. Calls may run at the same time and share one connection; when it broke, the calls that were
 * open fail, and the next call connects again, once.
 *
 * Calls reject with GuestError when the guest refused the request, with a DomainError `internal` when no answer comes
 * ("the guest agent does not answer: ..."), `invalid` for what no guest takes, `unavailable` when too many requests are
 * open, and with the signal's reason when aborted.
 */
export class GuestAgent {
  /** Settles once {@link close} was called and the channel is gone; never rejects. A broken channel does not settle it. */
  readonly closed: Promise<void>;

  private connection: GuestConnection;
  private lastHello: AgentHello;
  private reconnecting: Promise<GuestConnection> | undefined;
  /** Why no call is served any more. */
  private closeReason: Error | undefined;
  /** Ends the attempt to connect again that is under way. */
  private attempt: AbortController | undefined;
  private readonly settleClosed: () => void;

  private constructor(
    private readonly openChannel: OpenChannel,
    private readonly connectDeadlineMs: number,
    connection: GuestConnection,
  ) {
    this.connection = connection;
    this.lastHello = helloOf(connection);
    let settle = (): void => undefined;
    this.closed = new Promise((resolve) => {
      settle = resolve;
    });
    this.settleClosed = settle;
  }

  /**
   * Connects and waits for HELLO. On failure the channel is closed; rejects as calls do. `deadlineMs` is also the time
   * later calls have to connect again.
   */
  static async connect(openChannel: OpenChannel, options: ConnectOptions): Promise<GuestAgent> {
    const connection = await openConnection(openChannel, options);
    return new GuestAgent(openChannel, options.deadlineMs, connection);
  }

  /**
   * Connects to a VM that was just restored and gives it its identity: entropy, the wall clock of this moment, hostname.
   * Resolves when HELLO and the answer are in.
   */
  static async handshake(
    openChannel: OpenChannel,
    identity: GuestIdentity,
    options: ConnectOptions,
  ): Promise<GuestAgent> {
    const connection = await openConnection(openChannel, options, identity);
    return new GuestAgent(openChannel, options.deadlineMs, connection);
  }

  /** What the guest said of itself when it was last connected. */
  get hello(): AgentHello {
    return this.lastHello;
  }

  /** Asks whether the agent is there. Resolves with the guest's own object, of bounded size and depth. */
  async ping(deadlineMs: number): Promise<Record<string, unknown>> {
    return await this.perform<JsonObject>({ method: 'ping', params: {}, read: readPing, deadlineMs });
  }

  /**
   * Runs a program to its end. Abort kills it; so does the guest at `timeoutMs`, which is a result, not an error.
   * A guest that has not answered 5 s after that counts as gone.
   */
  async exec(
    request: ExecRequest,
    options: { readonly signal?: AbortSignal | undefined } = {},
  ): Promise<ExecResult> {
    return await this.perform(execSpec(request, options.signal));
  }

  /**
   * Starts a program whose input and output go as they come. Resolves when it was asked for; that it cannot be started its
   * listener hears. Rejects as calls do, and with `conflict` when the agent is too old for what is asked.
   */
  async start(request: ProgramRequest, listener: ProgramListener): Promise<GuestProgram> {
    const connection = this.connection.isOpen ? this.connection : await this.reconnect();
    return new GuestProgram(connection, request, listener);
  }

  /** Evaluates code in a warm runtime. An exception in the code is a result, not an error. */
  async eval(code: string, options: EvalOptions): Promise<EvalResult> {
    return await this.perform(evalSpec(code, options));
  }

  /** Closes the channel for good and fails open calls; programs in the guest run on. Idempotent. */
  close(): void {
    if (this.closeReason !== undefined) return;
    const reason = unanswered('its client was closed');
    this.closeReason = reason;
    this.attempt?.abort(reason);
    this.connection.close(reason);
    const pending = this.reconnecting?.catch(() => undefined) ?? Promise.resolve();
    void Promise.all([this.connection.released, pending]).then(this.settleClosed);
  }

  private async perform<T>(spec: RequestSpec<T>): Promise<T> {
    if (this.connection.isOpen) return await performRequest(this.connection, spec);
    const connection = await waitFor(this.reconnect(), spec);
    return await performRequest(connection, spec);
  }

  /** Calls that find the connection broken share one attempt. */
  private reconnect(): Promise<GuestConnection> {
    this.reconnecting ??= this.connectAgain().finally(() => {
      this.reconnecting = undefined;
    });
    return this.reconnecting;
  }

  private async connectAgain(): Promise<GuestConnection> {
    if (this.closeReason !== undefined) throw this.closeReason;
    const attempt = new AbortController();
    this.attempt = attempt;
    const options = { deadlineMs: this.connectDeadlineMs, signal: attempt.signal };
    const connection = await openConnection(this.openChannel, options);
    // close() may come between the attempt's end and this line, when the attempt no longer hears it.
    if (attempt.signal.aborted) {
      connection.close(attempt.signal.reason);
      throw abortReason(attempt.signal);
    }
    this.connection = connection;
    this.lastHello = helloOf(connection);
    return connection;
  }
}

function helloOf(connection: GuestConnection): AgentHello {
  if (connection.hello === undefined) throw unanswered('no HELLO');
  return connection.hello;
}

/** Waits for a shared attempt no longer than one request wants to; the attempt itself goes on for the others. */
function waitFor<T>(attempt: Promise<GuestConnection>, spec: RequestSpec<T>): Promise<GuestConnection> {
  const { signal, deadlineMs, method } = spec;
  return new Promise((resolve, reject) => {
    const release = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
    };
    const fail = (error: Error): void => {
      release();
      reject(error);
    };
    const onAbort = (): void => {
      if (signal !== undefined) fail(abortReason(signal));
    };
    const timer = setTimeout(() => {
      fail(unanswered(`no answer to ${method} within ${deadlineMs} ms`));
    }, deadlineMs);
    if (signal?.aborted === true) onAbort();
    else if (signal !== undefined) listenForAbort(signal, onAbort);
    attempt.then((connection) => {
      release();
      resolve(connection);
    }, fail);
  });
}
