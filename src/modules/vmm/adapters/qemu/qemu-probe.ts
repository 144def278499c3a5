import { constants } from 'node:fs';
import { access, mkdir, mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { DomainError, errnoOf, errorMessage } from '../../../../common/errors/domain-error';
import { writeFileAtomic } from '../../../../common/os/atomic-file';
import { bootId } from '../../../../common/os/proc';
import { runProcess } from '../../../../common/os/run-process';
import { type Accelerator, type BootSpec, describeExit, type EngineProbe } from '../../domain/vm';
import type { RunningVm } from '../../ports/vmm-engine';
import { CPU_MODEL, MACHINE_TYPE } from './qemu-command';
import { PROGRAM_PATH } from './qemu-process';

/** The first QEMU whose microvm has ACPI and whose options are those we use. */
const MINIMUM = [7, 0] as const;

/** A KVM that works boots the probe guest in about a second; one that does not hangs for ever. */
const KVM_PROBE_DEADLINE_MS = 8_000;

/** What a probe guest is made of. */
export interface ProbeGuest {
  readonly kernelPath: string;
  readonly initramfsPath: string;
  readonly rootfsPath: string;
}

export interface QemuProbeOptions {
  /** Name in PATH, or a path. */
  readonly binary: string;
  /** Root of the VMs' run directories; the answer about KVM is remembered here until the next boot. */
  readonly runRoot: string;
  /** A guest to boot for the question whether KVM works; undefined while no image is built. */
  readonly probeGuest: () => Promise<ProbeGuest | undefined>;
  /** Settles when the guest on this VM has answered; rejects when it never will. */
  readonly guestAnswers: (vm: RunningVm, deadlineMs: number) => Promise<void>;
}

interface KvmVerdict {
  readonly works: boolean;
  readonly reason: string;
}

/** Finds out which QEMU is there and whether KVM boots a guest. */
export class QemuProbe {
  private result: Promise<EngineProbe> | undefined;

  constructor(
    private readonly options: QemuProbeOptions,
    private readonly boot: (spec: BootSpec, accelerator: Accelerator) => Promise<RunningVm>,
  ) {}

  async probe(): Promise<EngineProbe> {
    this.result ??= this.look();
    const running = this.result;
    try {
      return await running;
    } catch (error) {
      if (this.result === running) this.result = undefined;
      throw error;
    }
  }

  private async look(): Promise<EngineProbe> {
    const version = await qemuVersion(this.options.binary);
    const kvm = await this.kvmVerdict(version);
    const accelerator: Accelerator = kvm.works ? 'kvm' : 'tcg';
    return {
      engine: 'qemu',
      version,
      accelerator,
      machine: MACHINE_TYPE,
      cpu: CPU_MODEL[accelerator],
      reason: kvm.reason,
    };
  }

  private async kvmVerdict(version: string): Promise<KvmVerdict> {
    try {
      await access('/dev/kvm', constants.R_OK | constants.W_OK);
    } catch (error) {
      const why =
        errnoOf(error) === 'ENOENT' ? 'there is no /dev/kvm' : '/dev/kvm may not be opened by this user';
      return { works: false, reason: `software emulation: ${why}` };
    }
    const cachePath = join(this.options.runRoot, '.kvm-probe.json');
    const key = `${await bootId()} ${version}`;
    const cached = await readVerdict(cachePath, key);
    if (cached) return cached;
    const guest = await this.options.probeGuest();
    if (!guest) {
      throw new DomainError(
        'internal',
        'whether KVM works is found out by booting a guest, and no image is built yet; build one: forkd image build python',
      );
    }
    const verdict = await this.bootProbeGuest(guest);
    await writeFileAtomic(cachePath, JSON.stringify({ key, ...verdict }));
    return verdict;
  }

  private async bootProbeGuest(guest: ProbeGuest): Promise<KvmVerdict> {
    await mkdir(this.options.runRoot, { recursive: true, mode: 0o700 });
    const runDir = await mkdtemp(join(this.options.runRoot, '.probe-'));
    const memSizeMib = 128;
    const memoryPath = join(runDir, 'memory');
    let vm: RunningVm | undefined;
    try {
      await writeFile(memoryPath, '');
      await truncate(memoryPath, memSizeMib * 1024 * 1024);
      const machine = { vcpus: 1, memSizeMib, rootfsPath: guest.rootfsPath };
      vm = await this.boot({ id: 'kvm-probe', runDir, machine, memoryPath, ...guest }, 'kvm');
      const died = vm.exited.then((exit) => {
        throw new Error(`the probe guest ended: ${describeExit(exit)}`);
      });
      const expiry = new AbortController();
      const late = delay(KVM_PROBE_DEADLINE_MS, undefined, { signal: expiry.signal }).then(() => {
        throw new Error(`a probe guest did not answer within ${KVM_PROBE_DEADLINE_MS / 1000} s`);
      });
      const outcome = Promise.race([this.options.guestAnswers(vm, KVM_PROBE_DEADLINE_MS), died, late]);
      await outcome.finally(() => {
        expiry.abort();
        Promise.allSettled([died, late]).catch(() => undefined);
      });
      return { works: true, reason: 'KVM: a probe guest booted' };
    } catch (error) {
      return {
        works: false,
        reason: `software emulation: KVM does not boot a guest here (${errorMessage(error)})`,
      };
    } finally {
      await vm?.kill();
      await rm(runDir, { recursive: true, force: true });
    }
  }
}

async function readVerdict(path: string, key: string): Promise<KvmVerdict | undefined> {
  try {
    const cached = JSON.parse(await readFile(path, 'utf8')) as {
      key?: unknown;
      works?: unknown;
      reason?: unknown;
    };
    if (cached.key === key && typeof cached.works === 'boolean' && typeof cached.reason === 'string') {
      return { works: cached.works, reason: cached.reason };
    }
  } catch {
    // Never asked on this boot, or not readable: ask.
  }
  return undefined;
}

/** The version of a QEMU binary, e.g. "7.2.22". Throws a DomainError when it is missing or too old. */
export async function qemuVersion(binary: string): Promise<string> {
  let text: string;
  try {
    text = (await runProcess(binary, ['--version'], { timeoutMs: 10_000, env: { PATH: PROGRAM_PATH } }))
      .stdout;
  } catch (error) {
    throw new DomainError(
      'internal',
      `QEMU is not usable: ${errorMessage(error)}; install it (Debian: apt-get install qemu-system-x86)`,
      { cause: error },
    );
  }
  const match = /version (\d+)\.(\d+)(?:\.\d+)?/.exec(text);
  const version = match?.[0].slice('version '.length);
  if (!match || version === undefined)
    throw new DomainError('internal', `${binary} does not tell its version as QEMU does`);
  const [major, minor] = [Number(match[1]), Number(match[2])];
  if (major < MINIMUM[0] || (major === MINIMUM[0] && minor < MINIMUM[1])) {
    throw new DomainError(
      'internal',
      `QEMU ${version} is too old: ${MINIMUM.join('.')} or newer is needed; install a newer qemu-system-x86`,
    );
  }
  return version;
}
