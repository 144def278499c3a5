import { Global, Module } from '@nestjs/common';
import { Drain } from './drain';

/** Makes {@link Drain} injectable everywhere. */
@Global()
@Module({ providers: [Drain], exports: [Drain] })
export class LifecycleModule {}
