// @ts-check
import { createInterface } from 'node:readline/promises';
import { clearInterval, setInterval } from 'node:timers';

const HEARTBEAT_MS = 15_000;

/** Prints what the set-up does, one line at a time: `[2/4] distribution packages: all there`. */
export class Reporter {
  #number = 0;
  #title = '';
  #startedAt = 0;

  /**
   * @param {number} total number of steps
   * @param {(line: string) => void} [print]
   */
  constructor(total, print = (line) => console.log(line)) {
    this.total = total;
    this.print = print;
  }

  /** @param {string} title */
  begin(title) {
    this.#number += 1;
    this.#title = title;
    this.#startedAt = Date.now();
  }

  /** @param {string} text */
  line(text) {
    this.print(`[${this.#number}/${this.total}] ${this.#title}: ${text}`);
  }

  /** @param {string} text what was done; the time it took is added */
  done(text) {
    this.line(`${text} (${this.#seconds()} s)`);
  }

  /**
   * Says what long work is under way, and now and then that it still is.
   *
   * @template T
   * @param {string} text
   * @param {() => Promise<T>} work
   * @returns {Promise<T>}
   */
  async during(text, work) {
    this.line(`${text} ...`);
    const timer = setInterval(() => this.line(`${text} ... ${this.#seconds()} s`), HEARTBEAT_MS);
    try {
      return await work();
    } finally {
      clearInterval(timer);
    }
  }

  #seconds() {
    return ((Date.now() - this.#startedAt) / 1000).toFixed(1);
  }
}

/**
 * Asks on the terminal; anything but yes is no.
 *
 * @param {string} question
 * @returns {Promise<boolean>}
 */
export async function confirm(question) {
  const terminal = createInterface({ input: process.stdin, output: process.stdout });
  try {
    return /^y(es)?$/i.test((await terminal.question(`${question} [y/N] `)).trim());
  } finally {
    terminal.close();
  }
}
