import { Module, type OnApplicationBootstrap, type OnModuleDestroy } from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
import { DaemonConfig } from '../../common/config/daemon-config';
import { RequestPipeline } from '../../common/http/request-pipeline';
import { isPublicRequest, refusalOf } from './access';
import { AccessGuard } from './access.guard';
import { TokenFile } from './token-file';
import { TokenVerifier } from './token-verifier';

/** Lets nobody in without the token: before the body is read, on unknown paths, and again in front of each handler. */
@Module({
  providers: [
    {
      provide: TokenFile,
      inject: [DaemonConfig],
      useFactory: (config: DaemonConfig) => TokenFile.load(config),
    },
    { provide: TokenVerifier, inject: [TokenFile], useFactory: ({ verifier }: TokenFile) => verifier },
    { provide: APP_GUARD, useClass: AccessGuard },
  ],
  exports: [TokenFile, TokenVerifier],
})
export class AuthModule implements OnApplicationBootstrap, OnModuleDestroy {
  constructor(
    private readonly file: TokenFile,
    pipeline: RequestPipeline,
    verifier: TokenVerifier,
  ) {
    pipeline.addGate((request) => (isPublicRequest(request) ? undefined : refusalOf(verifier, request)));
  }

  onApplicationBootstrap(): void {
    this.file.watch();
  }

  onModuleDestroy(): void {
    this.file.close();
  }
}
