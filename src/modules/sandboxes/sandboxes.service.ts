import { randomInt } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { Injectable, Logger, type OnApplicationShutdown } from '@nestjs/common';
import { DomainError, errorChain, errorMessage } from '../../common/errors/domain-error';
import { Drain } from '../../common/lifecycle/drain';
import { AdmissionService } from '../quotas/admission.service';
import type { HeldLimits } from '../quotas/domain/limits';
import { QuotasService } from '../quotas/quotas.service';
import type { RegistryState, SandboxRecord } from '../registry/domain/records';
import { forgetSandboxes, makeStale } from '../registry/domain/sandbox-loss';
import { RegistryService } from '../registry/registry.service';
import { OperationMetrics } from '../metrics/operation-metrics';
import { describeExit } from '../vmm/domain/vm';
import { type RestorableSnapshot, SnapshotOpenerService } from '../snapshots/snapshot-opener.service';
import { SnapshotOriginsService } from '../snapshots/snapshot-origins.service';
import { deathCause } from './domain/death-cause';
import { SandboxIds } from './domain/sandbox-id';
import { policyOf } from '../networking/domain/policy';
import { networkRecord } from './domain/sandbox-network';
import { requireSpawnRules, type SpawnRequest } from './domain/spawn-rules';
import { acceleratorOf, commitmentOf, type LiveVm, SpawnService } from './spawn.service';

/** Where a guest with upstream's agent would be reached; a constant of the wire contract. */
const GUEST_ADDR = '10.42.0.2:8888';

/** The sockets of a process that is killed close a little before its end is known. */
const END_NOTICE_MS = 500;

/** The sandboxes of this host: their records and the VMs behind them. */
@Injectable()
export class SandboxesService implements OnApplicationShutdown {
  private readonly logger = new Logger(SandboxesService.name);
  private readonly live = new Map<string, LiveVm>();
  private readonly ending = new Map<string, Promise<void>>();
  /** When the end of a VM has been recorded. */
  private readonly endings = new WeakMap<LiveVm, Promise<void>>();
  private readonly ids = new SandboxIds(randomInt(0x10000));

  constructor(
    private readonly registry: RegistryService,
    private readonly opener: SnapshotOpenerService,
    private readonly origins: SnapshotOriginsService,
    private readonly spawner: SpawnService,
    private readonly metrics: OperationMetrics,
    private readonly drain: Drain,
    private readonly quotas: QuotasService,
    private readonly admission: AdmissionService,
  ) {}

  list(): readonly SandboxRecord[] {
    return this.registry.sandboxes();
  }

  get(id: string): SandboxRecord {
    const record = this.registry.getSandbox(id);
    if (!record) throw notFound(id);
    return record;
  }

  /**
   * Forks `n` children of a snapshot; each has answered when this settles. All or none.
   *
   * @param alongside what else the registry's write of the children is to hold.
   */
  spawn(
    request: SpawnRequest,
    signal: AbortSignal,
    alongside?: (draft: RegistryState, children: readonly SandboxRecord[]) => void,
  ): Promise<SandboxRecord[]> {
    return this.drain.hold(() => this.spawnAll(request, signal, alongside));
  }

  private async spawnAll(
    request: SpawnRequest,
    signal: AbortSignal,
    alongside?: (draft: RegistryState, children: readonly SandboxRecord[]) => void,
  ): Promise<SandboxRecord[]> {
    requireSpawnRules(request);
    // Held until the children are registered, so that a deletion of the snapshot sees them.
    const lap = this.metrics.laps('spawn');
    const records = await this.opener.use(request.snapshotTag, (snapshot) => {
      lap('open');
      return this.start(snapshot, request, signal, alongside);
    });
    if (signal.aborted) {
      await Promise.all(records.map(({ id }) => this.remove(id)));
      throw new DomainError('internal', 'the client went away; its sandboxes were removed');
    }
    return records;
  }

