import 'reflect-metadata';
import type { LoggerService } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { type AppImport, AppModule } from './app.module';
import type { DaemonConfig } from './common/config/daemon-config';
import { HttpAdapter } from './common/http/http-adapter';
import { logRequests } from './common/http/request-log';
import { RequestPipeline } from './common/http/request-pipeline';
import { RouteTable } from './common/http/route-table';
import { TlsFiles } from './common/http/tls-files';
import { DaemonLogger, loggerParams } from './common/logging/daemon-logger';
import { AuditSink } from './modules/audit/audit-sink';
import { TokenFile } from './modules/auth/token-file';

export interface CreateAppOptions {
  /** Modules on top of the daemon's own. */
  readonly imports?: readonly AppImport[];
  /** Takes the place of the log on standard output. */
  readonly logger?: LoggerService;
}

/**
 * Makes the daemon, ready to listen: registry loaded, token checked, audit log open, modules started.
 *
 * @throws errors whose message says what to change; nothing is left open then.
 */
export async function createApp(
  config: DaemonConfig,
  options: CreateAppOptions = {},
): Promise<NestFastifyApplication> {
  const pipeline = new RequestPipeline();
  const routes = new RouteTable();
  const foundation = { pipeline, routes, logger: await loggerParams(config.logLevel) };
  const app = await NestFactory.create<NestFastifyApplication>(
    AppModule.forRoot(config, foundation, options.imports ?? []),
    new HttpAdapter(pipeline, routes, await tlsFiles(config)),
    // Start errors are the caller's to report, in one line; so the framework must not print its own.
    { abortOnError: false, bodyParser: false, bufferLogs: true, autoFlushLogs: false },
  );
  return openApp(app, config, pipeline, options.logger);
}

/**
 * Opens what an application that was put together needs, in this order: log, audit log, modules, routes.
 *
 * @throws errors whose message says what to change; the application is closed then.
 */
export async function openApp(
  app: NestFastifyApplication,
  config: DaemonConfig,
  pipeline: RequestPipeline,
  logger?: LoggerService,
): Promise<NestFastifyApplication> {
  try {
    app.useLogger(logger ?? app.get(DaemonLogger));
    app.flushLogs();
    if (config.logLevel === 'debug' || config.logLevel === 'trace') logRequests(pipeline);
    await app.get(AuditSink).open();
    await app.init();
    await app.getHttpAdapter().getInstance().ready();
    return app;
  } catch (error) {
    await app.close();
    throw error;
  }
}

/** Reads anew what an operator may replace while the daemon runs; SIGHUP asks for it. Never rejects. */
export async function reloadFiles(app: NestFastifyApplication): Promise<void> {
  const adapter: unknown = app.getHttpAdapter();
  await Promise.all([
    app.get(AuditSink).reopen(),
    app.get(TokenFile).reload(),
    adapter instanceof HttpAdapter ? adapter.reloadTls() : undefined,
  ]);
}

async function tlsFiles({ tlsCert, tlsKey }: DaemonConfig): Promise<TlsFiles | undefined> {
  if (tlsCert === undefined || tlsKey === undefined) return undefined;
  return TlsFiles.load(tlsCert, tlsKey);
}
