/**
 * A daemon for the HTTP figures, in a process of its own; prints its port and ends with its standard input. With the argument `off`
 * it has no audit log at all, which the product does not offer.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import { createApp, openApp } from '../../src/app.factory';
import { AppModule } from '../../src/app.module';
import { DaemonConfig } from '../../src/common/config/daemon-config';
import { HttpAdapter } from '../../src/common/http/http-adapter';
import { RequestPipeline } from '../../src/common/http/request-pipeline';
import { RouteTable } from '../../src/common/http/route-table';
import { loggerParams } from '../../src/common/logging/daemon-logger';
import { AuditRecorder } from '../../src/modules/audit/audit-recorder';
import { settingsIn } from '../support/app';

async function withoutAudit(config: DaemonConfig): Promise<NestFastifyApplication> {
  const [pipeline, routes] = [new RequestPipeline(), new RouteTable()];
  const foundation = { pipeline, routes, logger: await loggerParams(config.logLevel) };
  const module = await Test.createTestingModule({ imports: [AppModule.forRoot(config, foundation, [])] })
    .overrideProvider(AuditRecorder)
    .useValue({ requireWritable: () => Promise.resolve() })
    .compile();
  const app = module.createNestApplication<NestFastifyApplication>(new HttpAdapter(pipeline, routes), {
    abortOnError: false,
    bodyParser: false,
  });
  return openApp(app, config, pipeline);
}

async function main(): Promise<void> {
  const root = await mkdtemp('/tmp/fkb-');
  const config = new DaemonConfig({ ...settingsIn(root), logLevel: 'error' });
  const app = await (process.argv[2] === 'off' ? withoutAudit(config) : createApp(config));
  await app.listen(0, '127.0.0.1');
  const address: unknown = app.getHttpServer().address();
  if (typeof address === 'object' && address !== null && 'port' in address)
    process.stdout.write(`${String(address.port)}\n`);
  process.stdin.resume();
  await new Promise((resolve) => process.stdin.once('end', resolve));
  await app.close();
  await rm(root, { recursive: true, force: true });
}

void main();
