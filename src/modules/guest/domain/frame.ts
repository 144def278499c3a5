import { Buffer } from 'node:buffer';
import { ProtocolError } from './protocol-error';

/** Bytes of a frame's header. */
export const HEADER_BYTES = 12;
/** Largest payload of one frame, in bytes. */
export const MAX_PAYLOAD_BYTES = 65_536;
/** Largest stream number; 0 is the connection itself. */
export const MAX_STREAM = 0x7fff_ffff;

export const FrameType = {
  hello: 1,
  request: 2,
  response: 3,
  data: 4,
  window: 5,
  end: 6,
  cancel: 7,
  part: 8,
  signal: 9,
  resize: 10,
} as const;
export type FrameType = (typeof FrameType)[keyof typeof FrameType];

/** Which pipe of a program DATA, WINDOW and END speak of; 0 in all other frames. */
export const Channel = { stdin: 0, stdout: 1, stderr: 2 } as const;
export type Channel = (typeof Channel)[keyof typeof Channel];

export interface Frame {
  readonly type: FrameType;
  readonly channel: Channel;
  readonly stream: number;
  /** May be a view of the bytes that were read: copy what outlives the frame's handling. */
  readonly payload: Buffer;
}

interface Header {
  readonly type: FrameType;
  readonly channel: Channel;
  readonly stream: number;
  readonly length: number;
}

const EMPTY = Buffer.alloc(0);

/** A header alone; the payload of `length` bytes must follow it at once. */
export function encodeHeader(type: FrameType, channel: Channel, stream: number, length: number): Buffer {
  const header = Buffer.allocUnsafe(HEADER_BYTES);
  writeHeader(header, type, channel, stream, length);
  return header;
}

/** WINDOW: lets the other side send `bytes` more on this stream and channel. */
export function encodeWindow(stream: number, channel: Channel, bytes: number): Buffer {
  const frame = Buffer.allocUnsafe(HEADER_BYTES + 4);
  writeHeader(frame, FrameType.window, channel, stream, 4);
  frame.writeUInt32BE(bytes, HEADER_BYTES);
  return frame;
}

/** SIGNAL: sends the program of a stream the signal of this number. */
export function encodeSignal(stream: number, signal: number): Buffer {
  const frame = Buffer.allocUnsafe(HEADER_BYTES + 4);
  writeHeader(frame, FrameType.signal, 0, stream, 4);
  frame.writeUInt32BE(signal, HEADER_BYTES);
  return frame;
}

/** RESIZE: gives a stream's terminal another size. */
export function encodeResize(stream: number, rows: number, cols: number): Buffer {
  const frame = Buffer.allocUnsafe(HEADER_BYTES + 4);
  writeHeader(frame, FrameType.resize, 0, stream, 4);
  frame.writeUInt16BE(rows, HEADER_BYTES);
  frame.writeUInt16BE(cols, HEADER_BYTES + 2);
  return frame;
}

/** Largest JSON message, its PART frames together, in bytes. */
export const MAX_MESSAGE_BYTES = 33_554_432;

/**
 * A JSON message in ASCII: one frame, after as many PART frames as it needs.
 *
 * Throws RangeError when the text is longer than {@link MAX_MESSAGE_BYTES}.
 */
export function encodeJsonMessage(type: FrameType, stream: number, asciiJson: string): Buffer {
  if (asciiJson.length > MAX_MESSAGE_BYTES) {
    throw new RangeError(`${asciiJson.length} bytes of JSON are more than a message of ${MAX_MESSAGE_BYTES}`);
  }
  const frames = Math.max(1, Math.ceil(asciiJson.length / MAX_PAYLOAD_BYTES));
  const message = Buffer.allocUnsafe(frames * HEADER_BYTES + asciiJson.length);
  let at = 0;
  for (let index = 0; index < frames; index++) {
    const piece = asciiJson.slice(index * MAX_PAYLOAD_BYTES, (index + 1) * MAX_PAYLOAD_BYTES);
    const last = index === frames - 1;
    writeHeader(message.subarray(at), last ? type : FrameType.part, 0, stream, piece.length);
    message.write(piece, at + HEADER_BYTES, 'latin1');
    at += HEADER_BYTES + piece.length;
  }
  return message;
}

