import type { LoggerService } from '@nestjs/common';

type Level = 'log' | 'warn' | 'error';

/** Takes the place of the daemon's log; tests wait for what it must say. */
export class RecordedLog implements LoggerService {
  readonly lines: { level: Level; text: string }[] = [];
  private wake: (() => void)[] = [];

  log(message: unknown): void {
    this.add('log', message);
  }

  warn(message: unknown): void {
    this.add('warn', message);
  }

  error(message: unknown): void {
    this.add('error', message);
  }

  /** Waits until a line of the level has matched so many times. */
  async said(level: Level, text: RegExp, times = 1): Promise<void> {
    // What is waited for may be watched without keeping the process alive.
    const alive = setInterval(() => undefined, 60_000);
    try {
      while (this.lines.filter((line) => line.level === level && text.test(line.text)).length < times) {
        await new Promise<void>((resolve) => {
          this.wake.push(resolve);
        });
      }
    } finally {
      clearInterval(alive);
    }
  }

  private add(level: Level, message: unknown): void {
    this.lines.push({ level, text: String(message) });
    for (const resolve of this.wake.splice(0)) resolve();
  }
}
