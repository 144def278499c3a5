import { createConnection, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { join } from 'node:path';
import { DomainError, errorMessage } from '../../../src/common/errors/domain-error';
import type {
  BootSpec,
  EngineName,
  EngineProbe,
  GuestMemoryMap,
  RestoreSpec,
  VmExit,
  VmPlace,
} from '../../../src/modules/vmm/domain/vm';
import { RunningVm, VmmEngine } from '../../../src/modules/vmm/ports/vmm-engine';
import type { DaemonLife } from './faults';
import { AGENT_SOCKET, type SimulatedProcess, type SimulatedWorld, type StartSpec } from './world';

/** A daemon's grip on a simulated VM. */
class SimulatedVm extends RunningVm {
  readonly exited: Promise<VmExit>;
  private channel: Socket | undefined;

  constructor(
    private readonly process: SimulatedProcess,
    private readonly life: DaemonLife,
    private readonly id: string,
    adopted: boolean,
  ) {
    super();
    const unknown = { code: null, signal: null };
    this.exited = life.alive(process.exited.then((exit) => (adopted ? { ...exit, ...unknown } : exit)));
  }

  get pid(): number {
    return this.process.pid;
  }

  get memoryBytes(): number {
    return this.process.memory.bytes;
  }

  async openChannel(): Promise<Duplex> {
    await this.life.passOrEnd({ name: 'vm.channel', target: this.id }, () => {
      this.process.kill();
    });
    this.channel?.destroy();
    const socket = createConnection(join(this.process.runDir, AGENT_SOCKET));
    this.channel = socket;
    return new Promise((resolve, reject) => {
      socket.once('connect', () => {
        resolve(socket);
      });
      socket.once('error', (error) => {
        reject(new DomainError('internal', `the VM's agent channel cannot be opened: ${error.message}`));
      });
    });
  }

  async pause(): Promise<void> {
    await this.command('vm.pause');
    this.process.guest.pause();
  }

  async resume(): Promise<void> {
    await this.command('vm.resume');
    this.process.guest.resume();
  }

  async saveDeviceState(path: string): Promise<void> {
    await this.command('vm.save');
    if (!this.process.guest.paused) throw new DomainError('internal', 'QEMU: the VM is not paused');
    this.process.saveDeviceState(path);
  }

  async guestMemory(): Promise<GuestMemoryMap> {
    await this.command('vm.memory');
    const { backingPath, bytes } = this.process.memory;
    const regions = [{ address: 0x7f00_0000_0000n, length: bytes, fileOffset: 0 }];
    return { pid: this.pid, regions, backingPath };
  }

  async console(): Promise<string> {
    await this.command('vm.console');
    return 'the simulated guest is up\n';
  }

  async kill(): Promise<void> {
    await this.pass('vm.kill');
    this.process.kill();
    await this.exited;
  }

  release(): void {
    this.channel?.destroy();
  }

  private pass(name: string): Promise<void> {
    return this.life.pass({ name, target: this.id }, () => {
      this.process.kill();
    });
  }

  private async command(name: string): Promise<void> {
    await this.pass(name);
    if (!this.process.isRunning) throw new DomainError('internal', 'QEMU: the control connection was closed');
  }
}

/** Engine of one daemon's life over the simulated world; it looks like QEMU with TCG. */
export class SimulatedEngine extends VmmEngine {
  readonly name: EngineName = 'qemu';

  constructor(
    private readonly world: SimulatedWorld,
    private readonly life: DaemonLife,
  ) {
    super();
  }

  async probe(): Promise<EngineProbe> {
    await this.life.pass({ name: 'probe', target: '' });
    return {
      engine: 'qemu',
      version: '7.2.22',
      accelerator: 'tcg',
      machine: 'microvm',
      cpu: 'max',
      reason: 'simulated',
    };
  }

  boot(spec: BootSpec): Promise<RunningVm> {
    const { id, runDir, machine, memoryPath } = spec;
    return this.start('boot', { id, runDir, machine, memoryPath });
  }

  restore(spec: RestoreSpec): Promise<RunningVm> {
    return this.start('restore', spec);
  }

  async adopt(place: VmPlace, pid: number): Promise<RunningVm | undefined> {
    await this.life.pass({ name: 'adopt', target: place.id });
    const process = this.world.find(pid);
    if (process?.runDir !== place.runDir) return undefined;
    return new SimulatedVm(process, this.life, place.id, true);
  }

  async reclaim(runRoot: string, keep: (id: string) => boolean): Promise<string[]> {
    await this.life.pass({ name: 'reclaim', target: runRoot });
    const killed: string[] = [];
    for (const process of this.world.processes()) {
      if (!process.runDir.startsWith(`${runRoot}/`)) continue;
      const id = process.runDir.slice(runRoot.length + 1).split('/')[0] ?? '';
      if (keep(id)) continue;
      process.kill();
      killed.push(id);
    }
    return killed;
  }

  private async start(name: 'boot' | 'restore', spec: StartSpec): Promise<RunningVm> {
    await this.life.pass({ name, target: spec.id });
    let process: SimulatedProcess;
    try {
      process = await this.world.start(spec);
    } catch (error) {
      throw new DomainError('internal', `QEMU did not start: qemu-system-x86_64: ${errorMessage(error)}`);
    }
    try {
      // It runs, but its daemon has not heard of it yet.
      await this.life.pass({ name: `${name}.greeting`, target: spec.id }, () => {
        process.kill();
      });
    } catch (error) {
      process.kill();
      throw error;
    }
    return new SimulatedVm(process, this.life, spec.id, false);
  }
}
