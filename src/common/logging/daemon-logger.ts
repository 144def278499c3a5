import { Logger, type Params } from 'nestjs-pino';
import { Injectable } from '@nestjs/common';
import { destination, type DestinationStream, type LoggerOptions, stdTimeFunctions } from 'pino';
import type { LogLevel } from '../config/daemon-config';
import { currentRequestId } from '../http/request-context';

/** Nest's own running commentary on its start. */
const FRAMEWORK_CONTEXTS: ReadonlySet<unknown> = new Set([
  'InstanceLoader',
  'NestApplication',
  'NestFactory',
  'RouterExplorer',
  'RoutesResolver',
]);

/** The log as Nest uses it; the framework's commentary is only for those who debug. */
@Injectable()
export class DaemonLogger extends Logger {
  override log(message: unknown, ...rest: unknown[]): void {
    if (FRAMEWORK_CONTEXTS.has(rest.at(-1))) this.debug(message, ...rest);
    else super.log(message, ...rest);
  }
}

/** Options of every log line: level by name, ISO time, the request's id, nothing secret. */
export function logOptions(level: LogLevel): LoggerOptions {
  return {
    level,
    base: null,
    timestamp: stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    redact: ['req.headers.authorization', 'req.headers.cookie', 'req.headers["x-api-key"]'],
    mixin: () => {
      const requestId = currentRequestId();
      return requestId === undefined ? {} : { request_id: requestId };
    },
  };
}

/** Parameters of nestjs-pino: no per-request middleware, the pipeline logs requests. */
export async function loggerParams(level: LogLevel): Promise<Params> {
  return { pinoHttp: [logOptions(level), await logStream()], forRoutes: [] };
}

/** Standard output: JSON lines, or readable ones on a terminal. Written in the background, flushed at exit. */
async function logStream(): Promise<DestinationStream> {
  if (!process.stdout.isTTY) return destination({ dest: 1, sync: false });
  const { default: pretty } = await import('pino-pretty');
  return pretty({
    colorize: true,
    ignore: 'pid,hostname',
    translateTime: 'SYS:HH:MM:ss.l',
    singleLine: true,
  });
}
