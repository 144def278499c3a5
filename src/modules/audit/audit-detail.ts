import type { FastifyRequest } from 'fastify';
import { JsonDocument } from '../../common/http/json-body-parser';
import type { FinishedRequest } from '../../common/http/request-pipeline';
import { tokenIdOf } from '../auth/access';
import type { AuditDetail } from './audit-line';

const TAG = /^[A-Za-z0-9_-]{1,64}$/;

const results = new WeakMap<FastifyRequest, readonly string[]>();

/** Keeps the ids of what a handler has made for the line of its request. */
export function noteResult(request: FastifyRequest, result: unknown): void {
  results.set(request, idsOf(result));
}

/** What the request's line has in addition; undefined for a route that changes nothing. */
export function auditDetailOf({ request, remoteAddress }: FinishedRequest): AuditDetail | undefined {
  const action = request.routeOptions.config.auditAction;
  if (action === undefined) return undefined;
  const token = tokenIdOf(request);
  return {
    action,
    remote: remoteAddress.replace(/^::ffff:(?=\d+\.)/, ''),
    ...(token === undefined ? {} : { token }),
    targets: [...new Set([...namedIn(request), ...(results.get(request) ?? [])])],
    ...askedIn(request.body),
  };
}

function namedIn({ params }: FastifyRequest): string[] {
  if (typeof params !== 'object' || params === null) return [];
  return Object.values(params).filter((value) => typeof value === 'string');
}

/** The two harmless members of a body that say how much of what; nothing else of it gets into the log. */
function askedIn(document: unknown): { n?: number; tag?: string } {
  const body = document instanceof JsonDocument ? document.value : undefined;
  if (typeof body !== 'object' || body === null) return {};
  const n = 'n' in body ? body.n : undefined;
  const tag = 'tag' in body ? body.tag : 'snapshot_tag' in body ? body.snapshot_tag : undefined;
  return {
    ...(typeof n === 'number' && Number.isSafeInteger(n) ? { n } : {}),
    ...(typeof tag === 'string' && TAG.test(tag) ? { tag } : {}),
  };
}

function idsOf(result: unknown): string[] {
  if (Array.isArray(result)) return result.flatMap(idsOf);
  if (typeof result !== 'object' || result === null) return [];
  const id = 'id' in result ? result.id : 'tag' in result ? result.tag : undefined;
  return typeof id === 'string' ? [id] : [];
}
