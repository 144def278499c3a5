import { UseInterceptors } from '@nestjs/common';
import { mergeRouteConfig } from '../../common/http/route-config';
import { AuditInterceptor } from './audit.interceptor';

/**
 * Marks a route that changes something: its audit line is written before its answer is sent, and says who did what to what.
 *
 * @param action stable name, e.g. "sandbox.create".
 */
export function Audited(action: string): MethodDecorator {
  return (prototype, method, descriptor) => {
    mergeRouteConfig(prototype, method, { auditAction: action });
    UseInterceptors(AuditInterceptor)(prototype, method, descriptor);
  };
}
