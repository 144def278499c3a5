import { once } from 'node:events';
import { type ClientOptions, WebSocket } from 'ws';

export const PROTOCOL = 'forkd.exec.v1';

export interface StreamEnd {
  readonly code: number;
  readonly reason: string;
}

type Message = Readonly<Record<string, unknown>>;

/** A client of the streamed exec that does what a test tells it. */
export class StreamClient {
  readonly messages: Message[] = [];
  readonly stdout: Buffer[] = [];
  readonly stderr: Buffer[] = [];
  readonly closed: Promise<StreamEnd>;
  private end: StreamEnd | undefined;
  private wake: (() => void)[] = [];

  private constructor(readonly socket: WebSocket) {
    socket.on('message', (data: Buffer, isBinary: boolean) => {
      if (!isBinary) this.messages.push(JSON.parse(data.toString()) as Message);
      else (data[0] === 1 ? this.stdout : this.stderr).push(data.subarray(1));
      this.stir();
    });
    socket.on('error', () => undefined);
    this.closed = new Promise((resolve) => {
      socket.once('close', (code, reason) => {
        this.end = { code, reason: reason.toString() };
        resolve(this.end);
        this.stir();
      });
    });
  }

  static async open(port: number, id: string, options: ClientOptions = {}): Promise<StreamClient> {
    const socket = new WebSocket(`ws://127.0.0.1:${port}/v1/sandboxes/${id}/exec/stream`, PROTOCOL, options);
    const client = new StreamClient(socket);
    await once(socket, 'open');
    return client;
  }

  /** Opens a stream and starts a program on it. */
  static async run(
    port: number,
    id: string,
    args: readonly string[],
    more: object = {},
  ): Promise<StreamClient> {
    const client = await StreamClient.open(port, id);
    client.say({ type: 'start', args, ...more });
    return client;
  }

  say(message: object): void {
    this.socket.send(JSON.stringify(message));
  }

  write(text: string | Buffer): void {
    this.socket.send(Buffer.concat([Buffer.from([0]), Buffer.from(text)]));
  }

  get out(): string {
    return Buffer.concat(this.stdout).toString();
  }

  get err(): string {
    return Buffer.concat(this.stderr).toString();
  }

  /** Waits until something holds of what has come. */
  async until(holds: (client: this) => boolean): Promise<void> {
    while (!holds(this)) {
      if (this.end !== undefined) {
        throw new Error(
          `the stream was closed first: ${this.end.code} ${this.end.reason} ${JSON.stringify(this.messages)} ${this.out}`,
        );
      }
      await new Promise<void>((resolve) => {
        this.wake.push(resolve);
      });
    }
  }

  /** The message of a type, which must be the only one of it, once the stream is closed. */
  async last(type: string): Promise<Message> {
    await this.closed;
    const found = this.messages.filter((message) => message['type'] === type);
    if (found.length !== 1)
      throw new Error(`${found.length} messages ${type}: ${JSON.stringify(this.messages)}`);
    return found[0] ?? {};
  }

  private stir(): void {
    for (const resolve of this.wake.splice(0)) resolve();
  }
}