/** JSON with everything past ASCII escaped, so that it can never contain the magic of SYNC. */
export function toAsciiJson(value: object): string {
  return JSON.stringify(value).replace(
    /[\u0080-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/**
 * Cuts a byte stream into frames, however it is chunked. Holds at most one chunk and one frame.
 *
 * After a ProtocolError it stays broken: every later `next` throws.
 */
export class FrameDecoder {
  private chunk: Buffer = EMPTY;
  private offset = 0;
  private readonly partialHeader = Buffer.alloc(HEADER_BYTES);
  private headerFilled = 0;
  private partial: { readonly header: Header; readonly payload: Buffer; filled: number } | undefined;

  /** Adds bytes; take frames with {@link next} until it returns undefined before adding more. */
  push(chunk: Buffer): void {
    const unread = this.chunk.length - this.offset;
    this.chunk = unread === 0 ? chunk : Buffer.concat([this.chunk.subarray(this.offset), chunk]);
    this.offset = 0;
  }

  /** The next whole frame, or undefined when more bytes are needed. Throws ProtocolError on a malformed header. */
  next(): Frame | undefined {
    return this.headerFilled === 0 ? (this.nextWhole() ?? this.nextPartial()) : this.nextPartial();
  }

  /** The common case: the frame lies in the chunk and is returned as a view of it. */
  private nextWhole(): Frame | undefined {
    const unread = this.chunk.length - this.offset;
    if (unread < HEADER_BYTES) return undefined;
    const header = readHeader(this.chunk, this.offset);
    if (unread - HEADER_BYTES < header.length) return undefined;
    const start = this.offset + HEADER_BYTES;
    const payload = header.length === 0 ? EMPTY : this.chunk.subarray(start, start + header.length);
    this.offset = start + header.length;
    return toFrame(header, payload);
  }

  private nextPartial(): Frame | undefined {
    this.headerFilled += this.copyInto(this.partialHeader, this.headerFilled);
    if (this.headerFilled < HEADER_BYTES) return undefined;
    if (this.partial === undefined) {
      const header = readHeader(this.partialHeader, 0);
      this.partial = { header, payload: Buffer.allocUnsafe(header.length), filled: 0 };
    }
    const { header, payload } = this.partial;
    this.partial.filled += this.copyInto(payload, this.partial.filled);
    if (this.partial.filled < payload.length) return undefined;
    this.partial = undefined;
    this.headerFilled = 0;
    return toFrame(header, payload);
  }

  private copyInto(target: Buffer, from: number): number {
    const copied = this.chunk.copy(target, from, this.offset);
    this.offset += copied;
    return copied;
  }
}

function toFrame(header: Header, payload: Buffer): Frame {
  return { type: header.type, channel: header.channel, stream: header.stream, payload };
}

function writeHeader(
  target: Buffer,
  type: FrameType,
  channel: Channel,
  stream: number,
  length: number,
): void {
  target.writeUInt32BE(length, 0);
  target[4] = type;
  target[5] = channel;
  target.writeUInt32BE(stream, 6);
  target.writeUInt16BE(0, 10);
}

function readHeader(bytes: Buffer, at: number): Header {
  const length = bytes.readUInt32BE(at);
  const type = bytes.readUInt8(at + 4);
  const channel = bytes.readUInt8(at + 5);
  const stream = bytes.readUInt32BE(at + 6);
  if (!isFrameType(type)) throw new ProtocolError(`a frame of the unknown type ${type}`);
  if (length > MAX_PAYLOAD_BYTES) throw new ProtocolError(`a frame of ${length} bytes`);
  if (bytes.readUInt16BE(at + 10) !== 0) throw new ProtocolError('a frame whose reserved field is not 0');
  if (stream > MAX_STREAM) throw new ProtocolError(`the stream number ${stream}`);
  const perPipe = type === FrameType.data || type === FrameType.window || type === FrameType.end;
  if (!isChannel(channel) || (channel !== 0 && !perPipe)) {
    throw new ProtocolError(`channel ${channel} in a frame of type ${type}`);
  }
  const fixed = fixedLength(type);
  if (fixed !== undefined && length !== fixed) {
    throw new ProtocolError(`${length} bytes in a frame of type ${type}, which has ${fixed}`);
  }
  return { type, channel, stream, length };
}

function fixedLength(type: FrameType): number | undefined {
  if (type === FrameType.window || type === FrameType.signal || type === FrameType.resize) return 4;
  return type === FrameType.end || type === FrameType.cancel ? 0 : undefined;
}

function isFrameType(value: number): value is FrameType {
  return value >= FrameType.hello && value <= FrameType.resize;
}

function isChannel(value: number): value is Channel {
  return value <= Channel.stderr;
}
