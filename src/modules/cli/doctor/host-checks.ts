import { constants } from 'node:fs';
import { access, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { errnoOf } from '../../../common/errors/domain-error';
import { bootId } from '../../../common/os/proc';
import { runProcess } from '../../../common/os/run-process';
import { type Check, fail, type Finding, pass, warn } from './check';
import { atLeast, cgroupMount, versionIn } from './parse';
import { hasSoftDirty } from '../../../common/os/soft-dirty';

const OLDEST_NODE = [20, 19] as const;
/** The first QEMU whose microvm machine has all that the daemon asks of it. */
const OLDEST_QEMU = [7, 0] as const;
const QEMU_MS = 10_000;
/** Where the daemon looks for a bare name. */
const PROGRAM_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
/** Reading these takes a hardware access each time, in a guest far longer. */
const SLOW_CLOCKS: readonly string[] = ['hpet', 'acpi_pm', 'pit', 'jiffies', 'refined-jiffies'];
const CONTROLLERS = ['memory', 'cpu', 'pids'] as const;

export interface HostFacts {
  readonly qemu: string;
  readonly runDir: string;
  /** Of the daemon. */
  readonly uid: number;
  /** A file of this program. */
  readonly programFile: string;
}

export function hostChecks(facts: HostFacts): Check[] {
  const qemuVersion = once(() => readQemuVersion(facts.qemu));
  return [
    { name: 'node', run: () => Promise.resolve(node()) },
    { name: 'qemu', run: async () => qemu(facts.qemu, await qemuVersion()) },
    { name: 'kvm', run: async () => kvm(facts.runDir, await qemuVersion()) },
    { name: 'cgroup', run: cgroup },
    { name: 'soft-dirty', run: softDirty },
    { name: 'ptrace', run: () => ptrace(facts.uid) },
    { name: 'clock', run: () => clock(facts.programFile) },
  ];
}

function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => (made ??= make());
}

function node(): Finding {
  const version = process.versions.node;
  const oldest = OLDEST_NODE.join('.');
  return atLeast(versionIn(version), OLDEST_NODE)
    ? pass(version)
    : fail(`${version}, but ${oldest} or newer is needed`, 'apt-get install nodejs   # or from nodejs.org');
}

async function readQemuVersion(binary: string): Promise<string | Error> {
  try {
    const { stdout } = await runProcess(binary, ['--version'], {
      timeoutMs: QEMU_MS,
      env: { PATH: PROGRAM_PATH },
    });
    return (
      /version (\d+\.\d+(?:\.\d+)?)/.exec(stdout)?.[1] ?? new Error(`${binary} does not tell its version`)
    );
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

function qemu(binary: string, version: string | Error): Finding {
  const fix = 'apt-get install --no-install-recommends qemu-system-x86';
  if (version instanceof Error) return fail(version.message, fix);
  return atLeast(versionIn(version), OLDEST_QEMU)
    ? pass(`${binary} ${version}`)
    : fail(`${binary} is ${version}, but ${OLDEST_QEMU.join('.')} or newer is needed`, fix);
}

async function kvm(runDir: string, version: string | Error): Promise<Finding> {
  const slow = 'VMs are emulated in software, an order of magnitude slower';
  try {
    await access('/dev/kvm', constants.R_OK | constants.W_OK);
  } catch (error) {
    return errnoOf(error) === 'ENOENT'
      ? warn(
          `there is no /dev/kvm: ${slow}`,
          'modprobe kvm_intel || modprobe kvm_amd   # in a VM: switch on nested virtualization first',
        )
      : warn(
          `/dev/kvm may not be opened by this user: ${slow}`,
          'sudo usermod -aG kvm "$USER"   # then log in again',
        );
  }
  const path = join(runDir, '.kvm-probe.json');
  const verdict = await readFile(path, 'utf8').then(
    (text) => JSON.parse(text) as { key?: unknown; works?: unknown; reason?: unknown },
    () => undefined,
  );
  const key = version instanceof Error ? undefined : `${await bootId()} ${version}`;
  if (verdict?.key !== key || typeof verdict?.works !== 'boolean') {
    return warn('/dev/kvm is there; whether it boots a guest was not tried yet: the first VM will tell');
  }
  if (verdict.works) return pass('/dev/kvm boots a guest');
  const said = typeof verdict.reason === 'string' ? verdict.reason : 'KVM does not boot a guest here';
  return warn(
    `/dev/kvm is there, but ${said.replace(/^software emulation: /, '')}: ${slow}`,
    `dmesg | grep -i kvm   # to try again: rm ${path}`,
  );
}

async function cgroup(): Promise<Finding> {
  const option = 'systemd.unified_cgroup_hierarchy=1';
  const boot = `sudo sed -i 's/^GRUB_CMDLINE_LINUX="/&${option} /' /etc/default/grub && sudo update-grub && sudo reboot`;
  const mount = cgroupMount(await readFile('/proc/self/mountinfo', 'utf8'));
  if (mount === undefined) return warn('no cgroup v2: memory limits are not enforced', boot);
  const found = (await readFile(join(mount, 'cgroup.controllers'), 'utf8')).trim().split(/\s+/);
  const missing = CONTROLLERS.filter((name) => !found.includes(name));
  return missing.length === 0
    ? pass(`cgroup v2 at ${mount} with ${CONTROLLERS.join(', ')}`)
    : warn(`cgroup v2 at ${mount} has no ${missing.join(', ')}: limits are not enforced`, boot);
}

async function softDirty(): Promise<Finding> {
  return (await hasSoftDirty())
    ? pass('the kernel tracks written pages')
    : warn(
        'the kernel does not track written pages (CONFIG_MEM_SOFT_DIRTY): live branches are made as diff',
        'apt-get install linux-image-amd64   # a kernel that does; then reboot',
      );
}

/** A daemon that is not root reads the memory of VMs that an earlier daemon started, which are not its children. */
async function ptrace(uid: number): Promise<Finding> {
  if (uid === 0) return pass('the daemon is root');
  const scope = await readFile('/proc/sys/kernel/yama/ptrace_scope', 'utf8').then(Number, () => 0);
  if (scope === 0) return pass('a user may read the memory of all its processes');
  const fix = 'sudo sysctl -w kernel.yama.ptrace_scope=0';
  return scope === 1
    ? warn('ptrace_scope is 1: sandboxes from before a restart of the daemon cannot be branched', fix)
    : fail(`ptrace_scope is ${scope}: only root can branch sandboxes`, fix);
}

async function clock(programFile: string): Promise<Finding> {
  const now = Date.now();
  const { mtimeMs } = await stat(programFile);
  if (now < mtimeMs) {
    return fail(
      `the time is ${new Date(now).toISOString()}, before this program was installed; guests get it as well`,
      'timedatectl set-ntp true   # or: date -s TIME',
    );
  }
  const path = '/sys/devices/system/clocksource/clocksource0';
  const source = (await readFile(`${path}/current_clocksource`, 'utf8').catch(() => '')).trim();
  if (!SLOW_CLOCKS.includes(source))
    return pass(`${new Date(now).toISOString()}, source ${source || 'unknown'}`);
  return warn(
    `the clock source is ${source}, which is slow`,
    `cat ${path}/available_clocksource   # choose tsc or kvm-clock`,
  );
}
