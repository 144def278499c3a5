import { readFile } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { DomainError, errorMessage } from '../../../../common/errors/domain-error';
import { allPids, commandLine, isAlive } from '../../../../common/os/proc';
import {
  type BootSpec,
  describeExit,
  type EngineName,
  type EngineProbe,
  type RestoreSpec,
  type VmPlace,
} from '../../domain/vm';
import { VmmEngine, type RunningVm } from '../../ports/vmm-engine';
import { kernelArguments, launchPrefix, QMP_SOCKET, qemuArguments, tscKhzFromCpuinfo } from './qemu-command';
import { adoptedProcess, killPid, LaunchError, startQemu } from './qemu-process';
import { QemuProbe, type QemuProbeOptions } from './qemu-probe';
import { lastWords, QemuVm } from './qemu-vm';
import { QmpClient } from './qmp-client';

/** QEMU takes some 10 ms from start to its greeting; past this it hangs. */
const GREETING_DEADLINE_MS = 30_000;

/** How long a start waits for the greeting of a VM that it takes over. */
const ADOPTION_MS = 500;

/** QEMU microvms: software emulation anywhere, KVM where it really works. */
export class QemuEngine extends VmmEngine {
  readonly name: EngineName = 'qemu';
  private readonly prober: QemuProbe;
  private readonly binary: string;
  private tscKhz: Promise<number | undefined> | undefined;

  constructor(options: QemuProbeOptions) {
    super();
    this.binary = options.binary;
    this.prober = new QemuProbe(options, (spec, accelerator) => this.start(spec, accelerator));
  }

  probe(): Promise<EngineProbe> {
    return this.prober.probe();
  }

  async boot(spec: BootSpec): Promise<RunningVm> {
    const { accelerator } = await this.probe();
    return this.start(spec, accelerator);
  }

  async restore(spec: RestoreSpec): Promise<RunningVm> {
    const { accelerator } = await this.probe();
    const { machine, memoryPath, runDir } = spec;
    const { network } = spec;
    const start = { kind: 'restore' as const };
    const args = qemuArguments({ accelerator, runDir, machine, memoryPath, network, start });
    return this.launch(spec, args, machine.memSizeMib, spec);
  }

  async adopt(place: VmPlace, pid: number): Promise<RunningVm | undefined> {
    const args = await commandLine(pid);
    if (!args || !ownsPlace(args, place.runDir)) return undefined;
    const memoryBytes = memoryBytesOf(args);
    if (memoryBytes === undefined) return undefined;
    const socket = createConnection(`${place.runDir}/${QMP_SOCKET}`);
    const qmp = new QmpClient(socket);
    const ready = deadline(qmp.ready(), 'greet');
    const refused = ready.then(
      () => false,
      () => true,
    );
    // One that hangs is alive: it is no reason to keep the others waiting, or to kill it.
    if (await Promise.race([refused, delay(ADOPTION_MS, false, { ref: false })])) {
      qmp.close();
      return undefined;
    }
    const process = adoptedProcess(pid, qmp.closed, async () => runs(pid, place.runDir));
    return new QemuVm(process, qmp, place.runDir, memoryBytes, ready);
  }

  async reclaim(runRoot: string, keep: (id: string) => boolean): Promise<string[]> {
    const prefix = `path=${runRoot}/`.replaceAll(',', ',,');
    const killed: string[] = [];
    for (const pid of await allPids()) {
      const args = await commandLine(pid);
      const socket = args
        ?.map((arg) => (arg.indexOf(prefix) >= 0 ? arg : ''))
        .find((arg) => arg.includes(`/${QMP_SOCKET},`));
      if (socket === undefined) continue;
      const id = socket.slice(socket.indexOf(prefix) + prefix.length).split('/')[0];
      if (id === undefined || id === '' || keep(id)) continue;
      killPid(pid);
      while (await isAlive(pid)) await delay(5);
      killed.push(id);
    }
    return killed;
  }

  private async start(spec: BootSpec, accelerator: EngineProbe['accelerator']): Promise<QemuVm> {
    const { machine, memoryPath, runDir, network, kernelPath, initramfsPath } = spec;
    this.tscKhz ??= readFile('/proc/cpuinfo', 'utf8').then(tscKhzFromCpuinfo, () => undefined);
    const kernelArgs = kernelArguments(accelerator, await this.tscKhz, spec.kernelArgs);
    const start = { kind: 'boot' as const, kernelPath, initramfsPath, kernelArgs };
    const args = qemuArguments({ accelerator, runDir, machine, memoryPath, network, start });
    return this.launch(spec, args, machine.memSizeMib, { network });
  }

  private async launch(
    { runDir }: VmPlace,
    args: readonly string[],
    memSizeMib: number,
    { vmstatePath, launch, network }: Partial<RestoreSpec>,
  ): Promise<QemuVm> {
    const same = (pid: number): Promise<boolean> => runs(pid, runDir);
    const { watch, control } = await startQemu({
      command: [this.binary, ...args],
      runDir,
      vmstatePath,
      launch: { ...launch, prefix: [...(launch?.prefix ?? []), ...launchPrefix(network)] },
      same,
    }).catch(async (error: unknown) => {
      if (!(error instanceof LaunchError)) throw error;
      throw new DomainError(
        'internal',
        `QEMU did not start: ${(await lastWords(runDir)) || 'it said nothing'}`,
      );
    });
    const qmp = new QmpClient(control);
    const vm = new QemuVm(watch(qmp.closed), qmp, runDir, memSizeMib * 1024 * 1024);
    try {
      await deadline(qmp.ready(), 'accept commands');
      return vm;
    } catch (error) {
      await vm.kill();
      const exit = await vm.exited;
      // Our own SIGKILL tells nothing, the error before it does.
      const reason =
        exit.lastWords === '' && exit.signal === 'SIGKILL' ? errorMessage(error) : describeExit(exit);
      throw new DomainError('internal', `QEMU did not start: ${reason}`, { cause: error });
    }
  }
}

async function deadline<T>(work: Promise<T>, what: string): Promise<T> {
  const controller = new AbortController();
  const expiry = delay(GREETING_DEADLINE_MS, undefined, { signal: controller.signal, ref: false }).then(
    () => {
      throw new DomainError('internal', `QEMU did not ${what} within ${GREETING_DEADLINE_MS / 1000} s`);
    },
  );
  try {
    return await Promise.race([work, expiry]);
  } finally {
    controller.abort();
    expiry.catch(() => undefined);
  }
}

function ownsPlace(args: readonly string[], runDir: string): boolean {
  const socket = `path=${`${runDir}/${QMP_SOCKET}`.replaceAll(',', ',,')},`;
  return args.some((arg) => arg.startsWith('socket,id=qmp,') && arg.includes(socket));
}

async function runs(pid: number, runDir: string): Promise<boolean> {
  const args = await commandLine(pid);
  return args !== undefined && ownsPlace(args, runDir);
}

/** How much guest memory an adopted QEMU maps, from its own command line. */
function memoryBytesOf(args: readonly string[]): number | undefined {
  const object = args.find((arg) => arg.startsWith('memory-backend-file,'));
  const size = object === undefined ? undefined : /,size=(\d+)M,share=off$/.exec(object)?.[1];
  return size === undefined ? undefined : Number(size) * 1024 * 1024;
}
