/** Runs at most one task per key at a time, in the order of arrival. Different keys do not wait for each other. */
export class KeyedMutex {
  private readonly tails = new Map<string, Promise<void>>();

  /**
   * Runs `task` when all earlier tasks of this key have ended.
   *
   * @throws what the task throws; the signal's reason when it is aborted before the task's turn (the task does not run).
   */
  async runExclusive<T>(key: string, task: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    signal?.throwIfAborted();
    const before = this.tails.get(key) ?? Promise.resolve();
    let finish = (): void => undefined;
    const turn = new Promise<void>((resolve) => {
      finish = resolve;
    });
    // One that gives up while waiting must not let its successors overtake the task still running.
    const tail = Promise.all([before, turn]).then(() => undefined);
    this.tails.set(key, tail);
    try {
      await waitFor(before, signal);
      return await task();
    } finally {
      finish();
      if (this.tails.get(key) === tail) this.tails.delete(key);
    }
  }

  /** Whether a task of this key runs or waits. */
  isBusy(key: string): boolean {
    return this.tails.has(key);
  }
}

async function waitFor(before: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
  if (signal === undefined) {
    await before;
    return;
  }
  let stop: (() => void) | undefined;
  const aborted = new Promise<void>((resolve) => {
    stop = resolve;
    signal.addEventListener('abort', stop, { once: true });
  });
  await Promise.race([before, aborted]);
  if (stop !== undefined) signal.removeEventListener('abort', stop);
  signal.throwIfAborted();
}
