import { type DynamicModule, Module, type Type } from '@nestjs/common';
import { LoggerModule, type Params } from 'nestjs-pino';
import { ConfigModule } from './common/config/config.module';
import { DaemonConfig } from './common/config/daemon-config';
import { HttpModule } from './common/http/http.module';
import type { RequestPipeline } from './common/http/request-pipeline';
import type { RouteTable } from './common/http/route-table';
import { LifecycleModule } from './common/lifecycle/lifecycle.module';
import { DaemonLogger } from './common/logging/daemon-logger';
import { AuditModule } from './modules/audit/audit.module';
import { AuthModule } from './modules/auth/auth.module';
import { HealthModule } from './modules/health/health.module';
import { MetricsEndpointModule, MetricsModule } from './modules/metrics/metrics.module';
import { OpenApiModule } from './modules/openapi/openapi.module';
import { PacksModule } from './modules/packs/packs.module';
import { RegistryModule } from './modules/registry/registry.module';
import { SandboxesModule } from './modules/sandboxes/sandboxes.module';
import { SnapshotsModule } from './modules/snapshots/snapshots.module';
import { WorkspacesModule } from './modules/workspaces/workspaces.module';

export type AppImport = Type | DynamicModule;

/** What exists before the application: its transport and its log. */
export interface Foundation {
  readonly pipeline: RequestPipeline;
  readonly routes: RouteTable;
  readonly logger: Params;
}

/** What happens on the host. Its modules do the product's work. */
const PRODUCT_MODULES: AppImport[] = [SnapshotsModule, PacksModule, SandboxesModule, WorkspacesModule];

/** The composition root: the only place that lists all modules. */
@Module({})
export class AppModule {
  /** @param extra further modules, for tests. */
  static forRoot(config: DaemonConfig, foundation: Foundation, extra: readonly AppImport[]): DynamicModule {
    return {
      module: AppModule,
      imports: [
        ConfigModule.forRoot(config),
        LifecycleModule,
        LoggerModule.forRoot(foundation.logger),
        HttpModule.forRoot(foundation.pipeline, foundation.routes),
        AuditModule,
        AuthModule,
        RegistryModule,
        HealthModule,
        MetricsModule,
        MetricsEndpointModule,
        OpenApiModule,
        ...PRODUCT_MODULES,
        ...extra,
      ],
      providers: [DaemonLogger],
    };
  }
}
