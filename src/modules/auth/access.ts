import type { FastifyRequest } from 'fastify';
import { pathOf, type Refusal } from '../../common/http/request-pipeline';
import type { TokenVerifier } from './token-verifier';

const REFUSALS: Readonly<Record<'missing' | 'invalid', Refusal>> = {
  missing: { status: 401, error: 'missing bearer token' },
  invalid: { status: 401, error: 'invalid bearer token' },
};

const tokenIds = new WeakMap<FastifyRequest, string>();

/** Checks the request's bearer token; undefined when it may go on. */
export function refusalOf(verifier: TokenVerifier, request: FastifyRequest): Refusal | undefined {
  const verdict = verifier.verify(request.headers.authorization);
  if (typeof verdict === 'string') return REFUSALS[verdict];
  if (verdict.tokenId !== undefined) tokenIds.set(request, verdict.tokenId);
  return undefined;
}

/** The id of the token that the request was let in with; undefined when it was refused or needed none. */
export function tokenIdOf(request: FastifyRequest): string | undefined {
  return tokenIds.get(request);
}

/**
 * Whether the request asks for an open route by its own name. The router decodes paths ("/%68ealthz" finds /healthz), so
 * a match alone would open spellings that a proxy in front has not seen as open.
 */
export function isPublicRequest(request: FastifyRequest): boolean {
  const { config, url } = request.routeOptions;
  return !request.is404 && config.access === 'public' && pathOf(request.originalUrl) === url;
}