  /** Kills a sandbox and forgets it. @throws DomainError not_found, also for one whose removal is under way. */
  async remove(id: string): Promise<void> {
    this.get(id);
    if (this.ending.has(id)) throw notFound(id);
    const work = this.drain.hold(() => this.end(id));
    this.ending.set(id, work);
    try {
      await work;
    } finally {
      this.ending.delete(id);
    }
  }

  /**
   * Ends a sandbox that somebody else takes out of the registry. Its VM is killed once that is durable, and lives on when it
   * fails; what cannot be cleaned up is left to the next start.
   *
   * @throws DomainError not_found, internal when the VM has ended; what `forget` throws.
   */
  async retire(id: string, forget: () => Promise<void>): Promise<void> {
    const live = this.vmOf(id);
    if (this.ending.has(id)) throw notFound(id);
    const work = forget();
    this.ending.set(id, work);
    try {
      await work;
    } catch (error) {
      this.ending.delete(id);
      // It may have ended meanwhile, when nobody looked.
      this.watch(id, live);
      throw error;
    }
    this.live.delete(id);
    this.ending.delete(id);
    await this.spawner.destroy(live).catch((error: unknown) => {
      this.logger.error(`what is left of ${id} is removed at the next start: ${errorMessage(error)}`);
    });
    await this.releaseOrigin(id);
  }

  /** The VM behind a sandbox. @throws DomainError not_found; internal when it has ended. */
  vmOf(id: string): LiveVm {
    const record = this.get(id);
    const live = this.live.get(id);
    if (live) return live;
    throw new DomainError(
      'internal',
      `the VM of ${id} has ended${record.status_reason === undefined ? '' : `: ${record.status_reason}`}; delete the sandbox`,
    );
  }

  /** Makes a VM that is running the one behind a registered sandbox. */
  watch(id: string, live: LiveVm): void {
    this.live.set(id, live);
    const ending = live.vm.exited.then(async (exit) => {
      if (this.live.get(id) !== live || this.ending.has(id)) return;
      const killed = ((await live.enclosure?.settle())?.oomKills ?? 0) > 0;
      this.metrics.countDeath(killed ? 'out_of_memory' : deathCause(exit));
      const reason = killed ? oomReason(this.registry.getSandbox(id)) : describeExit(exit);
      this.logger.warn(`the VM of ${id} ended by itself: ${reason}`);
      this.live.delete(id);
      live.link.close();
      await this.markDead(id, reason, killed);
      await this.spawner.cleanUp(live).catch((error: unknown) => {
        this.logger.error(`what is left of ${id} is removed at the next start: ${errorMessage(error)}`);
      });
    });
    this.endings.set(live, ending);
  }

  /**
   * Why the VM behind a sandbox ended, for whoever lost the connection to its guest.
   *
   * @returns undefined when it runs, or was deleted.
   */
  async reasonOfEnd(id: string, live: LiveVm): Promise<string | undefined> {
    const ended = this.endings.get(live);
    await Promise.race([ended, delay(END_NOTICE_MS, undefined, { ref: false })]);
    return this.registry.getSandbox(id)?.status_reason;
  }

  /** Keeps the entry of a VM that ended by itself, so that its owner can see why. */
  private async markDead(id: string, reason: string, oomKilled: boolean): Promise<void> {
    await this.registry
      .mutate((draft) => {
        const record = draft.sandboxes.get(id);
        if (record) draft.sandboxes.set(id, dead(record, reason, oomKilled));
        makeStale(draft, (lost) => lost === id);
      })
      .catch((error: unknown) => {
        this.logger.error(`the end of ${id} could not be recorded: ${errorMessage(error)}`);
      });
  }

  /** VMs outlive the daemon: it lets go of them when no request needs them any more, and the next one takes them over. */
  async onApplicationShutdown(): Promise<void> {
    await this.drain.settled();
    for (const { link, vm } of this.live.values()) {
      link.close();
      vm.release();
    }
    this.live.clear();
  }

