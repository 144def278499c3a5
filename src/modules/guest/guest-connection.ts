import { randomBytes } from 'node:crypto';
import type { Duplex } from 'node:stream';
import { DomainError } from '../../common/errors/domain-error';
import {
  Channel,
  encodeHeader,
  encodeJsonMessage,
  encodeWindow,
  Frame,
  FrameDecoder,
  FrameType,
  MAX_MESSAGE_BYTES,
  MAX_STREAM,
  toAsciiJson,
} from './domain/frame';
import { ProtocolError } from './domain/protocol-error';
import { AnswerScanner, encodeSync, NONCE_BYTES } from './domain/sync';
import { ChannelWriter } from './channel-writer';
import { AgentHello } from './guest-agent.types';
import { unanswered } from './guest-error';
import { readHello, readResponse } from './guest-messages';
import { GuestStream, OutgoingRequest } from './guest-stream';

/** Requests that may be waited for at a time. */
export const MAX_OPEN_REQUESTS = 1024;
/** Cancelled requests the guest may leave unanswered. */
export const MAX_ABANDONED_REQUESTS = 1024;
/** Frames that lead nowhere the guest may send between two answers. */
export const MAX_IDLE_FRAMES = 4096;
/** After this much work, a frame counting 1 and each KiB of payload 1, the event loop gets a turn. */
const WORK_PER_TURN = 512;

export interface ConnectionListener {
  /** The guest has said HELLO: `hello` is set. */
  onHello(): void;
  /** The connection ended, for whatever reason; said once, after all open requests were told. */
  onBroken(error: Error): void;
}

/**
 * One connection to the agent in a guest, over a channel of bytes; it owns the channel. The guest is not trusted: whatever
 * it sends against the protocol closes the connection, and what it can make the daemon hold or do is bounded.
 */
export class GuestConnection {
  /** What the guest said of itself; undefined until the listener's `onHello`. */
  hello: AgentHello | undefined;
  /** Bytes read from the channel so far. */
  bytesReceived = 0;

  private readonly writer: ChannelWriter;
  private readonly decoder = new FrameDecoder();
  private scanner: AnswerScanner | undefined;
  private closed = false;
  private readonly streams = new Map<number, GuestStream>();
  private lastStream = 0;
  private abandoned = 0;
  private idleFrames = 0;
  private work = 0;
  /** Of all answers that are not complete yet. */
  private partBytes = 0;

  /** Sends SYNC, and `first` with it in the same write. */
  constructor(
    private readonly channel: Duplex,
    private readonly listener: ConnectionListener,
    first?: OutgoingRequest,
  ) {
    this.writer = new ChannelWriter(channel);
    const nonce = randomBytes(NONCE_BYTES);
    this.scanner = new AnswerScanner(nonce);
    channel.on('data', this.receive);
    channel.on('error', this.close);
    channel.on('end', this.onEnd);
    channel.on('close', this.onEnd);
    const sync = encodeSync(nonce);
    channel.write(first === undefined ? sync : Buffer.concat([sync, this.openStream(first).frame]));
  }

  get isOpen(): boolean {
    return !this.closed;
  }

  /** Settles when the channel has let go of its resources; never rejects. */
  get released(): Promise<void> {
    return new Promise((resolve) => {
      if (this.channel.closed) resolve();
      else
        this.channel.once('close', () => {
          resolve();
        });
    });
  }

  /** Requests that are waited for. */
  get openRequests(): number {
    return this.streams.size - this.abandoned;
  }

  /**
   * Sends a request; its handler hears the outcome. Throws DomainError: `invalid` when the request is too long,
   * `unavailable` when too many are open, `internal` when the connection is closed.
   */
  request(outgoing: OutgoingRequest): GuestStream {
    if (this.closed) throw unanswered('the connection is closed');
    const { frame, stream } = this.openStream(outgoing);
    this.writer.write(frame);
    if (stream.stdin !== undefined) this.writer.startInput(stream);
    return stream;
  }

  /** Abandons a request: its handler hears nothing more, and the guest is told to kill what it started. */
  cancel(stream: GuestStream): void {
    if (this.closed || !stream.open || stream.handler === undefined) return;
    stream.handler = undefined;
    stream.stdin = undefined;
    this.abandoned += 1;
    this.writer.write(encodeHeader(FrameType.cancel, 0, stream.number, 0));
    if (this.abandoned > MAX_ABANDONED_REQUESTS) {
      this.close(new ProtocolError(`${this.abandoned} cancelled requests were not answered`));
    }
  }

  /** Sends standard input that was added to a stream's source, or its end. */
  sendInput(stream: GuestStream): void {
    if (!this.closed && stream.open) this.writer.startInput(stream);
  }

  /** Lets the guest send as much output again as was consumed of a stream that holds it. */
  consumed(stream: GuestStream, channel: Channel, bytes: number): void {
    const back = stream.receiving(channel).consume(bytes);
    if (back > 0 && !this.closed && stream.open)
      this.writer.write(encodeWindow(stream.number, channel, back));
  }

  /** Sends a frame that is about an open stream; nothing when it has ended. */
  control(stream: GuestStream, frame: Buffer): void {
    if (!this.closed && stream.open && stream.handler !== undefined) this.writer.write(frame);
  }

  /** Closes the channel and fails all open requests with `reason`. Idempotent. */
  readonly close = (reason: unknown): void => {
    if (this.closed) return;
    this.closed = true;
    this.channel.destroy();
    const error = unanswered(reason);
    for (const stream of this.streams.values()) {
      stream.open = false;
      stream.handler?.onBroken(error);
    }
    this.streams.clear();
    this.writer.stop();
    this.listener.onBroken(error);
  };

