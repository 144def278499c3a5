import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { FastifyReply } from 'fastify';

/** An AbortSignal that fires when the client closes its connection before it has its whole answer. */
export const ClientSignal = createParamDecorator((_: unknown, context: ExecutionContext): AbortSignal => {
  const { raw } = context.switchToHttp().getResponse<FastifyReply>();
  const controller = new AbortController();
  const gone = (): void => {
    if (!raw.writableFinished) controller.abort(new Error('the client closed its connection'));
  };
  if (raw.destroyed) gone();
  else raw.once('close', gone);
  return controller.signal;
});
