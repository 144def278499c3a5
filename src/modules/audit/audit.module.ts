import { Module, type OnApplicationShutdown } from '@nestjs/common';
import { DaemonConfig } from '../../common/config/daemon-config';
import { RequestPipeline } from '../../common/http/request-pipeline';
import { auditLine } from './audit-line';
import { AuditSink } from './audit-sink';
import { auditDetailOf } from './audited.decorator';

/** Writes one line per request to the audit log, whatever became of the request. */
@Module({
  providers: [
    {
      provide: AuditSink,
      inject: [DaemonConfig],
      useFactory: (config: DaemonConfig) => new AuditSink(config.auditLogPath),
    },
  ],
  exports: [AuditSink],
})
export class AuditModule implements OnApplicationShutdown {
  constructor(
    private readonly sink: AuditSink,
    pipeline: RequestPipeline,
  ) {
    pipeline.onFinished((finished) => {
      sink.append(auditLine(finished, new Date(), auditDetailOf(finished.request)));
    });
  }

  /** After the last response, so that its line is in. */
  async onApplicationShutdown(): Promise<void> {
    await this.sink.close();
  }
}