  private async start(
    snapshot: RestorableSnapshot,
    request: SpawnRequest,
    signal: AbortSignal,
    alongside?: (draft: RegistryState, children: readonly SandboxRecord[]) => void,
  ): Promise<SandboxRecord[]> {
    const limits = await this.quotas.hold(request.limits, {
      memSizeMib: snapshot.manifest.guest.mem_size_mib,
      accelerator: acceleratorOf(snapshot.manifest),
    });
    const committedMib = commitmentOf(snapshot, limits);
    const room = await this.admission.admit(request.n, { committedMib }, () => this.live.values());
    try {
      return await this.startWithin(limits, snapshot, request, signal, alongside);
    } finally {
      room.release();
    }
  }

  private async startWithin(
    limits: HeldLimits,
    snapshot: RestorableSnapshot,
    request: SpawnRequest,
    signal: AbortSignal,
    alongside?: (draft: RegistryState, children: readonly SandboxRecord[]) => void,
  ): Promise<SandboxRecord[]> {
    const now = Math.floor(Date.now() / 1000);
    const ids = Array.from({ length: request.n }, () =>
      this.ids.next(now, (id) => this.registry.getSandbox(id) !== undefined),
    );
    const vms = await this.spawner.spawn(snapshot, ids, {
      perChildNetns: request.perChildNetns,
      policy: policyOf(request.networkPolicy ?? null, request.networkAllow ?? []),
      prewarm: request.prewarm,
      limits,
      signal,
    });
    const records = vms.map(({ vm, network }, index) => ({
      id: ids[index] ?? '',
      snapshot_tag: request.snapshotTag,
      netns: network?.netns ?? null,
      guest_addr: GUEST_ADDR,
      created_at_unix: now,
      pid: vm.pid,
      has_branched: false,
      last_branch_memory_path: null,
      branch_count: 0,
      ...(network?.own && { network: networkRecord(network.own.policy, network.own.address) }),
      // A limit that does not hold is not echoed.
      ...limits,
    }));
    const lap = this.metrics.laps('spawn');
    try {
      await this.registry.mutate((draft) => {
        for (const record of records) draft.sandboxes.set(record.id, record);
        alongside?.(draft, records);
      });
    } catch (error) {
      await Promise.all(vms.map((vm) => this.spawner.destroy(vm)));
      throw error;
    }
    lap('register');
    records.forEach((record, index) => {
      const vm = vms[index];
      if (vm) this.watch(record.id, vm);
    });
    return records;
  }

  private async end(id: string): Promise<void> {
    try {
      const live = this.live.get(id);
      if (live) {
        await this.spawner.destroy(live);
        // Not before: a second try must find what could not be destroyed.
        this.live.delete(id);
      }
      await this.registry.mutate((draft) => {
        forgetSandboxes(draft, new Set([id]));
      });
    } catch (error) {
      throw new DomainError('internal', `delete: ${errorChain(error)}`, { cause: error });
    }
    await this.releaseOrigin(id);
  }

  private async releaseOrigin(id: string): Promise<void> {
    await this.origins.release(id).catch((error: unknown) => {
      this.logger.warn(`what was kept for ${id} is removed at the next start: ${errorMessage(error)}`);
    });
  }
}

function dead(record: SandboxRecord, reason: string, oomKilled: boolean): SandboxRecord {
  const after: SandboxRecord = { ...record, pid: null, status: 'dead', status_reason: reason };
  return oomKilled ? { ...after, oom_killed: true } : after;
}

function oomReason(record: SandboxRecord | undefined): string {
  const limit = record?.memory_limit_mib ?? null;
  return limit === null
    ? 'it was killed by the kernel, as the host had no memory left'
    : `it was killed by the kernel, as it reached its memory_limit_mib of ${limit}`;
}

function notFound(id: string): DomainError {
  return new DomainError('not_found', `sandbox ${id} not found`);
}
