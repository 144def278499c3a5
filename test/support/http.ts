import { request as httpRequest, type IncomingHttpHeaders } from 'node:http';

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

export interface RequestOptions {
  /** Sent as JSON. */
  readonly json?: unknown;
  /** Sent as it is, in place of `json`. */
  readonly body?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Closes the connection when it fires; the call rejects then. */
  readonly signal?: AbortSignal;
}

/** A small HTTP client for tests: says exactly what it is told, and returns whatever comes. */
export class TestClient {
  constructor(readonly port: number) {}

  send(method: string, path: string, options: RequestOptions = {}): Promise<Answer> {
    const body = options.json === undefined ? options.body : JSON.stringify(options.json);
    const headers = {
      ...(options.json === undefined || body === undefined
        ? {}
        : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }),
      ...options.headers,
    };
    return new Promise((resolve, reject) => {
      const request = httpRequest({
        host: '127.0.0.1',
        port: this.port,
        method,
        path,
        headers,
        signal: options.signal,
        agent: false,
      });
      request.once('error', reject);
      request.once('response', (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.once('error', reject);
        response.once('end', () => {
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            text: Buffer.concat(chunks).toString('utf8'),
          });
        });
      });
      request.end(body);
    });
  }

  /** The JSON of an answer that must have this status. */
  async json<T>(expected: number, method: string, path: string, json?: unknown): Promise<T> {
    const answer = await this.send(method, path, json === undefined ? {} : { json });
    if (answer.status !== expected) {
      throw new Error(`${method} ${path}: expected ${expected}, got ${answer.status}: ${answer.text}`);
    }
    return (answer.text === '' ? undefined : JSON.parse(answer.text)) as T;
  }

  /** The `error` text of an answer that must have this status and nothing but that member. */
  async error(expected: number, method: string, path: string, json?: unknown): Promise<string> {
    const body = await this.json<Record<string, unknown>>(expected, method, path, json);
    const { error } = body;
    if (typeof error !== 'string' || Object.keys(body).length !== 1) {
      throw new Error(`${method} ${path}: not an error body: ${JSON.stringify(body)}`);
    }
    return error;
  }
}
