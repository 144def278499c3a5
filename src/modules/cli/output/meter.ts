import { Transform } from 'node:stream';
import { bytes, duration } from './format';

/** Counts what passes, and says it for a person: how much, how fast, how long it will take. */
export class Meter {
  private readonly started = performance.now();
  done = 0;

  /**
   * @param step is told each time something passed.
   * @param total bytes that will pass, where that is known.
   * @param most bytes that can pass at most, where only that is.
   */
  constructor(
    private readonly label: string,
    private readonly step: (text: string) => void,
    private readonly total: number | undefined,
    private readonly most?: number,
  ) {}

  /** A stream that passes on what it gets. */
  counting(): Transform {
    return new Transform({
      transform: (chunk: Buffer, _encoding, done) => {
        this.done += chunk.length;
        this.step(this.text());
        done(null, chunk);
      },
    });
  }

  text(nowMs = performance.now()): string {
    const seconds = Math.max(nowMs - this.started, 1) / 1000;
    const rate = this.done / seconds;
    const parts = [
      this.total === undefined
        ? bytes(this.done)
        : `${percent(this.done, this.total)} of ${bytes(this.total)}`,
      `${bytes(rate)}/s`,
    ];
    const end = this.total ?? this.most;
    if (end !== undefined && rate > 0 && end > this.done) {
      const left = duration(((end - this.done) / rate) * 1000);
      parts.push(this.total === undefined ? `at most ${left} left` : `${left} left`);
    }
    return `${this.label}: ${parts.join(', ')};`;
  }
}

function percent(done: number, total: number): string {
  return `${total === 0 ? 100 : Math.floor((done / total) * 100)} %`;
}
