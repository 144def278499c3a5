import { Channel } from './domain/frame';
import { ReceiveWindow, SendWindow } from './domain/flow-control';
import { ProtocolError } from './domain/protocol-error';
import { GuestError } from './guest-error';
import { JsonObject } from './guest-messages';

/** Who waits for a request's answer. What it throws out of `onOutput` and `onResponse` ends the connection. */
export interface RequestHandler {
  /** Output of a program; the payload is valid during the call only. */
  onOutput(channel: Channel, payload: Buffer): void;
  /** The answer, at most once. */
  onResponse(response: JsonObject | GuestError): void;
  /** The connection is gone and no answer will come; may follow an `onResponse` that threw. */
  onBroken(error: Error): void;
}

export interface OutgoingRequest {
  readonly method: string;
  readonly params: JsonObject;
  /** Sent as DATA on the stream's channel 0, then END. */
  readonly stdin?: Buffer;
  /** Bytes of each of stdout and stderr the guest may send; no DATA at all is expected without it. */
  readonly outputLimit?: number;
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
  stdin: SendWindow | undefined;
  private readonly stdout: ReceiveWindow | undefined;
  private readonly stderr: ReceiveWindow | undefined;

  constructor(
    readonly number: number,
    request: OutgoingRequest,
  ) {
    this.handler = request.handler;
    if (request.stdin !== undefined) this.stdin = new SendWindow(request.stdin);
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
