import { Module, type OnModuleInit } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import type { FastifyAdapter } from '@nestjs/platform-fastify';
import { HealthController } from './health.controller';

@Module({ controllers: [HealthController], providers: [] })
export class HealthModule implements OnModuleInit {
  constructor(private readonly host: HttpAdapterHost<FastifyAdapter>) {}

  /** Probes ask for /healthz/ as well, and Nest strips trailing slashes of its routes. */
  onModuleInit(): void {
    this.host.httpAdapter
      .getInstance()
      .get('/healthz/', { config: { access: 'public' } }, () => Promise.resolve({ ok: true }));
  }
}
