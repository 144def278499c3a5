import { AsyncLocalStorage } from 'node:async_hooks';

const storage = new AsyncLocalStorage<string>();

/** Runs what follows, asynchronous continuations included, as part of the request. */
export function runInRequest(requestId: string, run: () => void): void {
  storage.run(requestId, run);
}

/** The id of the request on whose behalf this code runs, or undefined outside of one. */
export function currentRequestId(): string | undefined {
  return storage.getStore();
}
