import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';

/** A process beyond its pid, which the kernel gives out again. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Field 22 of /proc/PID/stat: clock ticks from boot to the process's start. */
  readonly startTime: string;
  readonly bootId: string;
}

/**
 * The identity of a live process; undefined when it is gone or a zombie. One whose first thread is a zombie while others are
 * still ending is alive: it holds its files and ports.
 */
export async function identify(pid: number): Promise<ProcessIdentity | undefined> {
  try {
    const [stat, bootId] = await Promise.all([
      readFile(`/proc/${pid}/stat`, 'utf8'),
      readFile('/proc/sys/kernel/random/boot_id', 'utf8'),
    ]);
    // The name in parentheses may hold anything, so count from its end: field 3 comes first.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const startTime = fields[19];
    const ended = fields[0] === 'X' || (fields[0] === 'Z' && Number(fields[17]) <= 1);
    if (startTime === undefined || ended) return undefined;
    return { pid, startTime, bootId: bootId.trim() };
  } catch {
    return undefined;
  }
}

export async function isAlive(identity: ProcessIdentity): Promise<boolean> {
  const now = await identify(identity.pid);
  return now?.startTime === identity.startTime && now.bootId === identity.bootId;
}

/** Waits for the end of a process that may not be a child of this one; false when the time is up. */
export async function goneWithin(identity: ProcessIdentity, timeoutMs: number): Promise<boolean> {
  // Node has no pidfd, and only a parent is told of an end: looking is the only way.
  const deadline = performance.now() + timeoutMs;
  while (await isAlive(identity)) {
    if (performance.now() > deadline) return false;
    await delay(25);
  }
  return true;
}

/** Memory that only this process has, in bytes; undefined when it cannot be read. */
export async function privateMemory(pid: number): Promise<number | undefined> {
  let text: string;
  try {
    text = await readFile(`/proc/${pid}/smaps_rollup`, 'utf8');
  } catch {
    return undefined;
  }
  let kib = 0;
  for (const match of text.matchAll(/^Private_(?:Clean|Dirty):\s+(\d+) kB$/gm)) kib += Number(match[1]);
  return kib * 1024;
}
