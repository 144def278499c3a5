import { join } from 'node:path';
import { Module } from '@nestjs/common';
import { DaemonConfig } from '../../common/config/daemon-config';
import { MetricsModule } from '../metrics/metrics.module';
import { KernelCgroupFs } from './adapters/kernel-cgroup-fs';
import { AdmissionService } from './admission.service';
import { CgroupFs } from './ports/cgroup-fs';
import { LAUNCHER_PATH, QuotasService } from './quotas.service';

/** Where the build puts the launcher: beside the compiled modules. */
const BUILT_LAUNCHER = join(__dirname, '..', '..', 'host', 'forkd-launch');

@Module({
  imports: [MetricsModule],
  providers: [
    { provide: CgroupFs, useClass: KernelCgroupFs },
    {
      provide: LAUNCHER_PATH,
      inject: [DaemonConfig],
      useFactory: ({ launcher }: DaemonConfig): string => launcher ?? BUILT_LAUNCHER,
    },
    AdmissionService,
    QuotasService,
  ],
  exports: [AdmissionService, QuotasService],
})
export class QuotasModule {}
