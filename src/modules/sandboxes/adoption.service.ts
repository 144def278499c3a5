import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Injectable, Logger, type OnApplicationBootstrap } from '@nestjs/common';
import { DaemonConfig } from '../../common/config/daemon-config';
import { errorMessage } from '../../common/errors/domain-error';
import { OperationMetrics } from '../metrics/operation-metrics';
import { TAP_NAME } from '../networking/domain/guest-network';
import { NetworkingService, type NetworkLease, type RecordedNetwork } from '../networking/networking.service';
import type { SandboxRecord } from '../registry/domain/records';
import { forgetSandboxes } from '../registry/domain/sandbox-loss';
import { committedMib } from '../quotas/domain/vmm-memory';
import { QuotasService } from '../quotas/quotas.service';
import { RegistryService } from '../registry/registry.service';
import { SnapshotOriginsService } from '../snapshots/snapshot-origins.service';
import { type RunningVm, VmmEngine } from '../vmm/ports/vmm-engine';
import { AgentLink } from './agent-link';
import { recordedPolicy } from './domain/sandbox-network';
import { SandboxesService } from './sandboxes.service';
import { SpawnService } from './spawn.service';

/** How long a start waits for a VM to say that it runs. */
const RESUME_MS = 500;
const MIB = 1024 * 1024;

/** At start: takes over the VMs that an earlier daemon left running, and reclaims what belongs to nobody. */
@Injectable()
export class AdoptionService implements OnApplicationBootstrap {
  private readonly logger = new Logger(AdoptionService.name);

  constructor(
    private readonly config: DaemonConfig,
    private readonly registry: RegistryService,
    private readonly engine: VmmEngine,
    private readonly sandboxes: SandboxesService,
    private readonly spawner: SpawnService,
    private readonly origins: SnapshotOriginsService,
    private readonly metrics: OperationMetrics,
    private readonly networking: NetworkingService,
    private readonly quotas: QuotasService,
  ) {}

  async onApplicationBootstrap(): Promise<void> {
    const begun = performance.now();
    const gone: string[] = [];
    const records = this.registry.sandboxes();
    await Promise.all(
      records.map(async (record) => {
        const { id, pid } = record;
        const runDir = this.spawner.runDirOf(id);
        const vm = pid === null ? undefined : await this.adopt(id, runDir, pid);
        if (vm) await this.takeOver(record, runDir, vm);
        else gone.push(id);
      }),
    );
    const kept = new Set(records.map(({ id }) => id).filter((id) => !gone.includes(id)));
    const killed = await this.engine.reclaim(this.config.runDir, (id) => kept.has(id));
    await this.networking.adopt(records.filter(({ id }) => kept.has(id)).flatMap(recordedNetwork));
    await this.quotas.reclaim(kept);
    const directories = await this.removeStrayDirectories(kept);
    if (gone.length > 0) {
      await this.registry.mutate((draft) => {
        forgetSandboxes(draft, new Set(gone));
      });
    }
    await this.origins.collect();
    this.metrics.recordAdoption({
      adopted: kept.size,
      lost: gone.length,
      killed: killed.length,
      removedDirectories: directories,
      seconds: (performance.now() - begun) / 1000,
    });
    if (records.length + killed.length + directories > 0) {
      this.logger.log(
        `adopted ${kept.size} sandboxes, dropped ${gone.length} whose VM is gone, killed ${killed.length} VMs that belonged to nobody, removed ${directories} run directories`,
      );
    }
  }

  private async takeOver(record: SandboxRecord, runDir: string, vm: RunningVm): Promise<void> {
    const { id } = record;
    const { accelerator } = await this.engine.probe();
    const committed = committedMib(record, vm.memoryBytes / MIB, accelerator);
    const enclosure = await this.quotas.adopt(id);
    this.sandboxes.watch(id, {
      vm,
      link: AgentLink.later(vm),
      runDir,
      network: leaseOf(record),
      enclosure,
      committedMib: committed,
    });
  }

  private async adopt(id: string, runDir: string, pid: number): ReturnType<VmmEngine['adopt']> {
    try {
      const vm = await this.engine.adopt({ id, runDir }, pid);
      if (vm) await this.letRun(id, vm);
      return vm;
    } catch (error) {
      this.logger.warn(`${id} cannot be taken over: ${errorMessage(error)}`);
      return undefined;
    }
  }

  /** A daemon that died in the middle of a BRANCH has left it paused; for a running VM this does nothing. */
  private async letRun(id: string, vm: RunningVm): Promise<void> {
    const resumed = vm.resume().catch((error: unknown) => {
      this.logger.warn(`${id} was taken over, but does not answer: ${errorMessage(error)}`);
    });
    // One that hangs does not keep the others from being served.
    await Promise.race([resumed, delay(RESUME_MS, undefined, { ref: false })]);
  }

  private async removeStrayDirectories(kept: ReadonlySet<string>): Promise<number> {
    const names = await readdir(this.config.runDir).catch(() => [] as string[]);
    const stray = names.filter((name) => /^(sb-|build-|\.probe-)/.test(name) && !kept.has(name));
    for (const name of stray) await rm(join(this.config.runDir, name), { recursive: true, force: true });
    return stray.length;
  }
}

function leaseOf({ netns, network }: SandboxRecord): NetworkLease | undefined {
  if (netns === null) return undefined;
  const own = network && { address: network.address, policy: recordedPolicy(network) };
  return { netns, tap: TAP_NAME, ...(own && { own }) };
}

function recordedNetwork({ netns, network }: SandboxRecord): RecordedNetwork[] {
  return netns === null ? [] : [{ netns, policy: network && recordedPolicy(network) }];
}
