import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import type { MachineSpec, VmExit, VmPlace } from '../../../src/modules/vmm/domain/vm';
import { loadDeviceState, saveDeviceState } from './device-state';
import { DaemonLife, type FaultPlan } from './faults';
import { SimulatedGuest } from './guest';
import { GuestMemory } from './guest-memory';

export const AGENT_SOCKET = 'agent.sock';
const MIB = 1024 * 1024;
/** Past what Linux gives, so that a signal sent by mistake hits nobody. */
const FIRST_PID = 5_000_000;
const LAST_WORDS_CHARS = 2048;

export interface StartSpec extends VmPlace {
  readonly machine: MachineSpec;
  readonly memoryPath: string;
  /** Absent: the VM boots. */
  readonly vmstatePath?: string;
}

/** A VM process, as the host's kernel would show it; it outlives daemons. */
export class SimulatedProcess {
  /** Settles once, when the process is gone. */
  readonly exited: Promise<VmExit>;
  readonly runDir: string;
  private settle: (exit: VmExit) => void = () => undefined;
  private server: Server | undefined;
  private gone = false;

  private constructor(
    readonly pid: number,
    private readonly spec: StartSpec,
    readonly memory: GuestMemory,
    readonly guest: SimulatedGuest,
    private readonly onExit: () => void,
  ) {
    this.runDir = spec.runDir;
    this.exited = new Promise((resolve) => {
      this.settle = resolve;
    });
  }

  /** @throws Error with QEMU's words when it would not start. */
  static async start(
    pid: number,
    spec: StartSpec,
    plan: FaultPlan,
    onExit: () => void,
  ): Promise<SimulatedProcess> {
    const memory = new GuestMemory(spec.memoryPath, spec.machine.memSizeMib * MIB);
    try {
      const state =
        spec.vmstatePath === undefined ? undefined : loadDeviceState(spec.vmstatePath, spec.machine);
      const process: SimulatedProcess = new SimulatedProcess(
        pid,
        spec,
        memory,
        new SimulatedGuest(memory, {
          id: spec.id,
          plan,
          end: (words) => {
            process.exit({ code: 0, signal: null, lastWords: words });
          },
        }),
        onExit,
      );
      if (state !== undefined && state.ticks !== process.guest.ticks) {
        throw new Error(
          `the guest does not go on: device state of moment ${state.ticks}, memory of moment ${process.guest.ticks}`,
        );
      }
      await process.listen();
      return process;
    } catch (error) {
      memory.close();
      throw error;
    }
  }

  get machine(): MachineSpec {
    return this.spec.machine;
  }

  get isRunning(): boolean {
    return !this.gone;
  }

  saveDeviceState(path: string): void {
    const { vcpus, memSizeMib } = this.spec.machine;
    saveDeviceState(path, { vcpus, memSizeMib, ticks: this.guest.ticks });
  }

  /** Ends the process, as `kill -9` from anywhere. */
  kill(): void {
    this.exit({ code: null, signal: 'SIGKILL', lastWords: '' });
  }

  exit(exit: VmExit): void {
    if (this.gone) return;
    this.gone = true;
    this.guest.end();
    this.server?.close();
    this.memory.close();
    this.onExit();
    this.settle({ ...exit, lastWords: exit.lastWords.slice(-LAST_WORDS_CHARS) });
  }

  private listen(): Promise<void> {
    const server = createServer((socket) => {
      this.guest.connect(socket);
    });
    this.server = server;
    return new Promise((resolve, reject) => {
      server.once('error', reject);
      server.listen(join(this.spec.runDir, AGENT_SOCKET), resolve);
    });
  }
}

/** The host under the daemons: its VM processes. */
export class SimulatedWorld {
  private readonly table = new Map<number, SimulatedProcess>();
  private nextPid = FIRST_PID;

  constructor(readonly plan: FaultPlan) {}

  processes(): SimulatedProcess[] {
    return [...this.table.values()];
  }

  find(pid: number): SimulatedProcess | undefined {
    return this.table.get(pid);
  }

  /** Starts a VM; see {@link SimulatedProcess.start}. */
  async start(spec: StartSpec): Promise<SimulatedProcess> {
    const pid = this.nextPid++;
    const process = await DaemonLife.outside(() =>
      SimulatedProcess.start(pid, spec, this.plan, () => {
        this.table.delete(pid);
      }),
    );
    this.table.set(pid, process);
    return process;
  }

  /** What the end of a daemon does to its connections. */
  disconnectAll(): void {
    for (const process of this.table.values()) process.guest.disconnect();
  }
}
