/** What went wrong, in terms of the product. How a transport shows it is the transport's business. */
export type DomainErrorCode =
  /** The request contradicts a documented rule; the caller must change it. */
  | 'invalid'
  | 'not_found'
  /** The request is right, but the thing is in a state that forbids it now. */
  | 'conflict'
  /** A limit of the host or the daemon is reached; the same request may succeed later. */
  | 'unavailable'
  /** The daemon or the host failed at something it should have been able to do. */
  | 'internal';

/**
 * An error whose text is meant for the person who made the request: it names the thing, the reason and, where there is
 * one, the next step. It carries no secret and no stack.
 */
export class DomainError extends Error {
  /** Only for `unavailable`: seconds after which it may be worth to ask again. */
  readonly retryAfterSecs: number | undefined;

  constructor(
    readonly code: DomainErrorCode,
    message: string,
    options?: ErrorOptions & { readonly retryAfterSecs?: number },
  ) {
    super(message, options);
    this.name = 'DomainError';
    this.retryAfterSecs = options?.retryAfterSecs;
  }
}

/** The text of anything that was thrown. */
export function errorMessage(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The messages of an error and its causes, outermost first, joined with ": "; repeated texts are said once. */
export function errorChain(error: unknown): string {
  const parts: string[] = [];
  let current: unknown = error;
  while (current !== undefined && current !== null && parts.length < 8) {
    const text = errorMessage(current);
    if (!parts.some((part) => part.includes(text))) parts.push(text);
    current = current instanceof Error ? current.cause : undefined;
  }
  return parts.join(': ');
}

/** The errno name ("ENOENT") of a system error, or undefined. */
export function errnoOf(error: unknown): string | undefined {
  // A DomainError's code is no errno.
  if (!(error instanceof Error) || error instanceof DomainError) return undefined;
  return 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}
