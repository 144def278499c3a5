import { type ArgumentsHost, Catch, type ExceptionFilter, HttpException, Logger } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { DomainError, type DomainErrorCode, errorChain } from '../errors/domain-error';

const STATUS: Readonly<Record<DomainErrorCode, number>> = {
  invalid: 400,
  not_found: 404,
  conflict: 409,
  unavailable: 503,
  internal: 500,
};

/** For an `unavailable` that does not tell: branch slots are held for about a second. */
const RETRY_AFTER_SECS = 1;

/** Turns everything that is thrown on the way of a request into `{"error": text}`. */
@Catch()
export class ErrorFilter implements ExceptionFilter {
  private readonly logger = new Logger('Http');

  catch(error: unknown, host: ArgumentsHost): void {
    const http = host.switchToHttp();
    const reply = http.getResponse<FastifyReply>();
    if (reply.sent) return;
    if (error instanceof DomainError && error.code === 'unavailable') {
      void reply.header('retry-after', String(error.retryAfterSecs ?? RETRY_AFTER_SECS));
    }
    const { status, text } = this.answerTo(error, http.getRequest<FastifyRequest>());
    void reply.code(status).send({ error: text });
  }

  private answerTo(error: unknown, request: FastifyRequest): { status: number; text: string } {
    if (error instanceof DomainError) {
      const status = STATUS[error.code];
      if (error.code !== 'internal') return { status, text: error.message };
      const text = errorChain(error);
      this.logger.warn(`${request.method} ${request.routeOptions.url ?? ''} failed: ${text}`);
      return { status, text };
    }
    if (error instanceof HttpException && error.getStatus() < 500) {
      return { status: error.getStatus(), text: error.message };
    }
    this.logger.error(
      `${request.method} ${request.routeOptions.url ?? ''} failed unexpectedly: ${errorChain(error)}`,
      error instanceof Error ? error.stack : undefined,
    );
    return { status: 500, text: `internal error; the log has the details under request id ${request.id}` };
  }
}
