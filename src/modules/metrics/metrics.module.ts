import { Module } from '@nestjs/common';
import { PrometheusModule } from '@willsoto/nestjs-prometheus';
import { register as processMetrics } from 'prom-client';
import { RegistryModule } from '../registry/registry.module';
import { HostMetrics } from './host-metrics';
import { MetricsController } from './metrics.controller';
import { MetricsService } from './metrics.service';
import { OperationMetrics } from './operation-metrics';
import { RegistryMetrics } from './registry-metrics';
import { RequestMetrics } from './request-metrics';

/** Finer would wake an idle daemon up more often, for lags that nobody feels. */
const EVENT_LOOP_PRECISION_MS = 20;

/** Offers {@link OperationMetrics} and {@link MetricsService} to modules with something to count. */
@Module({
  imports: [RegistryModule],
  providers: [MetricsService, HostMetrics, OperationMetrics, RegistryMetrics, RequestMetrics],
  exports: [MetricsService, OperationMetrics],
})
export class MetricsModule {}

/**
 * Serves the metrics. The client library's own collection is that of the process (CPU, memory, files, event loop): it is filled
 * once, also where a test runs several applications.
 */
@Module({
  imports: [
    PrometheusModule.registerAsync({
      imports: [MetricsModule],
      controller: MetricsController,
      useFactory: () => ({
        defaultMetrics: {
          enabled: processMetrics.getMetricsAsArray().length === 0,
          config: { eventLoopMonitoringPrecision: EVENT_LOOP_PRECISION_MS },
        },
      }),
    }),
  ],
})
export class MetricsEndpointModule {}
