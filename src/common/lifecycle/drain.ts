import { Injectable } from '@nestjs/common';

/** How long what was given up has to put things in order: let a VM run that it holds, kill one that nobody was told of. */
const LAST_MOMENT_MS = 2000;

/** What a stop waits for beside requests, and how long: until it is done, or nobody will wait any longer. */
@Injectable()
export class Drain {
  private readonly held = new Set<Promise<unknown>>();
  private expired = false;
  private giveUp: () => void = () => undefined;
  private readonly givenUp = new Promise<void>((resolve) => {
    this.giveUp = resolve;
  });

  get isExpired(): boolean {
    return this.expired;
  }

  /** Does work that must not be cut short, whether its client waits for it or not. */
  async hold<T>(work: () => Promise<T>): Promise<T> {
    const done = work();
    this.held.add(done);
    try {
      return await done;
    } finally {
      this.held.delete(done);
    }
  }

  /** The deadline of a stop has come, or a second signal: what is under way has but a moment more. */
  expire(): void {
    if (this.expired) return;
    this.expired = true;
    setTimeout(this.giveUp, LAST_MOMENT_MS);
  }

  /** Settles when nothing is under way any more, or was given up; never rejects. */
  async settled(): Promise<void> {
    await Promise.race([this.empty(), this.givenUp]);
  }

  private async empty(): Promise<void> {
    while (this.held.size > 0) await Promise.allSettled(this.held);
  }
}
