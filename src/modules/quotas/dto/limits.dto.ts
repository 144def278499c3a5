import { Counts, Decimal, U64 } from '../../../common/http/dto-members';
import {
  BANDWIDTH_NAMES,
  IO_LIMIT_NAMES,
  type LimitWish,
  MAX_MEMORY_LIMIT_MIB,
  MAX_PIDS,
  MIN_PIDS,
} from '../domain/limits';

/** The limits of POST /v1/sandboxes. */
export class LimitsDto {
  @U64({
    nullable: true,
    minimum: 1,
    maximum: MAX_MEMORY_LIMIT_MIB,
    description:
      'Limit of the memory of each VM, in MiB, what it shares with its snapshot not counted; null for none. Told as null, with `limits_not_enforced`, where the host cannot enforce it.',
  })
  memory_limit_mib!: number | null;

  @Decimal({
    nullable: true,
    minimum: 0.01,
    maximum: 1024,
    description: 'CPUs of the host that each VM may use, fractions allowed; null for no limit.',
  })
  cpu_limit!: number | null;

  @U64({
    nullable: true,
    minimum: MIN_PIDS,
    maximum: MAX_PIDS,
    description:
      'Threads that each VMM may have on the host; null for the default of 512. Processes inside a guest are none of them.',
  })
  pids_limit!: number | null;

  @Counts(
    {
      read_bytes_per_sec: 'Bytes read per second.',
      write_bytes_per_sec: 'Bytes written per second.',
      read_ops_per_sec: 'Reads per second.',
      write_ops_per_sec: 'Writes per second.',
    },
    {
      nullable: true,
      description:
        'Limits of what each VM reads from and writes to the disk of the snapshots; null for none.',
    },
  )
  io_limits!: Readonly<Partial<Record<string, number>>> | null;

  @U64({
    nullable: true,
    minimum: 1,
    maximum: MAX_MEMORY_LIMIT_MIB,
    description:
      "Limit of what each guest may write to its file system, in MiB; null for none. That is kept in the guest's memory, so any limit from the size of that memory on holds, and a lower one is refused.",
  })
  disk_limit_mib!: number | null;

  @Counts(
    {
      ingress_bytes_per_sec: 'Bytes received per second.',
      egress_bytes_per_sec: 'Bytes sent per second.',
    },
    { nullable: true, description: "Limits of each sandbox's network traffic; null for none." },
  )
  bandwidth!: Readonly<Partial<Record<string, number>>> | null;
}

/** What was asked for, without members that nobody knows. */
export function limitWishOf(body: LimitsDto): LimitWish {
  const { memory_limit_mib, cpu_limit, pids_limit, disk_limit_mib } = body;
  return {
    memory_limit_mib,
    cpu_limit,
    pids_limit,
    io_limits: picked(body.io_limits, IO_LIMIT_NAMES),
    disk_limit_mib,
    bandwidth: picked(body.bandwidth, BANDWIDTH_NAMES),
  };
}

function picked<T extends string>(
  given: Readonly<Partial<Record<string, number>>> | null,
  names: readonly T[],
): Partial<Record<T, number>> | null {
  if (given === null) return null;
  const known: Partial<Record<T, number>> = {};
  for (const name of names) {
    const value = given[name];
    if (value !== undefined) known[name] = value;
  }
  return known;
}
