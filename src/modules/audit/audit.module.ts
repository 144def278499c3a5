import { Global, Module, type OnApplicationShutdown } from '@nestjs/common';
import { DaemonConfig } from '../../common/config/daemon-config';
import { MetricsModule } from '../metrics/metrics.module';
import { MetricsService } from '../metrics/metrics.service';
import { AuditRecorder } from './audit-recorder';
import { AuditSink } from './audit-sink';

/** Writes one line per request to the audit log, whatever became of the request. Global, as any route may be audited. */
@Global()
@Module({
  imports: [MetricsModule],
  providers: [
    {
      provide: AuditSink,
      inject: [DaemonConfig],
      useFactory: (config: DaemonConfig) => new AuditSink(config.auditLogPath),
    },
    AuditRecorder,
  ],
  exports: [AuditSink, AuditRecorder],
})
export class AuditModule implements OnApplicationShutdown {
  constructor(
    private readonly sink: AuditSink,
    metrics: MetricsService,
  ) {
    metrics.addCounter(
      'forkd_audit_failures_total',
      'Audit lines that could not be written when they should have been.',
      () => sink.failures,
    );
    metrics.addGauge(
      'forkd_audit_lines_waiting',
      'Audit lines that are not in the file yet.',
      () => sink.waiting,
    );
  }

  /** After the last response, so that its line is in. */
  async onApplicationShutdown(): Promise<void> {
    await this.sink.close();
  }
}
