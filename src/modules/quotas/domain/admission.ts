import { DomainError } from '../../../common/errors/domain-error';

/** What the host and its operator allow. */
export interface Ceilings {
  readonly maxSandboxes: number | undefined;
  /** 0: memory is not looked at. */
  readonly memoryReserveMib: number;
  readonly memoryOvercommit: number | undefined;
}

export interface HostMemory {
  readonly totalMib: number;
  /** What could be used without swapping, by the kernel's estimate. */
  readonly availableMib: number;
}

/** What runs or is just being started. */
export interface Load {
  readonly sandboxes: number;
  /** The most that they may come to use. */
  readonly promisedMib: number;
  /** What those that are just being started will take of the available memory at once. */
  readonly startingMib: number;
}

/** So many sandboxes more. */
export interface Demand {
  readonly sandboxes: number;
  readonly promisedMib: number;
  readonly startingMib: number;
}

/** Seconds after which it may be worth to ask again: sandboxes are short-lived. */
const RETRY_AFTER_SECS = 5;

/** @throws DomainError unavailable naming the ceiling, what there is and what was asked for. */
export function requireRoomFor(demand: Demand, load: Load, memory: HostMemory, ceilings: Ceilings): void {
  const { maxSandboxes, memoryReserveMib, memoryOvercommit } = ceilings;
  const asked = `${demand.sandboxes} more`;
  if (maxSandboxes !== undefined && load.sandboxes + demand.sandboxes > maxSandboxes) {
    refuse(
      `this host may have ${maxSandboxes} sandboxes (--max-sandboxes): ${load.sandboxes} run or are being started, and ${asked} were asked for`,
    );
  }
  const free = Math.floor(memory.availableMib - load.startingMib);
  if (memoryReserveMib > 0 && free - demand.startingMib < memoryReserveMib) {
    refuse(
      `this host has ${Math.max(0, free)} MiB of memory available and keeps ${memoryReserveMib} MiB of it (--memory-reserve): ${asked} would take about ${demand.startingMib} MiB at once`,
    );
  }
  if (memoryOvercommit === undefined) return;
  const ceiling = Math.floor(Math.max(0, memory.totalMib - memoryReserveMib) * memoryOvercommit);
  if (load.promisedMib + demand.promisedMib > ceiling) {
    refuse(
      `this host may promise ${ceiling} MiB of memory (--memory-overcommit ${memoryOvercommit}): ${load.promisedMib} MiB are promised, and ${asked} could come to use ${demand.promisedMib} MiB`,
    );
  }
}

/** From /proc/meminfo. */
export function hostMemory(meminfo: string): HostMemory {
  const mib = (name: string): number =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(meminfo)?.[1] ?? 0) / 1024;
  return { totalMib: mib('MemTotal'), availableMib: mib('MemAvailable') };
}

function refuse(reason: string): never {
  throw new DomainError('unavailable', `${reason}; delete sandboxes, or retry later`, {
    retryAfterSecs: RETRY_AFTER_SECS,
  });
}
