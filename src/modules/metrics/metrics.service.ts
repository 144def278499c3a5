import { Injectable } from '@nestjs/common';
import { Counter, Gauge, Registry, register as processMetrics } from 'prom-client';
import { DaemonConfig } from '../../common/config/daemon-config';
import { VERSION } from '../../common/version';
import { RegistryService } from '../registry/registry.service';

/** The daemon's metrics: those whose names are part of the wire contract, and a home for all others. */
@Injectable()
export class MetricsService {
  /** Each application has its own, so that several of them can live in one process. */
  readonly registry = new Registry();
  private branchesInFlight = (): number => 0;

  constructor(config: DaemonConfig, records: RegistryService) {
    const { state } = records;
    this.addGauge('forkd_snapshots_total', 'Snapshots in the registry.', () => state.snapshots.size);
    this.addGauge('forkd_sandboxes_active', 'Sandboxes in the registry.', () => state.sandboxes.size);
    this.addGauge('forkd_branches_in_flight', 'Branch slots in use.', () => this.branchesInFlight());
    this.addGauge('forkd_branch_concurrency_cap', 'Branch slots there are.', () => config.branchConcurrency);
    new Gauge({
      name: 'forkd_build_info',
      help: 'Always 1; the label tells the version.',
      labelNames: ['version'],
      registers: [this.registry],
    }).set({ version: VERSION }, 1);
  }

  /** Adds a gauge without labels whose value is read at each scrape. @throws Error when the name is taken. */
  addGauge(name: string, help: string, read: () => number): void {
    new Gauge({
      name,
      help,
      registers: [this.registry],
      collect() {
        this.set(read());
      },
    });
  }

  /** Adds a counter without labels that is read at each scrape. @throws Error when the name is taken. */
  addCounter(name: string, help: string, read: () => number): void {
    new Counter({
      name,
      help,
      registers: [this.registry],
      collect() {
        this.reset();
        this.inc(read());
      },
    });
  }

  /** Tells where the number of held branch slots is read from. */
  countBranchesWith(read: () => number): void {
    this.branchesInFlight = read;
  }

  /** The Prometheus text format, version 0.0.4: the daemon's metrics, then those of its process. */
  async render(): Promise<string> {
    const parts = await Promise.all([this.registry.metrics(), processMetrics.metrics()]);
    return parts.join('\n');
  }
}
