import { DomainError } from '../../../common/errors/domain-error';

/** Bytes and operations per second of a sandbox's disk accesses; what is absent is not limited. */
export interface IoLimits {
  readonly read_bytes_per_sec?: number;
  readonly write_bytes_per_sec?: number;
  readonly read_ops_per_sec?: number;
  readonly write_ops_per_sec?: number;
}

export const IO_LIMIT_NAMES = [
  'read_bytes_per_sec',
  'write_bytes_per_sec',
  'read_ops_per_sec',
  'write_ops_per_sec',
] as const satisfies readonly (keyof IoLimits)[];

/** Bytes per second of a sandbox's network traffic. */
export interface Bandwidth {
  readonly ingress_bytes_per_sec?: number;
  readonly egress_bytes_per_sec?: number;
}

export const BANDWIDTH_NAMES = [
  'ingress_bytes_per_sec',
  'egress_bytes_per_sec',
] as const satisfies readonly (keyof Bandwidth)[];

/** The limits that a client may ask for, by the wire's names; null stands for none. */
export interface LimitWish {
  readonly memory_limit_mib: number | null;
  /** CPUs, fractions allowed. */
  readonly cpu_limit: number | null;
  /** Host threads of the VMM. */
  readonly pids_limit: number | null;
  readonly io_limits: IoLimits | null;
  readonly disk_limit_mib: number | null;
  readonly bandwidth: Bandwidth | null;
}

export type LimitName = keyof LimitWish;

export const NO_LIMITS: LimitWish = {
  memory_limit_mib: null,
  cpu_limit: null,
  pids_limit: null,
  io_limits: null,
  disk_limit_mib: null,
  bandwidth: null,
};

/** What holds for a sandbox, as its record tells it. */
export interface HeldLimits {
  memory_limit_mib: number | null;
  cpu_limit?: number;
  pids_limit?: number;
  io_limits?: IoLimits;
  disk_limit_mib?: number;
  /** What was asked for and does not hold, as this host cannot enforce it. */
  limits_not_enforced?: readonly LimitName[];
}

/**
 * What becomes of a limit that this host cannot enforce:
 * `required` refuses it; `best-effort` starts the sandbox without it and marks it; `auto` does so for
 * `memory_limit_mib` only; `off` uses no cgroups and does as `auto`.
 */
export type QuotaMode = 'auto' | 'required' | 'best-effort' | 'off';

/** For each limit why this host cannot enforce it; absent where it can. */
export type Obstacles = Readonly<Partial<Record<LimitName, string>>>;

/** What the limits are judged against. */
export interface LimitContext {
  readonly mode: QuotaMode;
  readonly obstacles: Obstacles;
  /** MiB that the VMM needs for itself before its guest has changed anything. */
  readonly vmmMemoryMib: number;
  /** The guest's whole memory, where its writable layer is kept as well. */
  readonly guestMemoryMib: number;
}

const MIN_CPUS = 0.01;
const MAX_CPUS = 1024;
/** The threads that a VMM with one CPU was seen to have, with room for its short-lived ones. */
export const MIN_PIDS = 16;
export const MAX_PIDS = 4_194_304;
/** The kernel counts memory in bytes up to 2^63; a limit past that would not hold. */
export const MAX_MEMORY_LIMIT_MIB = 2 ** 43 - 1;

/** @throws DomainError invalid for a number that is no limit, whatever the host can do. */
export function requireSaneLimits(wish: LimitWish): void {
  const { memory_limit_mib: memory, cpu_limit: cpus, pids_limit: pids, disk_limit_mib: disk } = wish;
  if (memory === 0) refuse('memory_limit_mib must be ≥ 1, or null for no limit');
  if (memory !== null && memory > MAX_MEMORY_LIMIT_MIB)
    refuse(`memory_limit_mib must be ≤ ${MAX_MEMORY_LIMIT_MIB}, or null for no limit`);
  if (cpus !== null && (cpus < MIN_CPUS || cpus > MAX_CPUS)) {
    refuse(`cpu_limit is ${cpus}, but must be from ${MIN_CPUS} to ${MAX_CPUS} CPUs, or null for no limit`);
  }
  if (pids !== null && (pids < MIN_PIDS || pids > MAX_PIDS)) {
    refuse(
      `pids_limit is ${pids}, but must be from ${MIN_PIDS}, which a VMM needs for its own threads, to ${MAX_PIDS}, or null for no limit`,
    );
  }
  requireRates('io_limits', wish.io_limits);
  requireRates('bandwidth', wish.bandwidth);
  if (disk !== null && (disk < 1 || disk > MAX_MEMORY_LIMIT_MIB)) {
    refuse(`disk_limit_mib must be from 1 to ${MAX_MEMORY_LIMIT_MIB}, or null for no limit`);
  }
}

