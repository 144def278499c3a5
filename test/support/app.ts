import { Module, type Type } from '@nestjs/common';
import type { LoggerService } from '@nestjs/common';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { FastifyInstance } from 'fastify';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { Agent, request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createApp } from '../../src/app.factory';
import type { AppImport } from '../../src/app.module';
import { DaemonConfig, type DaemonSettings } from '../../src/common/config/daemon-config';
import { type FinishedRequest, RequestPipeline } from '../../src/common/http/request-pipeline';
import { AuditSink } from '../../src/modules/audit/audit-sink';

export const TEST_TOKEN = 'correct-horse-battery-staple';

export interface StartOptions {
  readonly settings?: Partial<DaemonSettings>;
  /** Written to a token file that the daemon is given. */
  readonly token?: string;
  readonly controllers?: readonly Type[];
  readonly imports?: readonly AppImport[];
  /** Content of state.json before the start. */
  readonly state?: string;
  readonly logger?: LoggerService;
}

export interface Sent {
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Buffer;
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  /** The body as JSON; throws when it is none. */
  json(): unknown;
}

export interface AuditEntry {
  readonly method: string;
  readonly path: string;
  readonly status: number;
  readonly ua: string;
  readonly ts: string;
  readonly latency_us: number;
  readonly action?: string;
  readonly targets?: string[];
}

/** The settings of a daemon that touches nothing outside the directory. */
export function settingsIn(directory: string): DaemonSettings {
  return {
    bindHost: '127.0.0.1',
    bindPort: 0,
    statePath: join(directory, 'state.json'),
    snapshotRoot: join(directory, 'snapshots'),
    auditLogPath: join(directory, 'log/audit.log'),
    prewarmScratchDir: join(directory, 'prewarm'),
    branchConcurrency: 4,
    engine: 'qemu',
    runDir: join(directory, 'run'),
    imageRoot: join(directory, 'images'),
    logLevel: 'silent',
  };
}

/** A daemon under test, listening on an ephemeral port of loopback. */
export class TestApp {
  private readonly finished: FinishedRequest[] = [];
  private readonly waiting: { count: number; resolve: () => void }[] = [];

  private constructor(
    readonly directory: string,
    readonly config: DaemonConfig,
    readonly nest: NestFastifyApplication,
    readonly port: number,
  ) {
    nest.get(RequestPipeline).onFinished((finished) => {
      this.finished.push(finished);
      for (const waiter of this.waiting) if (this.finished.length >= waiter.count) waiter.resolve();
    });
  }

  static async start(options: StartOptions = {}): Promise<TestApp> {
    const directory = await mkdtemp(join(tmpdir(), 'forkd-test-'));
    try {
      const tokenFile = join(directory, 'token');
      if (options.token !== undefined) await writeFile(tokenFile, `${options.token}\n`);
      const config = new DaemonConfig({
        ...settingsIn(directory),
        ...(options.token === undefined ? {} : { tokenFile }),
        ...options.settings,
      });
      if (options.state !== undefined) await writeFile(config.statePath, options.state);
      @Module({ controllers: [...(options.controllers ?? [])] })
      class TestModule {}
      const nest = await createApp(config, {
        imports: [TestModule, ...(options.imports ?? [])],
        ...(options.logger === undefined ? {} : { logger: options.logger }),
      });
      const instance: FastifyInstance = nest.getHttpAdapter().getInstance();
      await instance.listen({ host: '127.0.0.1', port: 0 });
      const address = instance.server.address();
      if (address === null || typeof address === 'string') throw new Error('the server has no port');
      return new TestApp(directory, config, nest, address.port);
    } catch (error) {
      await rm(directory, { recursive: true, force: true });
      throw error;
    }
  }

  /** Stops the daemon and removes its directory. */
  async close(): Promise<void> {
    await this.nest.close();
    await rm(this.directory, { recursive: true, force: true });
  }

  /** Sends one request on a connection of its own, with exactly these headers. */
  send(method: string, path: string, { headers = {}, body }: Sent = {}): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const agent = new Agent({ keepAlive: false });
      const request = httpRequest({ host: '127.0.0.1', port: this.port, method, path, headers, agent });
      request.once('error', reject);
      request.once('response', (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.once('error', reject);
        response.once('end', () => {
          const text = Buffer.concat(chunks).toString();
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            text,
            json: (): unknown => JSON.parse(text),
          });
        });
      });
      request.end(body);
    });
  }

  /** Sends JSON text (or a value as JSON) with the JSON content type. */
  sendJson(
    method: string,
    path: string,
    body: unknown,
    headers: Record<string, string> = {},
  ): Promise<Answer> {
    return this.send(method, path, {
      headers: { 'content-type': 'application/json', ...headers },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    });
  }

  /** Waits until `count` requests are over and it was tried to write their audit lines. */
  async requestsOver(count: number): Promise<void> {
    if (this.finished.length < count) {
      await new Promise<void>((resolve) => {
        this.waiting.push({ count, resolve });
      });
    }
    await this.nest.get(AuditSink).flush();
  }

  /** The audit log once `count` requests are over. */
  async auditText(count: number): Promise<string> {
    await this.requestsOver(count);
    return readFile(this.config.auditLogPath, 'utf8');
  }

  async auditEntries(count: number): Promise<AuditEntry[]> {
    const text = await this.auditText(count);
    return text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as AuditEntry);
  }
}
