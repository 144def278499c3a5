import { type DynamicModule, Global, Module } from '@nestjs/common';
import { DaemonConfig } from './daemon-config';

/** Makes the daemon's settings injectable as {@link DaemonConfig} everywhere. */
@Global()
@Module({})
export class ConfigModule {
  static forRoot(config: DaemonConfig): DynamicModule {
    return {
      module: ConfigModule,
      providers: [{ provide: DaemonConfig, useValue: config }],
      exports: [DaemonConfig],
    };
  }
}
