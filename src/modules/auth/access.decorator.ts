import { SetMetadata } from '@nestjs/common';
import { type Access, mergeRouteConfig, routeConfigOf } from '../../common/http/route-config';

export const ACCESS_METADATA = 'forkd:access';

/** Opens one route to everyone, token or not. */
export function Public(): MethodDecorator {
  return (prototype, method, descriptor) => {
    declare('public', prototype, method, descriptor);
  };
}

/**
 * Declares that a controller's routes need the token (if the daemon has one); methods may be {@link Public} instead. Routes
 * without any declaration need it as well, but a test refuses them.
 */
export function Authenticated(): ClassDecorator {
  return (type) => {
    const prototype: unknown = type.prototype;
    if (typeof prototype !== 'object' || prototype === null) return;
    for (const [name, descriptor] of Object.entries(Object.getOwnPropertyDescriptors(prototype))) {
      const handler: unknown = descriptor.value;
      if (name === 'constructor' || typeof handler !== 'function') continue;
      if (routeConfigOf(handler).access === undefined) declare('bearer', prototype, name, descriptor);
    }
  };
}

function declare(
  access: Access,
  prototype: object,
  method: string | symbol,
  descriptor: PropertyDescriptor,
): void {
  mergeRouteConfig(prototype, method, { access });
  SetMetadata(ACCESS_METADATA, access)(prototype, method, descriptor);
}
