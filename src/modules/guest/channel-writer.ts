import type { Duplex } from 'node:stream';
import { Channel, encodeHeader, FrameType } from './domain/frame';
import { GuestStream } from './guest-stream';

/** Standard input is handed to the channel while it holds less than this. */
const SEND_AHEAD_BYTES = 262_144;

/** What a connection writes: frames at once, and standard input as far as windows and the channel allow. */
export class ChannelWriter {
  /** Streams that have standard input to send and window to send it in. */
  private readonly waiting = new Set<GuestStream>();
  private corked = false;

  constructor(private readonly channel: Duplex) {
    channel.on('drain', this.sendInput);
  }

  /** Writes of one turn go out in one system call. */
  write(bytes: Buffer): void {
    if (!this.corked) {
      this.corked = true;
      this.channel.cork();
      process.nextTick(this.uncork);
    }
    this.channel.write(bytes);
  }

  /** Sends a stream's standard input; call it again when there is more, it ended, or its window opened after a stall. */
  startInput(stream: GuestStream): void {
    this.waiting.add(stream);
    this.sendInput();
  }

  /** Lets go of everything that waits. */
  stop(): void {
    this.waiting.clear();
  }

  /** The streams take turns, one DATA frame each. */
  private readonly sendInput = (): void => {
    const { channel } = this;
    while (!(channel.writableNeedDrain && channel.writableLength >= SEND_AHEAD_BYTES)) {
      const [stream] = this.waiting;
      if (stream === undefined) return;
      this.waiting.delete(stream);
      this.sendPiece(stream);
    }
  };

  private sendPiece(stream: GuestStream): void {
    const { stdin } = stream;
    if (!stream.open || stdin === undefined || stream.inputEnded) return;
    const piece = stdin.next();
    if (piece !== undefined) {
      this.write(encodeHeader(FrameType.data, Channel.stdin, stream.number, piece.length));
      this.write(piece);
    }
    if (stdin.done) {
      stream.inputEnded = true;
      this.write(encodeHeader(FrameType.end, Channel.stdin, stream.number, 0));
    } else if (stdin.ready) this.waiting.add(stream);
  }

  private readonly uncork = (): void => {
    this.corked = false;
    this.channel.uncork();
  };
}
