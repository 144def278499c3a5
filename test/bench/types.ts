/** What the baseline program is told to do. */
export interface BaselineJob {
  readonly binary: string;
  /** QEMU's arguments; `{RUN}` stands for the child's own directory. */
  readonly args: readonly string[];
  readonly vmstatePath: string;
  readonly runRoot: string;
  readonly n: number;
  /** How many times exec and eval are called in one child after a first call; 0 leaves them out. */
  readonly calls: number;
}

/** Times in milliseconds. */
export interface BaselineResult {
  /** From the first process start to the last answer. */
  readonly wallMs: number;
  readonly answerMs: readonly number[];
  readonly privateKib: readonly number[];
  readonly execMs: readonly number[];
  readonly evalMs: readonly number[];
}

/** One line of the report. */
export interface Measurement {
  readonly name: string;
  readonly unit: string;
  readonly value: number;
  /** The same, measured on the baseline in the same run. */
  readonly baseline?: number;
  /** What is promised, e.g. "<= 1.25x baseline". */
  readonly limit: string;
  readonly holds: boolean;
  readonly samples: readonly number[];
  readonly baselineSamples?: readonly number[];
}
