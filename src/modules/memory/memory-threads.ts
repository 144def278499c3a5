import { MemoryThread } from './memory-thread';

/** An idle thread costs some megabytes, a new one some 40 ms, and its code is slow until it has run once. */
const IDLE_MS = 60_000;

/** Lends threads out, keeps those that come back for a minute, and starts others as needed. */
export class MemoryThreads {
  private readonly idle = new Map<MemoryThread, NodeJS.Timeout>();
  private closed = false;

  take(): MemoryThread {
    // The one that came back last has the warmest caches.
    const [thread, timer] = [...this.idle].at(-1) ?? [];
    if (thread === undefined) return new MemoryThread();
    clearTimeout(timer);
    this.idle.delete(thread);
    thread.hold(true);
    return thread;
  }

  /** Takes a thread back; one that is in the middle of its job is ended. */
  async giveBack(thread: MemoryThread): Promise<void> {
    if (this.closed || !thread.reusable) {
      await thread.stop();
      return;
    }
    thread.hold(false);
    const timer = setTimeout(() => {
      this.idle.delete(thread);
      void thread.stop();
    }, IDLE_MS);
    this.idle.set(thread, timer.unref());
  }

  /** Ends the idle threads, and those that are lent out when they come back. */
  async close(): Promise<void> {
    this.closed = true;
    const threads = [...this.idle];
    this.idle.clear();
    await Promise.all(
      threads.map(([thread, timer]) => {
        clearTimeout(timer);
        return thread.stop();
      }),
    );
  }
}
