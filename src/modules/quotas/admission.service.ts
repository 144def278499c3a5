import { readFile } from 'node:fs/promises';
import { Injectable } from '@nestjs/common';
import { DaemonConfig } from '../../common/config/daemon-config';
import { MetricsService } from '../metrics/metrics.service';
import { type Demand, hostMemory, requireRoomFor } from './domain/admission';
import { IDLE_VMM_MIB } from './domain/vmm-memory';

/** What one VM counts for. */
export interface Commitment {
  /** The most memory that it may come to use, in MiB. */
  readonly committedMib: number;
}

/** Room that is kept for VMs until they run, or until it is clear that they will not. */
export interface Reservation {
  /** Gives the room back; idempotent. */
  release(): void;
}

/** Decides whether the host has room for more VMs, before anything is started. */
@Injectable()
export class AdmissionService {
  private readonly reserved = new Set<Demand>();
  private refusals = 0;

  constructor(
    private readonly config: DaemonConfig,
    metrics: MetricsService,
  ) {
    metrics.addCounter(
      'forkd_admission_refusals_total',
      'Requests for sandboxes that were refused for lack of room on the host.',
      () => this.refusals,
    );
  }

  /**
   * Reserves room for all of a request's VMs. Between the last look and the reservation nothing else runs, so that requests
   * at the same moment cannot both get the last room.
   *
   * @param running the VMs there are; asked again after every wait.
   * @throws DomainError unavailable naming the ceiling that would be passed.
   */
  async admit(
    count: number,
    { committedMib }: Commitment,
    running: () => Iterable<Commitment>,
  ): Promise<Reservation> {
    const demand: Demand = {
      sandboxes: count,
      promisedMib: count * committedMib,
      startingMib: count * Math.min(IDLE_VMM_MIB, committedMib),
    };
    const memory = hostMemory(await readFile('/proc/meminfo', 'utf8'));
    const load = { sandboxes: 0, promisedMib: 0, startingMib: 0 };
    for (const vm of running()) {
      load.sandboxes += 1;
      load.promisedMib += vm.committedMib;
    }
    for (const other of this.reserved) {
      load.sandboxes += other.sandboxes;
      load.promisedMib += other.promisedMib;
      load.startingMib += other.startingMib;
    }
    try {
      requireRoomFor(demand, load, memory, this.config);
    } catch (error) {
      this.refusals += 1;
      throw error;
    }
    this.reserved.add(demand);
    return {
      release: () => {
        this.reserved.delete(demand);
      },
    };
  }
}
