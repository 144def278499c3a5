import { Module } from '@nestjs/common';
import { DaemonConfig } from '../../common/config/daemon-config';
import { DiskStateFile } from './adapters/disk-state-file';
import { StateFile } from './ports/state-file';
import { RegistryService } from './registry.service';

@Module({
  providers: [
    {
      provide: StateFile,
      inject: [DaemonConfig],
      useFactory: (config: DaemonConfig) => new DiskStateFile(config.statePath),
    },
    {
      provide: RegistryService,
      inject: [StateFile],
      useFactory: (file: StateFile) => RegistryService.load(file),
    },
  ],
  exports: [RegistryService],
})
export class RegistryModule {}
