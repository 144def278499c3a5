import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { mergeRouteConfig } from './route-config';

/** A body of any length may take any time, but not stand still for longer. */
const STALL_MS = 120_000;
/** How long a client that is refused may go on sending, so that it gets to read why. */
const REFUSED_MS = 30_000;

const uploading = new WeakSet<Socket>();

/** Whether a body without a time limit is on its way over the connection. */
export function isUploading(socket: Socket): boolean {
  return uploading.has(socket);
}

const stream = createParamDecorator((_: unknown, context: ExecutionContext): IncomingMessage => {
  const { raw } = context.switchToHttp().getRequest<FastifyRequest>();
  const { socket } = raw;
  uploading.add(socket);
  raw.setTimeout(STALL_MS, () => {
    if (!raw.complete) socket.destroy();
  });
  const over = (): void => {
    uploading.delete(socket);
    socket.setTimeout(0);
  };
  raw.once('end', over);
  raw.once('close', over);
  return raw;
});

/**
 * The request's body as a stream that nobody has read, without a limit of time or size: the handler sets its own. What the
 * handler leaves unread is to be given to {@link discardRest}.
 *
 * @param documented content type and description, for the API's document.
 */
export function StreamedBody(documented: { contentType: string; description: string }): ParameterDecorator {
  return (prototype, method, index) => {
    if (method === undefined) throw new Error('@StreamedBody() belongs to a method parameter');
    mergeRouteConfig(prototype, method, { streamedBody: documented });
    stream()(prototype, method, index);
  };
}

/** Throws away what is left of a body, so that the client gets to read the answer. */
export function discardRest(body: IncomingMessage): void {
  if (body.complete || body.destroyed) return;
  const timer = setTimeout(() => {
    body.socket.destroy();
  }, REFUSED_MS);
  body.once('close', () => {
    clearTimeout(timer);
  });
  body.on('error', () => undefined);
  body.resume();
}
