import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { WebSocket } from 'ws';
import { type HttpTarget, unreachable } from '../api/http';
import { refusal } from '../api/refusal';
import { CliError, ExitCode } from '../errors';

/** The contract is the daemon's docs/exec-stream.md. */
const PROTOCOL = 'forkd.exec.v1';
const STDIN = 0;
const STDOUT = 1;
const WINDOW_BYTES = 262_144;
const MAX_DATA_BYTES = 65_536;
const CONNECT_TIMEOUT_MS = 10_000;

export interface Size {
  readonly rows: number;
  readonly cols: number;
}

/** What is to run, in the daemon's words. */
export interface StartRequest {
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly user?: string;
  readonly stdin: boolean;
  readonly tty?: Size;
  readonly timeout_secs?: number;
}

export interface ProgramExit {
  /** Minus the signal's number when a signal ended the program. */
  readonly exitCode: number;
  readonly timedOut: boolean;
  readonly truncated: boolean;
}

export interface StreamEvents {
  /** Returns whether more may come now; else {@link ExecStream.resume} is to be called. */
  onOutput(pipe: 'stdout' | 'stderr', bytes: Buffer): boolean;
  /** Standard input may be written again. */
  onRoom(): void;
}

/** A daemon that has no streams answers as for any path it does not know. */
export class NoStreams extends Error {}

/** The client's end of a streamed exec. */
export class ExecStream {
  /** How the program ended. Rejects with a CliError when that is not known. */
  readonly ended: Promise<ProgramExit>;
  private room = WINDOW_BYTES;
  private exit: ProgramExit | undefined;
  private failure: CliError | undefined;

  private constructor(
    private readonly socket: WebSocket,
    private readonly events: StreamEvents,
  ) {
    socket.on('message', (data: Buffer, isBinary: boolean) => {
      if (isBinary) this.onOutput(data);
      else this.onMessage(data.toString('utf8'));
    });
    this.ended = new Promise((resolve, reject) => {
      socket.once('close', (code, reason) => {
        if (this.exit !== undefined) resolve(this.exit);
        else reject(this.failure ?? lost(code, reason.toString('utf8')));
      });
    });
    // It may be looked at later than it fails.
    this.ended.catch(() => undefined);
  }

  /**
   * Opens a stream to a sandbox.
   *
   * @throws CliError as requests do; NoStreams when the daemon is too old.
   */
  static async open(target: HttpTarget, id: string, events: StreamEvents): Promise<ExecStream> {
    const url = new URL(target.url);
    url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
    url.pathname = `${url.pathname.replace(/\/+$/, '')}/v1/sandboxes/${encodeURIComponent(id)}/exec/stream`;
    const socket = new WebSocket(url, PROTOCOL, {
      handshakeTimeout: CONNECT_TIMEOUT_MS,
      perMessageDeflate: false,
      headers: {
        'user-agent': target.userAgent,
        ...(target.token === undefined ? {} : { authorization: `Bearer ${target.token}` }),
      },
    });
    const answered = new Promise<never>((_, reject) => {
      socket.once('unexpected-response', (_request, response: IncomingMessage) => {
        readAnswer(response).then((text) => {
          const status = response.statusCode ?? 0;
          reject(status === 404 && text === '' ? new NoStreams() : refusal({ status, text }));
          socket.terminate();
        }, reject);
      });
      // Stays, as an error after the opening has its say in the close that follows.
      socket.on('error', (error) => {
        reject(unreachable(error, target.url));
      });
    });
    answered.catch(() => undefined);
    const stream = new ExecStream(socket, events);
    await Promise.race([once(socket, 'open'), answered]);
    return stream;
  }

  start(request: StartRequest): void {
    this.say({ type: 'start', ...request });
  }

  /** Writes as much standard input as there is room for; returns the rest. */
  write(bytes: Buffer): Buffer {
    let rest = bytes;
    while (rest.length > 0 && this.room > 0) {
      const piece = rest.subarray(0, Math.min(this.room, MAX_DATA_BYTES));
      this.room -= piece.length;
      this.send(Buffer.concat([Buffer.from([STDIN]), piece]));
      rest = rest.subarray(piece.length);
    }
    return rest;
  }

  endInput(): void {
    this.say({ type: 'stdin_end' });
  }

  signal(signal: NodeJS.Signals): void {
    this.say({ type: 'signal', signal });
  }

  resize({ rows, cols }: Size): void {
    this.say({ type: 'resize', rows, cols });
  }

  /** Takes output again. */
  resume(): void {
    this.socket.resume();
  }

  /** Leaves at once; the daemon kills the program. */
  leave(): void {
    this.socket.terminate();
  }

  private onOutput(data: Buffer): void {
    const more = this.events.onOutput(data[0] === STDOUT ? 'stdout' : 'stderr', data.subarray(1));
    if (!more) this.socket.pause();
  }

  private onMessage(text: string): void {
    const message = JSON.parse(text) as Readonly<Record<string, unknown>>;
    switch (message['type']) {
      case 'window':
        this.room += Number(message['bytes']);
        this.events.onRoom();
        return;
      case 'exit':
        this.exit = {
          exitCode: Number(message['exit_code']),
          timedOut: message['timed_out'] === true,
          truncated: message['truncated'] === true,
        };
        return;
      case 'error':
        this.failure = failure(String(message['code']), String(message['error']));
    }
  }

  private say(message: object): void {
    this.send(JSON.stringify(message));
  }

  private send(data: string | Buffer): void {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(data);
  }
}

async function readAnswer(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('utf8');
}

function failure(code: string, text: string): CliError {
  const exitCode =
    code === 'not_found' ? ExitCode.notFound : code === 'conflict' ? ExitCode.conflict : ExitCode.failed;
  return new CliError(exitCode, text);
}

function lost(code: number, reason: string): CliError {
  if (code === 1001) {
    return new CliError(
      ExitCode.unreachable,
      'the daemon is shutting down',
      'The program runs on in the sandbox, without anybody who reads its output.',
    );
  }
  return new CliError(
    ExitCode.unreachable,
    `the connection to the daemon was lost${reason === '' ? '' : `: ${reason}`}`,
    "See whether it runs with `forkd status`, and look at the daemon's log.",
  );
}
