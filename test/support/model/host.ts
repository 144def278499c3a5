import type { DaemonConfig } from '../../../src/common/config/daemon-config';
import type { TestClient } from '../http';

/** A daemon over VMs, simulated or real, as random sequences see it. */
export interface ModelHost {
  readonly client: TestClient;
  readonly config: DaemonConfig;
  /** Guest memory of the snapshots that are made, in MiB. */
  readonly memSizeMib: number;
  /** Ends the daemon as a stop of the service would, and starts another. */
  restart(): Promise<void>;
  /** The same as `kill -9` would. */
  crash(): Promise<void>;
  /** Kills a VM's process. */
  endVm(pid: number): void;
  /**
   * What an eval must be sent for an order: `set NAME VALUE`, `unset NAME`, `incr NAME`, or `list`, whose result must be the
   * JSON of all names with their values.
   */
  codeFor(order: string): string;
  vmProcesses(): Promise<number[]>;
  /** All that is there of VMs; see the hosts. */
  traces(): Promise<string[]>;
  /** Tags that have a directory. */
  snapshotDirectories(): Promise<string[]>;
}
