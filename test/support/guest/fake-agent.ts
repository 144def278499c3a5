import { Duplex, duplexPair } from 'node:stream';

/** The page's numbers, written down a second time so that a slip in the daemon's own cannot hide. */
export const Wire = {
  hello: 1,
  request: 2,
  response: 3,
  data: 4,
  window: 5,
  end: 6,
  cancel: 7,
  part: 8,
} as const;
const MAGIC = Buffer.from('f78ba1d59ec3e6fb91ad88b2f59cd7ea', 'hex');
const ANSWER_MAGIC = Buffer.from('e997b3fd8ac5d1f2a69bee84dfb893cc', 'hex');

export interface WireFrame {
  readonly type: number;
  readonly channel: number;
  readonly stream: number;
  readonly payload: Buffer;
}

export interface FakeRequest {
  readonly agent: FakeAgent;
  readonly stream: number;
  readonly method: string;
  readonly params: Record<string, unknown>;
}

export interface FakeBehaviour {
  /** Takes the place of the honest answer to SYNC. */
  readonly onSync?: (agent: FakeAgent, nonce: Buffer) => void;
  /** Called for every request; identity and ping are answered honestly without it. */
  readonly onRequest?: (request: FakeRequest) => void;
}

export const HELLO = {
  protocol: 1,
  agent: '0.5.3',
  capabilities: ['identity', 'ping', 'exec', 'eval'],
  runtimes: ['python'],
};
export const PONG = {
  pong: true,
  pid: 1,
  agent_lang: 'python',
  numpy_version: 'not-installed',
  warmup_ready: true,
};
export const EXEC_DONE = { exit_code: 0, timed_out: false, stdout_truncated: false, stderr_truncated: false };

export function wireFrame(
  type: number,
  stream: number,
  payload: Buffer | string = Buffer.alloc(0),
  channel = 0,
): Buffer {
  const body = Buffer.from(payload);
  const header = Buffer.alloc(12);
  header.writeUInt32BE(body.length, 0);
  header[4] = type;
  header[5] = channel;
  header.writeUInt32BE(stream, 6);
  return Buffer.concat([header, body]);
}

/** The guest's end of one connection, which does what a test tells it, right or wrong. */
export class FakeAgent {
  /** Everything the host has sent in frames. */
  readonly frames: WireFrame[] = [];
  syncs = 0;
  private unread = Buffer.alloc(0);
  private readonly waiting: {
    matches: (frame: WireFrame) => boolean;
    resolve: (frame: WireFrame) => void;
  }[] = [];

  constructor(
    readonly channel: Duplex,
    private readonly behaviour: FakeBehaviour = {},
  ) {
    channel.on('data', (chunk: Buffer) => {
      this.read(chunk);
    });
    channel.on('error', () => undefined);
  }

  /** The first frame that matches, of those read and those to come. */
  frame(matches: (frame: WireFrame) => boolean): Promise<WireFrame> {
    const found = this.frames.find(matches);
    if (found !== undefined) return Promise.resolve(found);
    return new Promise((resolve) => {
      this.waiting.push({ matches, resolve });
    });
  }

  /** DATA the host sent on a stream's standard input so far. */
  stdin(stream: number): Buffer {
    const data = this.frames.filter((frame) => frame.type === Wire.data && frame.stream === stream);
    return Buffer.concat(data.map((frame) => frame.payload));
  }

  /** Settles when the host has closed its end. */
  hostGone(): Promise<void> {
    return new Promise((resolve) => {
      if (this.channel.closed || this.channel.readableEnded) resolve();
      else {
        const done = (): void => {
          resolve();
        };
        this.channel.once('end', done);
        this.channel.once('close', done);
      }
    });
  }

  answerSync(nonce: Buffer): void {
    this.channel.write(Buffer.concat([ANSWER_MAGIC, nonce]));
  }

  hello(hello: object = HELLO): void {
    this.send(Wire.hello, 0, JSON.stringify(hello));
  }

  send(type: number, stream: number, payload?: Buffer | string, channel?: number): void {
    this.channel.write(wireFrame(type, stream, payload, channel));
  }

  output(stream: number, channel: 1 | 2, payload: Buffer | string): void {
    this.send(Wire.data, stream, payload, channel);
  }

  window(stream: number, bytes: number, channel = 0): void {
    const payload = Buffer.alloc(4);
    payload.writeUInt32BE(bytes);
    this.send(Wire.window, stream, payload, channel);
  }

  result(stream: number, result: object): void {
    this.send(Wire.response, stream, JSON.stringify({ result }));
  }

  refuse(stream: number, code: string, message: string): void {
    this.send(Wire.response, stream, JSON.stringify({ error: { code, message } }));
  }

  private read(chunk: Buffer): void {
    this.unread = Buffer.concat([this.unread, chunk]);
    for (;;) {
      const magic = this.unread.indexOf(MAGIC);
      this.readFrames(magic < 0 ? this.unread.length : magic);
      const start = this.unread.indexOf(MAGIC);
      if (start < 0 || this.unread.length < start + 32) return;
      const nonce = Buffer.from(this.unread.subarray(start + 16, start + 32));
      this.unread = this.unread.subarray(start + 32);
      this.syncs += 1;
      if (this.behaviour.onSync !== undefined) this.behaviour.onSync(this, nonce);
      else {
        this.answerSync(nonce);
        this.hello();
      }
    }
  }

  private readFrames(limit: number): void {
    let left = limit;
    while (left >= 12) {
      const total = 12 + this.unread.readUInt32BE(0);
      if (left < total) return;
      const frame: WireFrame = {
        type: this.unread.readUInt8(4),
        channel: this.unread.readUInt8(5),
        stream: this.unread.readUInt32BE(6),
        payload: Buffer.from(this.unread.subarray(12, total)),
      };
      this.unread = this.unread.subarray(total);
      left -= total;
      this.take(frame);
    }
  }

  private take(frame: WireFrame): void {
    this.frames.push(frame);
    if (frame.type === Wire.request) this.takeRequest(frame);
    for (const waiter of this.waiting.filter(({ matches }) => matches(frame))) {
      this.waiting.splice(this.waiting.indexOf(waiter), 1);
      waiter.resolve(frame);
    }
  }

  private takeRequest({ stream, payload }: WireFrame): void {
    const { method, params } = JSON.parse(payload.toString('latin1')) as {
      method: string;
      params: Record<string, unknown>;
    };
    if (this.behaviour.onRequest !== undefined) {
      this.behaviour.onRequest({ agent: this, stream, method, params });
    } else if (method === 'ping') this.result(stream, PONG);
    else if (method === 'identity') this.result(stream, { clock_step_ns: '-12' });
    else this.refuse(stream, 'unknown_method', `no method ${method}`);
  }
}

/** A guest whose channel can be opened again and again; every opening gets a fake agent of its own. */
export class FakeGuest {
  readonly agents: FakeAgent[] = [];

  constructor(private readonly behaviour: FakeBehaviour = {}) {}

  readonly openChannel = (): Promise<Duplex> => {
    const [host, guest] = duplexPair();
    // A pair passes on an end but not a destruction, which sockets do.
    host.once('close', () => guest.destroy());
    guest.once('close', () => {
      if (!guest.writableFinished) host.destroy();
    });
    this.agents.push(new FakeAgent(guest, this.behaviour));
    return Promise.resolve(host);
  };

  /** The agent of the newest connection. */
  get agent(): FakeAgent {
    const agent = this.agents.at(-1);
    if (agent === undefined) throw new Error('no channel was opened');
    return agent;
  }
}
