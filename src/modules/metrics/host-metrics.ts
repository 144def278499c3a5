import { Injectable } from '@nestjs/common';
import { Gauge } from 'prom-client';
import { statfs } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { dirname } from 'node:path';
import { DaemonConfig } from '../../common/config/daemon-config';
import { RegistryService } from '../registry/registry.service';
import { boundedSums, OTHERS } from './domain/bounded';
import { MetricsService } from './metrics.service';
import { Refreshed } from './refreshed';
import { MAX_SNAPSHOTS } from './registry-metrics';
import { SandboxMemory } from './sandbox-memory';
import { snapshotDisk } from './snapshot-disk';

/** A walk over all snapshots, at most this often. */
const DISK_MAX_AGE_MS = 30_000;

/** What sandboxes and snapshots take of the host. Found out when somebody asks, but not more often than it is worth. */
@Injectable()
export class HostMetrics {
  constructor(metrics: MetricsService, config: DaemonConfig, records: RegistryService) {
    metrics.addGauge('forkd_host_cpus', 'CPUs this daemon may use.', availableParallelism);
    addMemory(metrics, records);
    addDisk(metrics, config);
    addFileSystems(metrics, config);
  }
}

function addMemory({ registry }: MetricsService, records: RegistryService): void {
  const memory = new SandboxMemory(() => records.sandboxes());
  new Gauge({
    name: 'forkd_sandbox_memory_bytes',
    help: `Memory of the VM processes by snapshot; past ${MAX_SNAPSHOTS} snapshots the smallest are ${OTHERS}. Shared memory is counted once per process; proportional adds up.`,
    labelNames: ['snapshot', 'kind'],
    registers: [registry],
    async collect() {
      const uses = await memory.get();
      this.reset();
      for (const kind of ['private', 'shared', 'proportional'] as const) {
        const entries = uses.map(({ snapshot, use }) => [snapshot, use[kind]] as const);
        for (const [snapshot, bytes] of boundedSums(entries, MAX_SNAPSHOTS)) {
          this.set({ snapshot, kind }, bytes);
        }
      }
    },
  });
}

function addDisk({ registry }: MetricsService, { snapshotRoot }: DaemonConfig): void {
  const disk = new Refreshed(new Map<string, number>(), DISK_MAX_AGE_MS, () => snapshotDisk(snapshotRoot));
  new Gauge({
    name: 'forkd_snapshot_disk_bytes',
    help: `Disk space of each snapshot; past ${MAX_SNAPSHOTS} the smallest are ${OTHERS}. (shared): files that several snapshots or an image have in common; (internal): what the daemon keeps beside them.`,
    labelNames: ['snapshot'],
    registers: [registry],
    async collect() {
      const sizes = await disk.get();
      this.reset();
      for (const [snapshot, bytes] of boundedSums(sizes, MAX_SNAPSHOTS)) this.set({ snapshot }, bytes);
    },
  });
}

function addFileSystems({ registry }: MetricsService, config: DaemonConfig): void {
  const places = {
    snapshots: config.snapshotRoot,
    state: dirname(config.statePath),
    audit: dirname(config.auditLogPath),
    run: config.runDir,
  };
  const add = (name: string, help: string, pick: 'bavail' | 'blocks'): void => {
    new Gauge({
      name,
      help,
      labelNames: ['place'],
      registers: [registry],
      async collect() {
        await Promise.all(
          Object.entries(places).map(async ([place, path]) => {
            const found = await statfs(path).catch(() => undefined);
            if (found === undefined) this.remove({ place });
            else this.set({ place }, found[pick] * found.bsize);
          }),
        );
      },
    });
  };
  add('forkd_filesystem_avail_bytes', 'Free space where the daemon writes.', 'bavail');
  add('forkd_filesystem_size_bytes', 'Size of the file systems where the daemon writes.', 'blocks');
}
