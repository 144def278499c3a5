import { Module } from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
import { DaemonConfig } from '../../common/config/daemon-config';
import { RequestPipeline } from '../../common/http/request-pipeline';
import { isPublicRequest, refusalOf } from './access';
import { AccessGuard } from './access.guard';
import { TokenVerifier } from './token-verifier';

/** Lets nobody in without the token: before the body is read, on unknown paths, and again in front of each handler. */
@Module({
  providers: [
    {
      provide: TokenVerifier,
      inject: [DaemonConfig],
      useFactory: (config: DaemonConfig) => TokenVerifier.load(config),
    },
    { provide: APP_GUARD, useClass: AccessGuard },
  ],
  exports: [TokenVerifier],
})
export class AuthModule {
  constructor(pipeline: RequestPipeline, verifier: TokenVerifier) {
    pipeline.addGate((request) => (isPublicRequest(request) ? undefined : refusalOf(verifier, request)));
  }
}
