import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type DaemonProcess, DaemonProcesses } from '../daemon-process';
import { TestClient } from '../http';
import { IMAGE_ROOT } from '../real-host';
import { vmProcesses } from './estate';
import { ENV, type FaultOrder, HIT } from './fault-order';

const PRELOAD = join(__dirname, 'fault-preload.js');

/** A daemon that can be told where to die; its directories and VMs outlive it. */
export class MortalDaemon {
  private process: DaemonProcess | undefined;
  private asked = new TestClient(0);
  /** Orders that were carried out before the latest was given. */
  private hitsBefore = 0;

  private constructor(private readonly processes: DaemonProcesses) {}

  static async create(): Promise<MortalDaemon> {
    return new MortalDaemon(await DaemonProcesses.create());
  }

  get root(): string {
    return this.processes.directory;
  }

  get client(): TestClient {
    return this.asked;
  }

  get isAlive(): boolean {
    return this.process !== undefined && !hasEnded(this.process);
  }

  path(name: string): string {
    return this.processes.path(name);
  }

  /** @param order to be carried out while it starts; then it may end instead, which is told by false. */
  async start(order?: FaultOrder): Promise<boolean> {
    await writeFile(this.tracePath, '');
    this.hitsBefore = 0;
    const env = {
      FORKD_IMAGE_ROOT: IMAGE_ROOT,
      FORKD_SNAPSHOT_ROOT: this.path('snapshots'),
      [ENV.root]: this.root,
      [ENV.trace]: this.tracePath,
      ...(order === undefined ? {} : { [ENV.order]: JSON.stringify(order) }),
    };
    try {
      this.process = await this.processes.serve([], env, PRELOAD);
    } catch (error) {
      if (order === undefined) throw error;
      return false;
    }
    this.asked = new TestClient(Number(new URL(this.process.url).port));
    return true;
  }

  /** Settles when the daemon knows what it is to suffer. */
  async order(order: FaultOrder): Promise<void> {
    const { child } = this.running;
    this.hitsBefore = (await this.traced()).hits.length;
    const taken = once(child, 'message');
    child.send(order);
    await taken;
  }

  /** Ends it by a signal, if it has not ended yet, and waits for the end. */
  async end(signal: NodeJS.Signals): Promise<void> {
    if (this.process !== undefined && !hasEnded(this.process)) await this.process.end(signal);
    this.process = undefined;
  }

  /** Sends a signal, and does not wait. */
  signal(signal: NodeJS.Signals): void {
    this.running.child.kill(signal);
  }

  /** Settles with its exit code and signal when it has ended, whoever ended it. */
  async ended(): Promise<[code: number | null, signal: NodeJS.Signals | null]> {
    const { child } = this.running;
    if (this.isAlive) await once(child, 'exit');
    return [child.exitCode, child.signalCode];
  }

  /** Waits until it has logged the text. */
  async said(text: RegExp): Promise<void> {
    await this.running.said(text);
  }

  /** Takes back an order that was not carried out. */
  async withdraw(): Promise<void> {
    if (this.isAlive) await this.order({ nth: Number.MAX_SAFE_INTEGER, action: 'kill' });
  }

  /** The events since the start, and at which of them the latest order was carried out. */
  async trace(): Promise<{ events: readonly string[]; hit?: string }> {
    const { events, hits } = await this.traced();
    const hit = hits[this.hitsBefore];
    return { events, ...(hit === undefined ? {} : { hit }) };
  }

  /** What the daemon that runs, or ran last, has logged. */
  get log(): string {
    return this.process?.text ?? '';
  }

  /** Ends it and what VMs a failed test has left. */
  async close(): Promise<void> {
    await this.end('SIGKILL');
    for (const pid of await vmProcesses(this.root)) process.kill(pid, 'SIGKILL');
    await this.processes.close();
  }

  private async traced(): Promise<{ events: string[]; hits: string[] }> {
    const lines = (await readFile(this.tracePath, 'utf8')).split('\n').filter((line) => line !== '');
    return {
      events: lines.filter((line) => !line.startsWith(HIT)),
      hits: lines.filter((line) => line.startsWith(HIT)).map((line) => line.slice(HIT.length)),
    };
  }

  private get running(): DaemonProcess {
    if (this.process === undefined) throw new Error('no daemon runs');
    return this.process;
  }

  private get tracePath(): string {
    return this.path('trace.log');
  }
}

function hasEnded({ child }: DaemonProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}
