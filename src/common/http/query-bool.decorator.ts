import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { HttpError } from './http-error';

/**
 * A query flag: `true` or `false`, false when absent.
 *
 * @throws HttpError 400 for anything else, an empty or repeated parameter included.
 */
export const QueryBool = createParamDecorator((name: string, context: ExecutionContext): boolean => {
  const { query } = context
    .switchToHttp()
    .getRequest<FastifyRequest<{ Querystring: Record<string, unknown> }>>();
  const value = query[name];
  if (value === undefined) return false;
  if (value === 'true' || value === 'false') return value === 'true';
  throw new HttpError(400, `the query parameter \`${name}\` must be given once, as true or false`);
});
