import 'reflect-metadata';
import type { LoggerService } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { readFile } from 'node:fs/promises';
import { type AppImport, AppModule } from './app.module';
import type { DaemonConfig } from './common/config/daemon-config';
import { DomainError, errorMessage } from './common/errors/domain-error';
import { HttpAdapter, type TlsMaterial } from './common/http/http-adapter';
import { logRequests } from './common/http/request-log';
import { RequestPipeline } from './common/http/request-pipeline';
import { RouteTable } from './common/http/route-table';
import { DaemonLogger, loggerParams } from './common/logging/daemon-logger';
import { AuditSink } from './modules/audit/audit-sink';

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
    new HttpAdapter(pipeline, routes, await tlsMaterial(config)),
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

async function tlsMaterial({ tlsCert, tlsKey }: DaemonConfig): Promise<TlsMaterial | undefined> {
  if (tlsCert === undefined || tlsKey === undefined) return undefined;
  const read = async (flag: string, path: string): Promise<string> => {
    try {
      return await readFile(path, 'utf8');
    } catch (error) {
      throw new DomainError('invalid', `${flag} ${path} cannot be read: ${errorMessage(error)}`);
    }
  };
  return { cert: await read('--tls-cert', tlsCert), key: await read('--tls-key', tlsKey) };
}
