import { Module } from '@nestjs/common';
import { PrometheusModule } from '@willsoto/nestjs-prometheus';
import { RegistryModule } from '../registry/registry.module';
import { MetricsController } from './metrics.controller';
import { MetricsService } from './metrics.service';

/** Offers {@link MetricsService} to modules with something to count. */
@Module({ imports: [RegistryModule], providers: [MetricsService], exports: [MetricsService] })
export class MetricsModule {}

/** Serves the metrics. The process-wide collection of the client library stays empty: each application has its own. */
@Module({
  imports: [
    PrometheusModule.registerAsync({
      imports: [MetricsModule],
      controller: MetricsController,
      useFactory: () => ({ defaultMetrics: { enabled: false } }),
    }),
  ],
})
export class MetricsEndpointModule {}
