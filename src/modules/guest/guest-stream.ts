import { Channel } from './domain/frame';
import { ReceiveWindow, SendSource, SendWindow } from './domain/flow-control';
import { ProtocolError } from './domain/protocol-error';
import { GuestError } from './guest-error';
import { JsonObject } from './guest-messages';

/** Who waits for a request's answer. What it throws out of `onOutput` and `onResponse` ends the connection. */
export interface RequestHandler {
  /** Output of a program; the payload is valid during the call only. */
  onOutput(channel: Channel, payload: Buffer): void;
  /** The guest has taken so many bytes of standard input. */
  onInputTaken?(bytes: number): void;
  /** The answer, at most once. */
  onResponse(response: JsonObject | GuestError): void;
  /** The connection is gone and no answer will come; may follow an `onResponse` that threw. */
  onBroken(error: Error): void;
}

export interface OutgoingRequest {
  readonly method: string;
  readonly params: JsonObject;
  /** Sent as DATA on the stream's channel 0, then END. */
  readonly stdin?: Buffer | SendSource;
  /** Bytes of each of stdout and stderr the guest may send; no DATA at all is expected without it. */
  readonly outputLimit?: number;
  /** Output counts as consumed when the connection is told so, not when the handler has seen it. */
  readonly holdsOutput?: boolean;
  readonly handler: RequestHandler;
}

/** One open request of a connection. */
export class GuestStream {
  /** Undefined once the request was abandoned: the stream stays open until the guest has answered. */
  handler: RequestHandler | undefined;
  open = true;
  /** Pieces of an answer that does not fit one frame. */
  readonly parts: Buffer[] = [];
  /** Standard input that is still to be sent. */
  stdin: SendSource | undefined;
  /** END was sent on standard input. */
  inputEnded = false;
  readonly holdsOutput: boolean;
  private readonly stdout: ReceiveWindow | undefined;
  private readonly stderr: ReceiveWindow | undefined;

  constructor(
    readonly number: number,
    request: OutgoingRequest,
  ) {
    this.handler = request.handler;
    this.holdsOutput = request.holdsOutput === true;
    const { stdin } = request;
    if (stdin !== undefined) this.stdin = Buffer.isBuffer(stdin) ? new SendWindow(stdin) : stdin;
    if (request.outputLimit === undefined) return;
    this.stdout = new ReceiveWindow(request.outputLimit);
    this.stderr = new ReceiveWindow(request.outputLimit);
  }

  /** The window of what the guest sends on a channel. Throws ProtocolError when it has nothing to send there. */
  receiving(channel: Channel): ReceiveWindow {
    const window = channel === Channel.stdout ? this.stdout : this.stderr;
    if (channel === Channel.stdin || window === undefined) {
      throw new ProtocolError(`DATA or END on channel ${channel} of a stream that has none`);
    }
    return window;
  }
}
