import { mergeRouteConfig } from './route-config';
import type { RouteDocumentation } from './route-documentation';

/** Describes a handler for the API's document. Every route has one; a test names those that do not. */
export function Documented(documentation: RouteDocumentation): MethodDecorator {
  return (prototype, method) => {
    mergeRouteConfig(prototype, method, { documentation });
  };
}
