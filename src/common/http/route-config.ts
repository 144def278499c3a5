import { RouteConfig } from '@nestjs/platform-fastify';
import type { FastifyContextConfig } from 'fastify';
import type { QueryFlag, QueryWord, RouteDocumentation, StreamedContent } from './route-documentation';

/** Who may use a route: everyone, or the holder of the token. */
export type Access = 'public' | 'bearer';

declare module 'fastify' {
  interface FastifyContextConfig {
    access?: Access;
    /** The DTO class of the JSON body that the route reads; without it the body is never read. */
    jsonBody?: new () => object;
    /** What a route that changes something does, e.g. "sandbox.create"; it has its audit line before its answer. */
    auditAction?: string;
    queryFlags?: readonly QueryFlag[];
    queryTexts?: readonly QueryWord[];
    /** The route reads its body itself, as a stream. */
    streamedBody?: StreamedContent;
    /** What the API's document says about the route. */
    documentation?: RouteDocumentation;
  }
}

const configs = new WeakMap<object, Partial<FastifyContextConfig>>();

/** Adds to a handler's Fastify route config; what other decorators have set stays. */
export function mergeRouteConfig(
  prototype: object,
  method: string | symbol,
  added: Partial<FastifyContextConfig>,
): void {
  const handler = handlerOf(prototype, method);
  const config = { ...configs.get(handler), ...added };
  configs.set(handler, config);
  RouteConfig(config)(prototype, method, { value: handler });
}

/** The method behind a decorator's target. */
export function handlerOf(prototype: object, method: string | symbol): object {
  const descriptor: TypedPropertyDescriptor<unknown> | undefined = Object.getOwnPropertyDescriptor(
    prototype,
    method,
  );
  const handler = descriptor?.value;
  if (typeof handler !== 'function') {
    throw new Error(`${String(method)} is not a method, so it can have no route config`);
  }
  return handler;
}

/** A handler's Fastify route config as its decorators have set it so far. */
export function routeConfigOf(handler: object): Partial<FastifyContextConfig> {
  return configs.get(handler) ?? {};
}
