import type { FastifyContextConfig, RouteOptions } from 'fastify';

export interface RegisteredRoute {
  readonly method: string;
  /** Pattern, e.g. "/v1/sandboxes/:id". */
  readonly url: string;
  readonly config: Partial<FastifyContextConfig>;
  readonly segments: readonly string[];
}

/** All routes of the server. Answers which methods a path has, for 405 and its Allow header. */
export class RouteTable {
  private readonly routes: RegisteredRoute[] = [];

  /** To be called for each route; Fastify's onRoute hook. */
  add(route: RouteOptions): void {
    const methods = typeof route.method === 'string' ? [route.method] : route.method;
    for (const method of methods) {
      this.routes.push({
        method: method.toUpperCase(),
        url: route.url,
        config: route.config ?? {},
        segments: route.url.split('/'),
      });
    }
  }

  all(): readonly RegisteredRoute[] {
    return this.routes;
  }

  /** The methods that some route takes at this (encoded) path, in alphabetical order; empty for an unknown path. */
  methodsAt(path: string): string[] {
    const segments = decodedSegments(path);
    if (segments === undefined) return [];
    const found = this.routes.filter((route) => matches(route.segments, segments));
    return [...new Set(found.map((route) => route.method))].sort();
  }
}

function decodedSegments(path: string): string[] | undefined {
  try {
    return path.split('/').map(decodeURIComponent);
  } catch {
    return undefined;
  }
}

function matches(pattern: readonly string[], segments: readonly string[]): boolean {
  return (
    pattern.length === segments.length &&
    pattern.every((part, index) => (part.startsWith(':') ? segments[index] !== '' : part === segments[index]))
  );
}
