import { Module, type OnModuleInit } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import type { FastifyAdapter } from '@nestjs/platform-fastify';
import { HealthController } from './health.controller';
import { HEALTH_DOCUMENTATION } from './wire-schemas';

@Module({ controllers: [HealthController], providers: [] })
export class HealthModule implements OnModuleInit {
  constructor(private readonly host: HttpAdapterHost<FastifyAdapter>) {}

  /** Probes ask for /healthz/ as well, and Nest strips trailing slashes of its routes. */
  onModuleInit(): void {
    const documentation = { ...HEALTH_DOCUMENTATION, id: 'getHealthWithSlash' };
    this.host.httpAdapter
      .getInstance()
      .get('/healthz/', { config: { access: 'public', documentation } }, () => Promise.resolve({ ok: true }));
  }
}
