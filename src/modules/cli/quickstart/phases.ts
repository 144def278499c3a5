import { duration } from '../output/format';
import type { Output } from '../output/output';

export interface PhaseResult {
  readonly name: string;
  readonly ms: number;
  /** What came of it, in a few words. */
  readonly detail: string;
}

export interface PhaseOutcome<T> {
  readonly value: T;
  readonly detail: string;
}

export type Step = (text: string) => void;

/** Runs phases one after the other, shows each with its time, and remembers them for the summary. */
export class Phases {
  readonly results: PhaseResult[] = [];
  /** The phase that runs, for messages. */
  current = 'start';

  constructor(
    private readonly output: Output,
    private readonly total: number,
    private readonly signal: AbortSignal,
  ) {}

  async run<T>(name: string, work: (step: Step) => Promise<PhaseOutcome<T>>): Promise<T> {
    this.signal.throwIfAborted();
    this.current = name;
    const label = `[${this.results.length + 1}/${this.total}] ${name}`;
    const started = performance.now();
    const plain = this.plainSteps(label);
    const outcome = await this.output.during(label, (step) =>
      work((text) => {
        step(`${label}: ${text}`);
        plain(text);
      }),
    );
    this.add(name, performance.now() - started, outcome.detail);
    return outcome.value;
  }

  /** Where no line can be redrawn, each new step is a line of its own; the counts within a step are left out. */
  private plainSteps(label: string): Step {
    if (this.output.interactive) return () => undefined;
    this.output.note(`${label} ...`);
    let last = '';
    return (text) => {
      const step = text.replace(/: [^:]*$/, '');
      if (step !== last) this.output.note(`      ${step}`);
      last = step;
    };
  }

  /** Counts a phase that ran before this program. */
  add(name: string, ms: number, detail: string): void {
    this.results.push({ name, ms, detail });
    this.output.note(`[${this.results.length}/${this.total}] ${name}: ${detail} (${duration(ms)})`);
  }
}
