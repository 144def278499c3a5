import { type CanActivate, type ExecutionContext, Injectable } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import type { FastifyRequest } from 'fastify';
import { HttpError } from '../../common/http/http-error';
import { refusalOf } from './access';
import { ACCESS_METADATA } from './access.decorator';
import { TokenVerifier } from './token-verifier';

/** The second gate, in front of each handler: what is not declared public needs the token. */
@Injectable()
export class AccessGuard implements CanActivate {
  constructor(
    private readonly reflector: Reflector,
    private readonly verifier: TokenVerifier,
  ) {}

  /** @throws HttpError 401 */
  canActivate(context: ExecutionContext): boolean {
    if (this.reflector.get<unknown>(ACCESS_METADATA, context.getHandler()) === 'public') return true;
    const refusal = refusalOf(this.verifier, context.switchToHttp().getRequest<FastifyRequest>());
    if (refusal !== undefined) throw new HttpError(refusal.status, refusal.error);
    return true;
  }
}
