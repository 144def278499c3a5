import { createConnection, type Socket } from 'node:net';

const HEAD_END = '\r\n\r\n';

/**
 * An HTTP client that costs next to nothing: one connection that stays open, one request at a time. What it measures is the
 * daemon, as the baseline's bare socket measures the agent.
 */
export class BareClient {
  private received: Buffer = Buffer.alloc(0);
  private settle: { resolve: (status: number) => void; reject: (error: Error) => void } | undefined;

  private constructor(private readonly socket: Socket) {
    socket.setNoDelay(true);
    socket.on('data', (chunk) => {
      this.received = Buffer.concat([this.received, chunk]);
      this.take();
    });
    socket.on('error', (error) => this.settle?.reject(error));
    socket.on('close', () => this.settle?.reject(new Error('the daemon closed the connection')));
  }

  static async connect(port: number): Promise<BareClient> {
    const socket = createConnection(port, '127.0.0.1');
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    return new BareClient(socket);
  }

  /** @returns the status, once the whole answer is in. */
  post(path: string, body: string): Promise<number> {
    return new Promise((resolve, reject) => {
      this.settle = { resolve, reject };
      this.socket.write(
        `POST ${path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n` +
          `content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
      );
    });
  }

  close(): void {
    this.socket.destroy();
  }

  private take(): void {
    const headEnd = this.received.indexOf(HEAD_END);
    if (headEnd < 0) return;
    const head = this.received.toString('latin1', 0, headEnd);
    const end = headEnd + HEAD_END.length + Number(/^content-length: *(\d+)/im.exec(head)?.[1]);
    if (!(this.received.length >= end)) return;
    this.received = this.received.subarray(end);
    this.settle?.resolve(Number(head.slice('HTTP/1.1 '.length, 'HTTP/1.1 200'.length)));
  }
}
