import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const MAIN = join(__dirname, '../../src/main.js');

export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the real program in processes of their own, all over one directory. */
export class DaemonProcesses {
  private readonly running = new Set<ChildProcess>();

  private constructor(readonly directory: string) {}

  /** @param prefix of its directory; short where sockets of VMs lie below. */
  static async create(prefix = join(tmpdir(), 'forkd-serve-')): Promise<DaemonProcesses> {
    return new DaemonProcesses(await mkdtemp(prefix));
  }

  /** Kills what still runs and removes the directory. */
  async close(): Promise<void> {
    for (const child of this.running) {
      child.kill('SIGKILL');
      await once(child, 'close');
    }
    await rm(this.directory, { recursive: true, force: true });
  }

  path(name: string): string {
    return join(this.directory, name);
  }

  /** Runs to the end. */
  run(args: string[], env: NodeJS.ProcessEnv = {}): Promise<Outcome> {
    return new Promise((resolve) => {
      execFile(process.execPath, [MAIN, ...args], { env: this.environment(env) }, (error, stdout, stderr) => {
        resolve({ code: typeof error?.code === 'number' ? error.code : 0, stdout, stderr });
      });
    });
  }

  /**
   * Runs `serve` until it has said where it listens.
   *
   * @param preload a module that Node loads first; the process then also takes messages.
   */
  async serve(args: string[] = [], env: NodeJS.ProcessEnv = {}, preload?: string): Promise<DaemonProcess> {
    const child = spawn(
      process.execPath,
      [...(preload === undefined ? [] : ['--require', preload]), MAIN, 'serve', ...args],
      {
        env: this.environment(env),
        stdio: ['ignore', 'pipe', 'inherit', ...(preload === undefined ? [] : (['ipc'] as const))],
      },
    );
    this.running.add(child);
    child.once('close', () => this.running.delete(child));
    const daemon = new DaemonProcess(child);
    daemon.url = await daemon.said(/listening on (https?:[^"\s]+)/);
    return daemon;
  }

  /** What the program is run with: nothing of this process but its PATH, and no place outside of the directory. */
  environment(more: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
    return {
      PATH: process.env.PATH,
      NODE_PATH: process.env.NODE_PATH,
      HOME: this.directory,
      FORKD_STATE: this.path('lib/state.json'),
      FORKD_AUDIT_LOG: this.path('log/audit.log'),
      FORKD_RUN_DIR: this.path('run'),
      FORKD_BIND: '127.0.0.1:0',
      FORKD_ENGINE: 'qemu',
      ...more,
    };
  }
}

/** A daemon that runs. */
export class DaemonProcess {
  url = '';
  /** What it has logged. */
  text = '';
  private wake: (() => void)[] = [];

  constructor(readonly child: ChildProcess) {
    const wake = (): void => {
      for (const resolve of this.wake.splice(0)) resolve();
    };
    child.stdout?.on('data', (chunk: Buffer) => {
      this.text += chunk.toString();
      wake();
    });
    child.once('close', wake);
  }

  /** Waits until the log has the text and gives the first group. */
  async said(text: RegExp): Promise<string> {
    for (;;) {
      const match = text.exec(this.text);
      if (match !== null) return match[1] ?? match[0];
      const { exitCode, signalCode } = this.child;
      assert.deepEqual([exitCode, signalCode], [null, null], `the daemon ended: ${this.text}`);
      await new Promise<void>((resolve) => {
        this.wake.push(resolve);
      });
    }
  }

  /** Sends the signal and waits for the end. */
  async end(signal: NodeJS.Signals): Promise<unknown[]> {
    this.child.kill(signal);
    return once(this.child, 'exit');
  }
}
