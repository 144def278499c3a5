import type { HeldLimits, IoLimits } from './limits';

/** One file of a cgroup and what is written to it. Sources: the kernel's Documentation/admin-guide/cgroup-v2.rst. */
export interface CgroupSetting {
  readonly file: string;
  readonly value: string;
  /** Not there on every kernel, and nothing that was asked for depends on it. */
  readonly optional?: true;
}

/** The controllers that limits need. */
export const CONTROLLERS = ['memory', 'cpu', 'io', 'pids'] as const;
export type Controller = (typeof CONTROLLERS)[number];

const MIB = 1024 * 1024;
const CPU_PERIOD_USEC = 100_000;
/**
 * Threads of a VMM that nobody limited: far more than it ever has, and far fewer than would harm the host, should somebody
 * break out of the guest into the VMM.
 */
const DEFAULT_PIDS = 512;

/**
 * What a sandbox's cgroup is set to.
 *
 * @param devices the disks below a sandbox's files, as MAJOR:MINOR.
 */
export function cgroupSettings(
  limits: HeldLimits,
  controllers: ReadonlySet<Controller>,
  devices: readonly string[],
): CgroupSetting[] {
  const settings: CgroupSetting[] = [];
  if (controllers.has('memory')) {
    // A VMM that lost one of its threads would be of no use.
    settings.push({ file: 'memory.oom.group', value: '1', optional: true });
    if (limits.memory_limit_mib !== null) settings.push(...memorySettings(limits.memory_limit_mib));
  }
  if (limits.cpu_limit !== undefined) {
    const quota = Math.round(limits.cpu_limit * CPU_PERIOD_USEC);
    settings.push({ file: 'cpu.max', value: `${quota} ${CPU_PERIOD_USEC}` });
  }
  if (controllers.has('pids')) {
    settings.push({ file: 'pids.max', value: String(limits.pids_limit ?? DEFAULT_PIDS) });
  }
  if (limits.io_limits !== undefined) {
    const value = ioMax(limits.io_limits);
    settings.push(...devices.map((device) => ({ file: 'io.max', value: `${device} ${value}` })));
  }
  return settings;
}

function memorySettings(limitMib: number): CgroupSetting[] {
  const max = limitMib * MIB;
  // From here on the VM is slowed down, which shows in memory.events before the limit ends it. Closer would say nothing,
  // farther off a VM that cannot give anything back would crawl for seconds.
  const high = max - Math.floor(max / 32 / 4096) * 4096;
  return [
    { file: 'memory.max', value: String(max) },
    { file: 'memory.high', value: String(high) },
    // Absent where the kernel counts no swap; then there is none to be used.
    { file: 'memory.swap.max', value: '0', optional: true },
  ];
}

function ioMax(limits: IoLimits): string {
  const keys: readonly [string, number | undefined][] = [
    ['rbps', limits.read_bytes_per_sec],
    ['wbps', limits.write_bytes_per_sec],
    ['riops', limits.read_ops_per_sec],
    ['wiops', limits.write_ops_per_sec],
  ];
  return keys.flatMap(([key, rate]) => (rate === undefined ? [] : [`${key}=${rate}`])).join(' ');
}
