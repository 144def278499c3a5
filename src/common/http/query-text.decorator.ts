import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { HttpError } from './http-error';
import { handlerOf, mergeRouteConfig, routeConfigOf } from './route-config';

const text = createParamDecorator((name: string, context: ExecutionContext): string | undefined => {
  const { query } = context
    .switchToHttp()
    .getRequest<FastifyRequest<{ Querystring: Record<string, unknown> }>>();
  const value = query[name];
  if (value === undefined || typeof value === 'string') return value;
  throw new HttpError(400, `the query parameter \`${name}\` must be given once`);
});

/**
 * A text in the query, undefined when absent; 400 when it is repeated. What it may say is the domain's to judge.
 *
 * @param description for the API's document.
 * @param pattern regular expression, likewise.
 */
export function QueryText(name: string, description: string, pattern: string): ParameterDecorator {
  return (prototype, method, index) => {
    if (method === undefined) throw new Error('@QueryText() belongs to a method parameter');
    const { queryTexts = [] } = routeConfigOf(handlerOf(prototype, method));
    mergeRouteConfig(prototype, method, { queryTexts: [{ name, description, pattern }, ...queryTexts] });
    text(name)(prototype, method, index);
  };
}
