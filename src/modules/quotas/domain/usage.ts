/** The numbers of a "key value" file such as memory.events, cpu.stat or memory.stat. */
export function keyedNumbers(text: string): ReadonlyMap<string, number> {
  const numbers = new Map<string, number>();
  for (const line of text.split('\n')) {
    const [key, value] = line.split(' ');
    if (key !== undefined && key !== '' && value !== undefined) numbers.set(key, Number(value));
  }
  return numbers;
}

export interface IoUsage {
  readonly read_bytes: number;
  readonly write_bytes: number;
  readonly read_ops: number;
  readonly write_ops: number;
}

/** The sums over all devices of an io.stat file. */
export function ioTotals(text: string): IoUsage {
  const total = (key: string): number =>
    [...text.matchAll(new RegExp(` ${key}=(\\d+)`, 'g'))].reduce((sum, [, value]) => sum + Number(value), 0);
  return {
    read_bytes: total('rbytes'),
    write_bytes: total('wbytes'),
    read_ops: total('rios'),
    write_ops: total('wios'),
  };
}

/** Sums of a /proc/PID/smaps_rollup file, in bytes. */
export function smapsTotals(text: string): { readonly privateBytes: number; readonly sharedBytes: number } {
  const kib = (...names: string[]): number =>
    names.reduce(
      (sum, name) => sum + Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? 0),
      0,
    );
  return {
    privateBytes: 1024 * kib('Private_Clean', 'Private_Dirty', 'Private_Hugetlb'),
    sharedBytes: 1024 * kib('Shared_Clean', 'Shared_Dirty', 'Shared_Hugetlb'),
  };
}

/** What happened to a cgroup that reached its memory limit, from memory.events. */
export interface MemoryEvents {
  /** How often it was slowed down. */
  readonly high: number;
  /** How often it reached its limit. */
  readonly max: number;
  /** How many of its processes the kernel killed for that. */
  readonly oomKills: number;
}

export const NO_MEMORY_EVENTS: MemoryEvents = { high: 0, max: 0, oomKills: 0 };

export function memoryEvents(text: string): MemoryEvents {
  const numbers = keyedNumbers(text);
  return {
    high: numbers.get('high') ?? 0,
    max: numbers.get('max') ?? 0,
    oomKills: numbers.get('oom_kill') ?? 0,
  };
}

/** What a sandbox uses of the host, since it was started. */
export interface SandboxUsage {
  readonly memory_private_bytes: number;
  readonly memory_shared_bytes: number;
  readonly memory_charged_bytes: number | null;
  readonly memory_limit_bytes: number | null;
  readonly memory_high_events: number;
  readonly oom_kills: number;
  readonly cpu_usec: number;
  readonly cpu_throttled_usec: number;
  readonly io: IoUsage;
  readonly threads: number;
}

/** Clock ticks in /proc are hundredths of a second, on every architecture that Linux has today. */
const USEC_PER_TICK = 10_000;

/** The CPU time in /proc/PID/stat: utime and stime, see proc_pid_stat(5). */
export function processCpuUsec(stat: string): number {
  // The name in parentheses may hold spaces; utime is the 12th field behind it.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11] ?? 0) + Number(fields[12] ?? 0)) * USEC_PER_TICK;
}

/** What /proc/PID/io tells; its operations are calls of the process, not of the disk. */
export function processIo(text: string): IoUsage {
  const number = (name: string): number => Number(new RegExp(`^${name}: (\\d+)`, 'm').exec(text)?.[1] ?? 0);
  return {
    read_bytes: number('read_bytes'),
    write_bytes: number('write_bytes'),
    read_ops: number('syscr'),
    write_ops: number('syscw'),
  };
}

/** The number of threads in /proc/PID/status. */
export function threadsOf(status: string): number {
  return Number(/^Threads:\s+(\d+)/m.exec(status)?.[1] ?? 0);
}
