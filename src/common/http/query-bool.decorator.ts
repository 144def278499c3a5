import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { HttpError } from './http-error';
import { handlerOf, mergeRouteConfig, routeConfigOf } from './route-config';

const flag = createParamDecorator((name: string, context: ExecutionContext): boolean => {
  const { query } = context
    .switchToHttp()
    .getRequest<FastifyRequest<{ Querystring: Record<string, unknown> }>>();
  const value = query[name];
  if (value === undefined) return false;
  if (value === 'true' || value === 'false') return value === 'true';
  throw new HttpError(400, `the query parameter \`${name}\` must be given once, as true or false`);
});

/**
 * A query flag: `true` or `false`, false when absent; 400 for anything else, an empty or repeated parameter included.
 *
 * @param description for the API's document.
 */
export function QueryBool(name: string, description = ''): ParameterDecorator {
  return (prototype, method, index) => {
    if (method === undefined) throw new Error('@QueryBool() belongs to a method parameter');
    const { queryFlags = [] } = routeConfigOf(handlerOf(prototype, method));
    // Parameters are decorated from the last to the first.
    mergeRouteConfig(prototype, method, { queryFlags: [{ name, description }, ...queryFlags] });
    flag(name)(prototype, method, index);
  };
}
