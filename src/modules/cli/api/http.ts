import http from 'node:http';
import https from 'node:https';
import type { Readable } from 'node:stream';
import { CliError, ExitCode } from '../errors';

export interface HttpRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** Path and query, from the root of the daemon's address. */
  readonly path: string;
  readonly body?: unknown;
  /** Upper bound from the request to the whole answer. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

/** A request whose bodies take the time they take. */
export interface StreamRequest {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly body?: Readable;
  /** Length of the body, where it is known. */
  readonly bytes?: number;
  readonly signal: AbortSignal;
}

export interface HttpAnswer {
  readonly status: number;
  readonly text: string;
}

export interface HttpTarget {
  readonly url: URL;
  readonly token?: string;
  readonly userAgent: string;
}

const CONNECT_TIMEOUT_MS = 5_000;

/** Requests to one daemon over kept-alive connections. */
export class HttpTransport {
  private readonly agent: http.Agent;

  constructor(private readonly target: HttpTarget) {
    const options = { keepAlive: true, maxSockets: 32 };
    this.agent = this.secure ? new https.Agent(options) : new http.Agent(options);
  }

  private get secure(): boolean {
    return this.target.url.protocol === 'https:';
  }

  /** Settles with any complete answer; rejects with a CliError when there is none. */
  send(request: HttpRequest): Promise<HttpAnswer> {
    return new Promise<HttpAnswer>((resolve, reject) => {
      const base = this.target.url.pathname.replace(/\/+$/, '');
      const payload = request.body === undefined ? undefined : Buffer.from(JSON.stringify(request.body));
      const outgoing = (this.secure ? https : http).request(
        this.target.url,
        {
          method: request.method,
          path: base + request.path,
          agent: this.agent,
          headers: this.headers(payload),
          ...(request.signal === undefined ? {} : { signal: request.signal }),
        },
        (incoming) => {
          const chunks: Buffer[] = [];
          incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
          incoming.once('error', fail);
          incoming.once('end', () => {
            clearTimers();
            resolve({ status: incoming.statusCode ?? 0, text: Buffer.concat(chunks).toString('utf8') });
          });
        },
      );
      const total = setTimeout(() => {
        outgoing.destroy(this.timedOut(request));
      }, request.timeoutMs);
      let connecting: NodeJS.Timeout | undefined;
      const clearTimers = (): void => {
        clearTimeout(total);
        clearTimeout(connecting);
      };
      const fail = (error: Error): void => {
        clearTimers();
        reject(error instanceof CliError ? error : this.unreachable(error, request));
      };
      outgoing.once('error', fail);
      outgoing.once('socket', (socket) => {
        if (!socket.connecting) return;
        connecting = setTimeout(() => {
          outgoing.destroy(this.connectTimedOut());
        }, CONNECT_TIMEOUT_MS);
        socket.once('connect', () => {
          clearTimeout(connecting);
        });
      });
      outgoing.end(payload);
    });
  }

  /**
   * Settles with the head of any answer, also while the body is still being sent, which is given up then. Rejects with a
   * CliError when there is none.
   */
  stream(request: StreamRequest): Promise<http.IncomingMessage> {
    return new Promise((resolve, reject) => {
      const { method, path, body, bytes, signal } = request;
      const base = this.target.url.pathname.replace(/\/+$/, '');
      const outgoing = (this.secure ? https : http).request(this.target.url, {
        method,
        path: base + path,
        agent: this.agent,
        signal,
        headers: {
          ...this.headers(undefined),
          ...(body === undefined ? {} : { 'content-type': 'application/zstd' }),
          ...(bytes === undefined ? {} : { 'content-length': String(bytes) }),
        },
      });
      outgoing.once('response', (answer) => {
        body?.unpipe(outgoing);
        resolve(answer);
      });
      outgoing.on('error', (error) => {
        reject(error instanceof CliError ? error : this.unreachable(error, request));
      });
      if (body === undefined) outgoing.end();
      else {
        body.once('error', (error) => {
          outgoing.destroy(error);
        });
        body.pipe(outgoing);
      }
    });
  }

  /** Closes idle connections, so that nothing keeps the process alive. */
  close(): void {
    this.agent.destroy();
  }

  private headers(payload: Buffer | undefined): Record<string, string> {
    return {
      accept: 'application/json',
      'user-agent': this.target.userAgent,
      ...(this.target.token === undefined ? {} : { authorization: `Bearer ${this.target.token}` }),
      ...(payload === undefined
        ? {}
        : { 'content-type': 'application/json', 'content-length': String(payload.length) }),
    };
  }

  private timedOut(request: HttpRequest): CliError {
    return new CliError(
      ExitCode.failed,
      `${this.target.url.origin} did not answer ${request.method} ${request.path} within ${request.timeoutMs / 1000} s`,
      'The daemon may be overloaded: look at its log and at `forkd status`.',
    );
  }

  private connectTimedOut(): CliError {
    return new CliError(
      ExitCode.unreachable,
      `no connection to ${this.target.url.origin} within ${CONNECT_TIMEOUT_MS / 1000} s`,
      'Check FORKD_URL or --url, and that no firewall is in between.',
    );
  }

  private unreachable(error: Error, request: Pick<HttpRequest, 'signal'>): CliError {
    if (request.signal?.aborted === true) {
      return new CliError(ExitCode.failed, 'interrupted', undefined, { cause: error });
    }
    return unreachable(error, this.target.url);
  }
}

/** Why no connection to the daemon came about, or why it broke. */
export function unreachable(error: Error, { origin, protocol }: URL): CliError {
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  const [reason, hint] = connectionProblem(code, error.message, protocol === 'https:');
  return new CliError(ExitCode.unreachable, `cannot reach the daemon at ${origin}: ${reason}`, hint, {
    cause: error,
  });
}

function connectionProblem(code: string, message: string, secure: boolean): [reason: string, hint: string] {
  const start = 'Start it with `forkd-controller serve`, or point FORKD_URL or --url at the one that runs.';
  if (code === 'ECONNREFUSED') return ['nothing listens there', start];
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN')
    return ['the host name is not known', 'Check FORKD_URL or --url.'];
  if (code === 'ECONNRESET' || code === 'EPIPE' || message === 'socket hang up') {
    return [
      'the connection was closed before an answer came',
      secure
        ? 'Does the daemon speak TLS at this address? Try http:// in FORKD_URL or --url.'
        : 'If the daemon speaks TLS, use https:// in FORKD_URL or --url; otherwise look at its log.',
    ];
  }
  if (code === 'EPROTO' || code.startsWith('HPE_')) {
    return [message, 'Check whether FORKD_URL or --url needs http:// or https://.'];
  }
  if (code.includes('CERT') || code.includes('SIGNATURE') || code.includes('ISSUER')) {
    return [
      `its certificate is not accepted (${code})`,
      'For a private authority set NODE_EXTRA_CA_CERTS to its PEM file, and use the name in the certificate.',
    ];
  }
  return [code === '' ? message : `${message} (${code})`, start];
}
