import { setTimeout as delay } from 'node:timers/promises';

/** How long a scrape waits for a figure; Prometheus gives up after 10 s by default. */
const PATIENCE_MS = 2_000;

/**
 * A figure that costs something to find out: not more often than agreed, once for all who ask at the same time, and whoever
 * asks never waits long for it but gets the last one.
 */
export class Refreshed<T> {
  private at = Number.NEGATIVE_INFINITY;
  private running: Promise<void> | undefined;

  /**
   * @param maxAgeMs how long a figure counts as new.
   * @param read a failure leaves the last figure.
   */
  constructor(
    private value: T,
    private readonly maxAgeMs: number,
    private readonly read: () => Promise<T>,
    private readonly patienceMs = PATIENCE_MS,
  ) {}

  async get(): Promise<T> {
    if (performance.now() - this.at >= this.maxAgeMs) {
      this.running ??= this.refresh();
      await Promise.race([this.running, delay(this.patienceMs, undefined, { ref: false })]);
    }
    return this.value;
  }

  private async refresh(): Promise<void> {
    try {
      this.value = await this.read();
    } catch {
      // The last figure stays; the next one to ask tries again after the same time.
    } finally {
      this.at = performance.now();
      this.running = undefined;
    }
  }
}
