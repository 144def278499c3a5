import { abortReason, listenForAbort } from './abort';
import { Channel } from './domain/frame';
import { GuestError, unanswered } from './guest-error';
import { GuestConnection } from './guest-connection';
import { JsonObject } from './guest-messages';
import { GuestStream, RequestHandler } from './guest-stream';

export interface RequestSpec<T> {
  readonly method: string;
  readonly params: JsonObject;
  readonly stdin?: Buffer;
  readonly outputLimit?: number;
  readonly onOutput?: (channel: Channel, payload: Buffer) => void;
  /** Turns the guest's result into the caller's; a ProtocolError it throws closes the connection. */
  readonly read: (result: JsonObject) => T;
  /** Milliseconds after which the request is cancelled and fails. */
  readonly deadlineMs: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Sends one request and waits for its answer. Rejects with GuestError when the guest refuses, DomainError when no answer
 * comes, the signal's reason when aborted; the last two cancel the request in the guest.
 */
export function performRequest<T>(connection: GuestConnection, spec: RequestSpec<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    new PendingRequest(connection, spec, resolve, reject).start();
  });
}

class PendingRequest<T> implements RequestHandler {
  private timer: NodeJS.Timeout | undefined;
  private stream: GuestStream | undefined;
  private receivedBefore = 0;

  constructor(
    private readonly connection: GuestConnection,
    private readonly spec: RequestSpec<T>,
    private readonly resolve: (value: T) => void,
    private readonly reject: (error: unknown) => void,
  ) {}

  start(): void {
    const { connection, spec } = this;
    if (spec.signal?.aborted === true) {
      this.reject(abortReason(spec.signal));
      return;
    }
    const { method, params, stdin, outputLimit } = spec;
    this.receivedBefore = connection.bytesReceived;
    this.stream = connection.request({
      method,
      params,
      handler: this,
      ...(stdin !== undefined && { stdin }),
      ...(outputLimit !== undefined && { outputLimit }),
    });
    this.timer = setTimeout(this.onDeadline, spec.deadlineMs);
    if (spec.signal !== undefined) listenForAbort(spec.signal, this.onAbort);
  }

  onOutput(channel: Channel, payload: Buffer): void {
    this.spec.onOutput?.(channel, payload);
  }

  onResponse(response: JsonObject | GuestError): void {
    if (response instanceof GuestError) {
      this.release();
      this.reject(response);
      return;
    }
    const value = this.spec.read(response);
    this.release();
    this.resolve(value);
  }

  onBroken(error: Error): void {
    this.release();
    this.reject(error);
  }

  private readonly onDeadline = (): void => {
    const error = unanswered(`no answer to ${this.spec.method} within ${this.spec.deadlineMs} ms`);
    this.abandon();
    this.reject(error);
    // Nothing at all came since: the channel may have lost bytes, and a new SYNC mends that. Others may still be served
    // by a guest that is only slow, so this is not done over their heads.
    const silent = this.connection.bytesReceived === this.receivedBefore;
    if (silent && this.connection.openRequests === 0) this.connection.close(error);
  };

  private readonly onAbort = (): void => {
    this.abandon();
    if (this.spec.signal !== undefined) this.reject(abortReason(this.spec.signal));
  };

  private abandon(): void {
    this.release();
    if (this.stream !== undefined) this.connection.cancel(this.stream);
  }

  private release(): void {
    clearTimeout(this.timer);
    this.spec.signal?.removeEventListener('abort', this.onAbort);
  }
}
