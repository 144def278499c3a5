import { Injectable } from '@nestjs/common';
import { Counter, Gauge, Histogram } from 'prom-client';
import type { DeathCause } from '../sandboxes/domain/death-cause';
import { MetricsService } from './metrics.service';

/** What consists of phases. `suspend` and `build` write a snapshot as `branch` does. */
export type Operation = 'spawn' | 'branch' | 'suspend' | 'build';

/**
 * A step of an operation, in the order they come.
 *
 * Spawn, per child but for `open` and `register`: `open` (the snapshot is looked at), `queue` (waits for others), `network`,
 * `quota`, `engine_start` (the VMM's process accepts commands), `handshake` (device state is loaded and the guest has
 * answered), `prewarm`, `register` (the registry is on disk). Branch: `prepare`, `pause` (the guest stands still), `finish`
 * (hashes, what has to be on disk).
 */
export type Phase =
  | 'open'
  | 'queue'
  | 'network'
  | 'quota'
  | 'engine_start'
  | 'handshake'
  | 'prewarm'
  | 'register'
  | 'prepare'
  | 'pause'
  | 'finish';

export type GuestCall = 'exec' | 'eval' | 'ping';

/** What a start found of the VMs of an earlier daemon. */
export interface AdoptionOutcome {
  readonly adopted: number;
  /** Registered, but without a VM. */
  readonly lost: number;
  /** Processes that belonged to nobody. */
  readonly killed: number;
  readonly removedDirectories: number;
  readonly seconds: number;
}

const PHASE_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
const CALL_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];

/** What the work of the daemon takes, and how it goes. */
@Injectable()
export class OperationMetrics {
  private readonly phases: Histogram;
  private readonly calls: Histogram;
  private readonly deaths: Counter;
  private readonly adoption: Gauge;
  private readonly adoptionSeconds: Gauge;

  constructor({ registry }: MetricsService) {
    const registers = [registry];
    this.phases = new Histogram({
      name: 'forkd_operation_phase_seconds',
      help: 'Time of each step of an operation that succeeded so far, per VM.',
      labelNames: ['operation', 'phase'],
      buckets: PHASE_BUCKETS,
      registers,
    });
    this.calls = new Histogram({
      name: 'forkd_guest_call_duration_seconds',
      help: 'Time from a call to the answer of the guest. error: the guest could not be asked; a failing program is ok.',
      labelNames: ['call', 'outcome'],
      buckets: CALL_BUCKETS,
      registers,
    });
    this.deaths = new Counter({
      name: 'forkd_sandbox_deaths_total',
      help: 'VMs that ended by themselves.',
      labelNames: ['cause'],
      registers,
    });
    this.adoption = new Gauge({
      name: 'forkd_adoption_results',
      help: "What this daemon's start found of the VMs of an earlier one.",
      labelNames: ['result'],
      registers,
    });
    this.adoptionSeconds = new Gauge({
      name: 'forkd_adoption_seconds',
      help: 'Time the start took to take over the VMs of an earlier daemon.',
      registers,
    });
  }

  observePhase(operation: Operation, phase: Phase, seconds: number): void {
    this.phases.observe({ operation, phase }, seconds);
  }

  /** Begins to time an operation; each call of the result ends a phase, which lasted since the one before. */
  laps(operation: Operation): (phase: Phase) => void {
    let last = performance.now();
    return (phase) => {
      const now = performance.now();
      this.observePhase(operation, phase, (now - last) / 1000);
      last = now;
    };
  }

  /** Times one phase, if it succeeds. */
  async timePhase<T>(operation: Operation, phase: Phase, work: () => Promise<T>): Promise<T> {
    const lap = this.laps(operation);
    const result = await work();
    lap(phase);
    return result;
  }

  /** Times a call to a guest, and tells whether it was answered. */
  async timeCall<T>(call: GuestCall, work: () => Promise<T>): Promise<T> {
    const begun = performance.now();
    let outcome = 'error';
    try {
      const result = await work();
      outcome = 'ok';
      return result;
    } finally {
      this.calls.observe({ call, outcome }, (performance.now() - begun) / 1000);
    }
  }

  countDeath(cause: DeathCause): void {
    this.deaths.inc({ cause });
  }

  recordAdoption({ adopted, lost, killed, removedDirectories, seconds }: AdoptionOutcome): void {
    this.adoption.set({ result: 'adopted' }, adopted);
    this.adoption.set({ result: 'lost' }, lost);
    this.adoption.set({ result: 'killed' }, killed);
    this.adoption.set({ result: 'removed_directories' }, removedDirectories);
    this.adoptionSeconds.set(seconds);
  }
}