function requireRates(name: LimitName, rates: object | null): void {
  if (rates === null) return;
  for (const [member, rate] of Object.entries(rates) as [string, number][]) {
    if (rate < 1) refuse(`${name}.${member} must be ≥ 1; leave it out for no limit`);
    if (rate > Number.MAX_SAFE_INTEGER) refuse(`${name}.${member} must be ≤ ${Number.MAX_SAFE_INTEGER}`);
  }
}

/**
 * Decides which of the limits hold.
 *
 * `memory_limit_mib` stands apart: it is older than its enforcement here, and clients of forkd send it with every request
 * without anybody having asked for it. Refusing it would end them on each host without cgroups, so by default it is told
 * as null and the sandbox is marked. The other limits come only from somebody who wants them.
 *
 * @throws DomainError invalid for a limit that cannot hold, or below what the VM needs.
 */
export function holdLimits(wish: LimitWish, context: LimitContext): HeldLimits {
  requireSaneLimits(wish);
  const missed: LimitName[] = [];
  const holds = (name: LimitName): boolean => {
    if (isUnlimited(wish[name])) return false;
    const obstacle = obstacleOf(name, wish, context);
    if (obstacle === undefined) return true;
    const relaxed =
      context.mode === 'best-effort' || (name === 'memory_limit_mib' && context.mode !== 'required');
    if (!relaxed) {
      refuse(
        `${name} cannot be enforced on this host: ${obstacle}; leave it out, or start the daemon with --quotas=best-effort`,
      );
    }
    missed.push(name);
    return false;
  };
  const held: HeldLimits = { memory_limit_mib: holds('memory_limit_mib') ? wish.memory_limit_mib : null };
  if (holds('cpu_limit') && wish.cpu_limit !== null) held.cpu_limit = wish.cpu_limit;
  if (holds('pids_limit') && wish.pids_limit !== null) held.pids_limit = wish.pids_limit;
  if (holds('io_limits') && wish.io_limits !== null) held.io_limits = wish.io_limits;
  if (holds('disk_limit_mib') && wish.disk_limit_mib !== null) held.disk_limit_mib = wish.disk_limit_mib;
  holds('bandwidth');
  if (missed.length > 0) held.limits_not_enforced = missed;
  requireRoom(held.memory_limit_mib, context);
  return held;
}

function isUnlimited(value: LimitWish[LimitName]): boolean {
  return value === null || (typeof value === 'object' && Object.keys(value).length === 0);
}

function obstacleOf(name: LimitName, wish: LimitWish, context: LimitContext): string | undefined {
  if (name !== 'disk_limit_mib') return context.obstacles[name];
  const { guestMemoryMib } = context;
  // What cannot be exceeded holds.
  if ((wish.disk_limit_mib ?? 0) >= guestMemoryMib) return undefined;
  return `a sandbox writes to its own memory of ${guestMemoryMib} MiB and never to the host's disk, so a disk_limit_mib from ${guestMemoryMib} on always holds and a lower one cannot be set apart from its memory`;
}

function requireRoom(memoryMib: number | null, { vmmMemoryMib }: LimitContext): void {
  if (memoryMib === null || memoryMib >= vmmMemoryMib) return;
  refuse(
    `memory_limit_mib is ${memoryMib}, but a VM of this snapshot needs at least ${vmmMemoryMib} MiB, most of it for the VMM itself; ask for more, or leave it out`,
  );
}

function refuse(message: string): never {
  throw new DomainError('invalid', message);
}
