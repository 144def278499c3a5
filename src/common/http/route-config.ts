import { RouteConfig } from '@nestjs/platform-fastify';
import type { FastifyContextConfig } from 'fastify';

/** Who may use a route: everyone, or the holder of the token. */
export type Access = 'public' | 'bearer';

declare module 'fastify' {
  interface FastifyContextConfig {
    access?: Access;
    /** Whether the route reads a JSON body; without it the body is never read. */
    jsonBody?: boolean;
  }
}

const configs = new WeakMap<object, Partial<FastifyContextConfig>>();

/** Adds to a handler's Fastify route config; what other decorators have set stays. */
export function mergeRouteConfig(
  prototype: object,
  method: string | symbol,
  added: Partial<FastifyContextConfig>,
): void {
  const descriptor: TypedPropertyDescriptor<unknown> | undefined = Object.getOwnPropertyDescriptor(
    prototype,
    method,
  );
  const handler = descriptor?.value;
  if (descriptor === undefined || typeof handler !== 'function') {
    throw new Error(`${String(method)} is not a method, so it can have no route config`);
  }
  const config = { ...configs.get(handler), ...added };
  configs.set(handler, config);
  RouteConfig(config)(prototype, method, descriptor);
}

/** A handler's Fastify route config as its decorators have set it so far. */
export function routeConfigOf(handler: object): Partial<FastifyContextConfig> {
  return configs.get(handler) ?? {};
}
