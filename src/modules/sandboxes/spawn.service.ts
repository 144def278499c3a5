import { randomBytes } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Injectable, Logger } from '@nestjs/common';
import { DaemonConfig } from '../../common/config/daemon-config';
import { DomainError, errorChain, errorMessage } from '../../common/errors/domain-error';
import { CleanupStack } from '../../common/lifecycle/cleanup-stack';
import { Limiter } from '../../common/lifecycle/limiter';
import { exhaustionAdvice } from '../../common/os/exhaustion';
import { GuestAgent } from '../guest/guest-agent';
import { GuestError } from '../guest/guest-error';
import { OperationMetrics } from '../metrics/operation-metrics';
import type { NetworkPolicy } from '../networking/domain/policy';
import { NetworkingService, type NetworkLease } from '../networking/networking.service';
import type { HeldLimits } from '../quotas/domain/limits';
import { committedMib } from '../quotas/domain/vmm-memory';
import type { Enclosure } from '../quotas/enclosure';
import { QuotasService } from '../quotas/quotas.service';
import { AgentLink } from './agent-link';
import type { RestorableSnapshot } from '../snapshots/snapshot-opener.service';
import { type Accelerator, describeExit, type RestoreSpec } from '../vmm/domain/vm';
import { VmmEngine, type RunningVm } from '../vmm/ports/vmm-engine';

/** A VM with its agent at the other end of the channel. */
export interface LiveVm {
  readonly vm: RunningVm;
  readonly link: AgentLink;
  readonly runDir: string;
  readonly network?: NetworkLease | undefined;
  /** Its cgroup, where there is one. */
  readonly enclosure?: Enclosure | undefined;
  /** The most memory that it may come to use, in MiB. */
  readonly committedMib: number;
}

interface ChildSpec {
  readonly id: string;
  readonly network: NetworkLease | undefined;
  readonly limits: HeldLimits;
}

export interface SpawnOptions {
  /** Gives each child a network namespace. */
  readonly perChildNetns: boolean;
  /** The default when absent. */
  readonly policy?: NetworkPolicy | undefined;
  /** Has each child run a program and its warm runtimes once. */
  readonly prewarm: boolean;
  readonly limits: HeldLimits;
  readonly signal: AbortSignal;
}

/** A restored guest answers in some 50 ms; on a host that is loaded to its limit it may take seconds. */
const HANDSHAKE_DEADLINE_MS = 30_000;

/** Starts children of a snapshot; a child counts only when its guest has answered. */
@Injectable()
export class SpawnService {
  private readonly logger = new Logger(SpawnService.name);
  /** More at once than a few per CPU only makes all of them wait, with their memory in use meanwhile. */
  private readonly limiter = new Limiter(Math.max(8, 4 * availableParallelism()));

  constructor(
    private readonly config: DaemonConfig,
    private readonly engine: VmmEngine,
    private readonly metrics: OperationMetrics,
    private readonly networking: NetworkingService,
    private readonly quotas: QuotasService,
  ) {}

  runDirOf(id: string): string {
    return join(this.config.runDir, id);
  }

  /**
   * Starts one child per id, all or none: when one fails or the signal comes, the others are killed and nothing is left.
   */
  async spawn(
    snapshot: RestorableSnapshot,
    ids: readonly string[],
    { perChildNetns, policy, prewarm, limits, signal }: SpawnOptions,
  ): Promise<LiveVm[]> {
    const cleanup = new CleanupStack();
    const networks = perChildNetns ? await this.connect(snapshot, ids.length, policy, cleanup) : [];
    const failed = new AbortController();
    const either = AbortSignal.any([signal, failed.signal]);
    const begun = performance.now();
    const outcomes = await Promise.allSettled(
      ids.map((id, index) =>
        this.limiter.run(async () => {
          this.metrics.observePhase('spawn', 'queue', (performance.now() - begun) / 1000);
          either.throwIfAborted();
          try {
            const place = { id, network: networks[index], limits };
            const live = await this.spawnOne(snapshot, place, cleanup, either);
            if (prewarm) await this.metrics.timePhase('spawn', 'prewarm', () => exercise(live, either));
            return live;
          } catch (error) {
            failed.abort(error);
            throw error;
          }
        }),
      ),
    );
    if (signal.aborted || failed.signal.aborted) {
      await this.undo(cleanup);
      if (signal.aborted)
        throw new DomainError('internal', 'the client went away; its sandboxes were removed', {
          cause: signal.reason,
        });
      const started = outcomes.filter(({ status }) => status === 'fulfilled').length;
      throw failureOf(failed.signal.reason, started, ids.length);
    }
    return outcomes.map((outcome) => {
      if (outcome.status === 'rejected') throw outcome.reason as Error;
      return outcome.value;
    });
  }

  /** Kills a VM and removes all it had on this host. */
  async destroy(live: LiveVm): Promise<void> {
    live.link.close();
    await live.enclosure?.kill();
    await live.vm.kill();
    await this.cleanUp(live);
  }

