import {
  type CallHandler,
  type ExecutionContext,
  type NestInterceptor,
  UseInterceptors,
} from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { type Observable, tap } from 'rxjs';
import type { AuditDetail } from './audit-line';

const details = new WeakMap<FastifyRequest, AuditDetail>();

/** What the request's handler left for its audit line. */
export function auditDetailOf(request: FastifyRequest): AuditDetail | undefined {
  return details.get(request);
}

/**
 * Adds to the audit line of a mutating route what was done and to what: the ids in the path and, once the handler has
 * answered, those of the objects it made.
 *
 * @param action stable name, e.g. "sandbox.create".
 */
export function Audited(action: string): MethodDecorator {
  return UseInterceptors(new AuditDetailInterceptor(action));
}

class AuditDetailInterceptor implements NestInterceptor {
  constructor(private readonly action: string) {}

  intercept(context: ExecutionContext, next: CallHandler<unknown>): Observable<unknown> {
    const request = context.switchToHttp().getRequest<FastifyRequest<{ Params: Record<string, string> }>>();
    const named = Object.values(request.params);
    details.set(request, { action: this.action, targets: named });
    return next.handle().pipe(
      tap((result) => {
        details.set(request, { action: this.action, targets: [...new Set([...named, ...idsOf(result)])] });
      }),
    );
  }
}

function idsOf(result: unknown): string[] {
  if (Array.isArray(result)) return result.flatMap(idsOf);
  if (typeof result !== 'object' || result === null) return [];
  const id = 'id' in result ? result.id : 'tag' in result ? result.tag : undefined;
  return typeof id === 'string' ? [id] : [];
}