  private readonly onEnd = (): void => {
    this.close('the channel was closed by the other side');
  };

  private openStream(outgoing: OutgoingRequest): { readonly frame: Buffer; readonly stream: GuestStream } {
    const { method, params } = outgoing;
    const json = toAsciiJson({ method, params });
    if (json.length > MAX_MESSAGE_BYTES) {
      throw new DomainError(
        'invalid',
        `the ${method} request is too long: ${json.length} bytes as ASCII JSON, at most ${MAX_MESSAGE_BYTES} fit`,
      );
    }
    if (this.openRequests >= MAX_OPEN_REQUESTS) {
      throw new DomainError(
        'unavailable',
        `${MAX_OPEN_REQUESTS} requests to the guest are open; wait for one to end`,
      );
    }
    if (this.lastStream === MAX_STREAM) {
      this.close('the connection has used up its stream numbers');
      throw unanswered('the connection has used up its stream numbers');
    }
    this.lastStream += 1;
    const stream = new GuestStream(this.lastStream, outgoing);
    this.streams.set(stream.number, stream);
    return { frame: encodeJsonMessage(FrameType.request, stream.number, json), stream };
  }

  private readonly receive = (chunk: Buffer): void => {
    if (this.closed) return;
    this.bytesReceived += chunk.length;
    try {
      let start = 0;
      if (this.scanner !== undefined) {
        start = this.scanner.scan(chunk);
        if (start < 0) return;
        this.scanner = undefined;
      }
      this.decoder.push(start === 0 ? chunk : chunk.subarray(start));
      if (!this.handleFrames()) this.yieldTurn();
    } catch (error) {
      this.close(error);
    }
  };

  /** Handles what is there; false when the turn's work is used up first. */
  private handleFrames(): boolean {
    for (let frame = this.decoder.next(); frame !== undefined; frame = this.decoder.next()) {
      this.handle(frame);
      if (this.closed) return true;
      this.work += 1 + (frame.payload.length >>> 10);
      if (this.work < WORK_PER_TURN) continue;
      this.work = 0;
      return false;
    }
    return true;
  }

  private yieldTurn(): void {
    this.channel.pause();
    setImmediate(() => {
      if (this.closed) return;
      try {
        if (this.handleFrames()) this.channel.resume();
        else this.yieldTurn();
      } catch (error) {
        this.close(error);
      }
    });
  }

  private handle(frame: Frame): void {
    if (this.hello === undefined) {
      this.handleHello(frame);
      return;
    }
    const stream = this.streams.get(frame.stream);
    switch (frame.type) {
      case FrameType.hello:
        throw new ProtocolError('a second HELLO');
      case FrameType.request:
      case FrameType.cancel:
      case FrameType.signal:
      case FrameType.resize:
        throw new ProtocolError('a frame that only the host may send');
      case FrameType.response:
        if (stream === undefined) this.countIdle();
        else this.handleResponse(stream, frame.payload);
        return;
      case FrameType.part:
        if (stream === undefined || frame.payload.length === 0) this.countIdle();
        else this.handlePart(stream, frame.payload);
        return;
      case FrameType.data:
        if (frame.payload.length === 0) this.countIdle();
        if (stream === undefined) this.countIdle();
        else this.handleData(stream, frame);
        return;
      case FrameType.end:
        if (stream === undefined) this.countIdle();
        else stream.receiving(frame.channel).end();
        return;
      case FrameType.window:
        if (stream === undefined) this.countIdle();
        else this.handleWindow(stream, frame);
    }
  }

  private handleHello(frame: Frame): void {
    if (frame.type !== FrameType.hello || frame.stream !== 0) throw new ProtocolError('a frame before HELLO');
    this.hello = readHello(frame.payload);
    this.listener.onHello();
  }

  private handlePart(stream: GuestStream, payload: Buffer): void {
    this.partBytes += payload.length;
    if (this.partBytes > MAX_MESSAGE_BYTES) throw new ProtocolError('the parts of answers are too long');
    stream.parts.push(Buffer.from(payload));
  }

  private handleResponse(stream: GuestStream, last: Buffer): void {
    const response = readResponse(stream.parts.length === 0 ? last : Buffer.concat([...stream.parts, last]));
    for (const part of stream.parts) this.partBytes -= part.length;
    // The stream is removed last: a handler that throws is then told with the others that the connection is gone.
    stream.handler?.onResponse(response);
    if (stream.handler === undefined) this.abandoned -= 1;
    stream.open = false;
    this.streams.delete(stream.number);
    this.idleFrames = 0;
  }

  private handleData(stream: GuestStream, frame: Frame): void {
    const window = stream.receiving(frame.channel);
    if (stream.holdsOutput) window.take(frame.payload.length);
    const back = stream.holdsOutput ? 0 : window.receive(frame.payload.length);
    stream.handler?.onOutput(frame.channel, frame.payload);
    if (back > 0) this.writer.write(encodeWindow(stream.number, frame.channel, back));
  }

  private handleWindow(stream: GuestStream, frame: Frame): void {
    const bytes = frame.payload.readUInt32BE(0);
    if (bytes === 0) this.countIdle();
    const { stdin } = stream;
    if (frame.channel !== Channel.stdin)
      throw new ProtocolError('WINDOW for a channel the host does not send on');
    // Credit for what was sent before END or CANCEL may still come.
    if (stdin === undefined) {
      this.countIdle();
      return;
    }
    if (stdin.grant(bytes)) this.writer.startInput(stream);
    stream.handler?.onInputTaken?.(bytes);
  }

  private countIdle(): void {
    this.idleFrames += 1;
    if (this.idleFrames > MAX_IDLE_FRAMES)
      throw new ProtocolError(`${this.idleFrames} frames that lead nowhere`);
  }
}
