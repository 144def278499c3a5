import { DomainError, errorMessage } from '../../common/errors/domain-error';
import { ProtocolError } from './domain/protocol-error';

/** The guest's own answer that a request failed: the channel is sound, the request was not. */
export class GuestError extends Error {
  constructor(
    /** As in the protocol: "invalid", "unknown_method", "not_found", "cancelled" or "internal"; a later agent may have more. */
    readonly code: string,
    message: string,
  ) {
    super(message);
    this.name = 'GuestError';
  }
}

/** The error of a request whose answer cannot come, or did not come in time. */
export function unanswered(reason: unknown): DomainError {
  if (reason instanceof DomainError) return reason;
  const broken = reason instanceof ProtocolError ? 'it broke the protocol: ' : '';
  const text = typeof reason === 'string' ? reason : errorMessage(reason);
  return new DomainError('internal', `the guest agent does not answer: ${broken}${text}`, { cause: reason });
}
