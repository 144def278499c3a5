import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { promisify } from 'node:util';
import { until } from './until';

const run = promisify(execFile);

/** Of a plain shell, of root or not. */
const PROMPT = /(^|\n)[$#] $/;

/** A terminal as a person has it: a shell in a window of tmux. */
export class Tmux {
  private constructor(private readonly name: string) {}

  /** Opens a window with a plain shell. */
  static async open(env: Readonly<Record<string, string>>): Promise<Tmux> {
    const tmux = new Tmux(`forkd-test-${randomUUID()}`);
    const settings = Object.entries({ ...env, ENV: '' }).flatMap(([name, value]) => [
      '-e',
      `${name}=${value}`,
    ]);
    await tmux.tmux('-f', '/dev/null', 'new-session', '-d', '-x', '100', '-y', '30', ...settings, 'sh');
    await tmux.tmux('set-option', '-g', 'window-size', 'manual');
    await tmux.shows(PROMPT);
    return tmux;
  }

  /** Types text; keys by name ("Enter", "C-c") with {@link press}. */
  async type(text: string): Promise<void> {
    await this.tmux('send-keys', '-l', text);
  }

  async press(...keys: string[]): Promise<void> {
    await this.tmux('send-keys', ...keys);
  }

  /** Types a line and sends it. */
  async enter(line: string): Promise<void> {
    await this.type(line);
    await this.press('Enter');
  }

  async resize(cols: number, rows: number): Promise<void> {
    await this.tmux('resize-window', '-x', String(cols), '-y', String(rows));
  }

  /** What is to be seen, with what has scrolled away; without the empty lines at the end. */
  async screen(): Promise<string> {
    return (await this.tmux('capture-pane', '-p', '-J', '-S', '-1000')).trimEnd();
  }

  /** Waits until the text is to be seen, and gives all of it. */
  async shows(text: RegExp): Promise<string> {
    let seen = '';
    await until(async () => {
      seen = `${await this.screen()} `;
      return text.test(seen);
    });
    return seen;
  }

  /** Forgets what was to be seen; a prompt comes anew. */
  async clear(): Promise<void> {
    await this.tmux('send-keys', '-R');
    await this.tmux('clear-history');
    await this.press('Enter');
    await this.shows(PROMPT);
  }

  async close(): Promise<void> {
    await this.tmux('kill-server');
  }

  private async tmux(...args: string[]): Promise<string> {
    return (await run('tmux', ['-L', this.name, ...args])).stdout;
  }
}
