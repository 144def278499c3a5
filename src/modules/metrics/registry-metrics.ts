import { Injectable } from '@nestjs/common';
import { Counter, Gauge, Histogram } from 'prom-client';
import { RegistryService } from '../registry/registry.service';
import { leadingKeys, OTHERS } from './domain/bounded';
import { MetricsService } from './metrics.service';

/** Snapshots that have a series of their own. */
export const MAX_SNAPSHOTS = 50;

/** What the registry holds, by state; and what writing it takes. */
@Injectable()
export class RegistryMetrics {
  constructor({ registry }: MetricsService, records: RegistryService) {
    const registers = [registry];
    new Gauge({
      name: 'forkd_sandboxes',
      help: `Sandboxes by state and snapshot; past ${MAX_SNAPSHOTS} snapshots the smallest are ${OTHERS}.`,
      labelNames: ['state', 'snapshot'],
      registers,
      collect() {
        this.reset();
        const all = records.sandboxes();
        const named = leadingKeys(
          all.map(({ snapshot_tag: tag }) => tag),
          MAX_SNAPSHOTS,
        );
        for (const { status, snapshot_tag: tag } of all) {
          this.inc({ state: status ?? 'running', snapshot: named.has(tag) ? tag : OTHERS });
        }
      },
    });
    new Gauge({
      name: 'forkd_snapshots',
      help: 'Snapshots in the registry by status.',
      labelNames: ['status'],
      registers,
      collect() {
        this.reset();
        for (const status of ['ready', 'failed']) this.set({ status }, 0);
        for (const { status } of records.snapshots()) this.inc({ status });
      },
    });
    new Gauge({
      name: 'forkd_workspaces',
      help: 'Workspaces by status.',
      labelNames: ['status'],
      registers,
      collect() {
        this.reset();
        for (const status of ['running', 'suspended', 'stale']) this.set({ status }, 0);
        for (const { status } of records.workspaces()) this.inc({ status });
      },
    });
    const writes = new Counter({
      name: 'forkd_registry_writes_total',
      help: 'Writes of the registry file. A failed one takes its changes back.',
      labelNames: ['result'],
      registers,
    });
    for (const result of ['ok', 'failed']) writes.inc({ result }, 0);
    const duration = new Histogram({
      name: 'forkd_registry_write_duration_seconds',
      help: 'Time until a write of the registry file was durable.',
      buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5],
      registers,
    });
    records.onWrite(({ seconds, failed }) => {
      writes.inc({ result: failed ? 'failed' : 'ok' });
      duration.observe(seconds);
    });
  }
}