  /** Removes all that a VM which has ended had on this host. */
  async cleanUp({ runDir, network, enclosure }: LiveVm): Promise<void> {
    await enclosure?.remove();
    if (network) this.networking.release([network.netns]);
    await rm(runDir, { recursive: true, force: true });
  }

  private async connect(
    snapshot: RestorableSnapshot,
    count: number,
    policy: NetworkPolicy | undefined,
    cleanup: CleanupStack,
  ): Promise<NetworkLease[]> {
    if (snapshot.manifest.guest.mac === undefined) {
      throw new DomainError(
        'invalid',
        'per_child_netns needs a snapshot with a network card, and this one was made without; make it again from its image',
      );
    }
    const leases = await this.networking.lease(count, policy);
    cleanup.push(() => {
      this.networking.release(leases.map(({ netns }) => netns));
      return Promise.resolve();
    });
    return leases;
  }

  private async spawnOne(
    snapshot: RestorableSnapshot,
    { id, network, limits }: ChildSpec,
    cleanup: CleanupStack,
    signal: AbortSignal,
  ): Promise<LiveVm> {
    const lap = this.metrics.laps('spawn');
    const runDir = this.runDirOf(id);
    await mkdir(runDir, { mode: 0o700, recursive: true });
    cleanup.push(() => rm(runDir, { recursive: true, force: true }));
    const enclosure = await this.quotas.enclose(id, limits);
    cleanup.push(async () => {
      await enclosure?.kill();
      await enclosure?.remove();
    });
    const vm = await this.engine.restore({
      ...restoreSpec(snapshot, id, runDir, network),
      launch: enclosure?.launch,
    });
    cleanup.push(() => vm.kill());
    lap('engine_start');
    const identity = { entropy: randomBytes(64), hostname: id };
    const stop = new AbortController();
    const died = vm.exited.then((exit) => {
      stop.abort(
        new DomainError('internal', `the VM of ${id} ended while it was restored: ${describeExit(exit)}`),
      );
    });
    void died;
    const agent = await GuestAgent.handshake(() => vm.openChannel(), identity, {
      deadlineMs: HANDSHAKE_DEADLINE_MS,
      signal: AbortSignal.any([signal, stop.signal]),
    }).catch((error: unknown) => {
      if (stop.signal.aborted) throw stop.signal.reason as Error;
      throw new DomainError(
        'internal',
        `the guest of ${id} did not answer after its restore: ${errorMessage(error)}`,
        { cause: error },
      );
    });
    lap('handshake');
    cleanup.push(() => {
      agent.close();
      return Promise.resolve();
    });
    const committedMib = commitmentOf(snapshot, limits);
    return { vm, link: AgentLink.to(vm, agent), runDir, network, enclosure, committedMib };
  }

  private async undo(cleanup: CleanupStack): Promise<void> {
    await cleanup.run((error) => {
      this.logger.error(`undoing a spawn: ${errorMessage(error)}`);
    });
  }
}

/** Why a batch failed; where the host has run out of something, also how far it came and what can be done. */
function failureOf(reason: unknown, started: number, wanted: number): DomainError {
  const cause = errorChain(reason);
  const advice = exhaustionAdvice(cause);
  const undone =
    advice === undefined
      ? ''
      : `; ${advice}. ${started} of ${wanted} sandboxes had started, and none of them is left`;
  return new DomainError('internal', `restore_many: ${cause}${undone}`, { cause: reason });
}

/** Runs what makes a guest's first exec and eval slow: process creation, the interpreters. */
async function exercise({ link }: LiveVm, signal: AbortSignal): Promise<void> {
  const agent = await link.agent();
  const timeoutMs = HANDSHAKE_DEADLINE_MS;
  await agent.exec({ args: ['true'], timeoutMs }, { signal }).catch(ignoreGuestError);
  for (const runtime of agent.hello.runtimes) await agent.eval('0', { timeoutMs, runtime, signal });
}

/** An image without that program is no reason to refuse its children. */
function ignoreGuestError(error: unknown): void {
  if (!(error instanceof GuestError)) throw error;
}

/** The most memory that a child may come to use, in MiB. */
export function commitmentOf({ manifest }: RestorableSnapshot, limits: HeldLimits): number {
  return committedMib(limits, manifest.guest.mem_size_mib, acceleratorOf(manifest));
}

/** How the VMs of a snapshot run; a snapshot is only opened where that is how this host runs them. */
export function acceleratorOf({ engine }: RestorableSnapshot['manifest']): Accelerator {
  return engine.accelerator === 'kvm' ? 'kvm' : 'tcg';
}

function restoreSpec(
  snapshot: RestorableSnapshot,
  id: string,
  runDir: string,
  network: NetworkLease | undefined,
): RestoreSpec {
  const { guest } = snapshot.manifest;
  return {
    id,
    runDir,
    memoryPath: snapshot.memoryPath,
    vmstatePath: snapshot.vmstatePath,
    ...(network && { network: { kind: 'tap', netns: network.netns, tap: network.tap } }),
    machine: {
      vcpus: guest.vcpus,
      memSizeMib: guest.mem_size_mib,
      rootfsPath: snapshot.rootfsPath,
      mac: guest.mac,
    },
  };
}
