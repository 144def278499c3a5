import { setMaxListeners } from 'node:events';

/** What an aborted call rejects with. */
export function abortReason(signal: AbortSignal): Error {
  const reason: unknown = signal.reason;
  return reason instanceof Error ? reason : new DOMException('The operation was aborted', 'AbortError');
}

/** Listens until the signal fires once. One signal may serve hundreds of calls, which Node would take for a leak. */
export function listenForAbort(signal: AbortSignal, listener: () => void): void {
  setMaxListeners(0, signal);
  signal.addEventListener('abort', listener, { once: true });
}
