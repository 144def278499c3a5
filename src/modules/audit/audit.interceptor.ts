import { type CallHandler, type ExecutionContext, Injectable, type NestInterceptor } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { type Observable, tap } from 'rxjs';
import { noteResult } from './audit-detail';
import { AuditRecorder } from './audit-recorder';

/** Around the handlers of mutating routes: lets none begin that could not be recorded, and notes what they made. */
@Injectable()
export class AuditInterceptor implements NestInterceptor {
  constructor(private readonly recorder: AuditRecorder) {}

  /** @throws DomainError `unavailable` */
  async intercept(context: ExecutionContext, next: CallHandler<unknown>): Promise<Observable<unknown>> {
    const request = context.switchToHttp().getRequest<FastifyRequest>();
    await this.recorder.requireWritable();
    return next.handle().pipe(
      tap((result) => {
        noteResult(request, result);
      }),
    );
  }
}
