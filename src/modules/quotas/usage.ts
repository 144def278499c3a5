import {
  ioTotals,
  keyedNumbers,
  memoryEvents,
  processIo,
  processCpuUsec,
  type SandboxUsage,
  smapsTotals,
  threadsOf,
} from './domain/usage';

/** Where the figures of a VM come from. */
export interface UsageSource {
  /** Reads a file of the VM's directory in /proc. */
  readonly ofProcess: (file: string) => Promise<string>;
  /** Reads a file of the VM's cgroup, empty where that has none; undefined for a VM without cgroup. */
  readonly ofGroup: ((file: string) => Promise<string>) | undefined;
}

/** What a VM uses. @throws system errors when it has ended. */
export async function readUsage({ ofProcess, ofGroup }: UsageSource): Promise<SandboxUsage> {
  const group = ofGroup ?? ((): Promise<string> => Promise.resolve(''));
  const [smaps, cpuStat, ioStat, pids, current, max, events] = await Promise.all([
    ofProcess('smaps_rollup'),
    group('cpu.stat'),
    group('io.stat'),
    group('pids.current'),
    group('memory.current'),
    group('memory.max'),
    group('memory.events'),
  ]);
  const { privateBytes, sharedBytes } = smapsTotals(smaps);
  const cpu = keyedNumbers(cpuStat);
  const { high, oomKills } = memoryEvents(events);
  return {
    memory_private_bytes: privateBytes,
    memory_shared_bytes: sharedBytes,
    memory_charged_bytes: current === '' ? null : Number(current),
    memory_limit_bytes: max === '' || max.startsWith('max') ? null : Number(max),
    memory_high_events: high,
    oom_kills: oomKills,
    cpu_usec: cpu.get('usage_usec') ?? processCpuUsec(await ofProcess('stat')),
    cpu_throttled_usec: cpu.get('throttled_usec') ?? 0,
    io: ioStat === '' ? processIo(await ofProcess('io')) : ioTotals(ioStat),
    threads: pids === '' ? threadsOf(await ofProcess('status')) : Number(pids),
  };
}
