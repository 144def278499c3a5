import { Injectable, type OnApplicationBootstrap } from '@nestjs/common';
import { DomainError, errorChain } from '../../common/errors/domain-error';
import { NO_LIMITS } from '../quotas/domain/limits';
import type {
  RegistryState,
  SandboxRecord,
  WorkspaceInfo,
  WorkspaceRecord,
} from '../registry/domain/records';
import { makeStale } from '../registry/domain/sandbox-loss';
import { RegistryService } from '../registry/registry.service';
import { SandboxesService } from '../sandboxes/sandboxes.service';
import { requireTag } from '../snapshots/domain/tag';
import { SnapshotCatalogService } from '../snapshots/snapshot-catalog.service';
import { SnapshotReplacementService } from '../snapshots/snapshot-replacement.service';
import { SnapshotsService } from '../snapshots/snapshots.service';
import {
  created,
  infoOf,
  requireName,
  requireNotRunning,
  resumed,
  stateTagOf,
  type WorkspaceWish,
  wishOf,
} from './domain/workspace-rules';
import { SuspensionService } from './suspension.service';

/**
 * Sandboxes with a name, which can be parked on disk. What a request began it ends, also when its client leaves: how it went
 * is told under the name.
 */
@Injectable()
export class WorkspacesService implements OnApplicationBootstrap {
  /** Names of workspaces that are being created, suspended, resumed or deleted. */
  private readonly busy = new Set<string>();

  constructor(
    private readonly registry: RegistryService,
    private readonly sandboxes: SandboxesService,
    private readonly snapshots: SnapshotsService,
    private readonly catalog: SnapshotCatalogService,
    private readonly replacement: SnapshotReplacementService,
    private readonly suspension: SuspensionService,
  ) {}

  /** A state file may name a running workspace without its sandbox. */
  async onApplicationBootstrap(): Promise<void> {
    await this.registry.mutate((draft) => {
      makeStale(draft, (id) => !draft.sandboxes.has(id));
    });
  }

  list(): WorkspaceInfo[] {
    return this.registry.workspaces().map(infoOf);
  }

  /** @throws DomainError not_found. */
  get(name: string): WorkspaceInfo {
    return infoOf(this.recordOf(name));
  }

  /** @throws DomainError invalid, not_found for the snapshot, conflict; internal `spawn workspace sandbox: <cause>`. */
  async create(wish: WorkspaceWish): Promise<WorkspaceInfo> {
    const { name } = wish;
    requireName(name);
    requireTag(wish.snapshotTag, 'snapshot_tag');
    if (this.registry.getWorkspace(name) !== undefined) {
      throw new DomainError('conflict', `workspace ${name} already exists; DELETE first`);
    }
    return this.exclusively(name, async () => {
      const stateTag = stateTagOf(name);
      if (await this.catalog.has(stateTag)) {
        throw new DomainError(
          'conflict',
          `snapshot ${stateTag} already exists, where a suspend would store the state of workspace ${name}; delete it, or choose another name`,
        );
      }
      return this.start(wish, (sandbox) => created(wish, sandbox));
    });
  }

  /** Parks a running workspace on disk; see {@link SuspensionService}. */
  async suspend(name: string, diff: boolean): Promise<WorkspaceInfo> {
    this.recordOf(name);
    return this.exclusively(name, async () =>
      infoOf(await this.suspension.suspend(this.recordOf(name), diff)),
    );
  }

  /** Starts a suspended or stale workspace from its latest state, or from its source when it has none. */
  async resume(name: string): Promise<WorkspaceInfo> {
    this.recordOf(name);
    return this.exclusively(name, async () => {
      const workspace = this.recordOf(name);
      requireNotRunning(workspace);
      return this.start(wishOf(workspace), (sandbox) => resumed(workspace, sandbox));
    });
  }

  /** Kills the sandbox and deletes the state, never the source. One that failed half-way can be asked for again. */
  async remove(name: string): Promise<void> {
    this.recordOf(name);
    try {
      await this.exclusively(name, () => this.removeParts(name));
    } catch (error) {
      if (error instanceof DomainError) throw error;
      throw new DomainError('internal', `delete: ${errorChain(error)}`, { cause: error });
    }
  }

  private async removeParts(name: string): Promise<void> {
    const { live_sandbox_id: sandboxId, current_state_tag: stateTag } = this.recordOf(name);
    if (stateTag !== undefined) await this.replacement.requireReplaceable(stateTag);
    if (sandboxId !== undefined) await ifThere(this.sandboxes.remove(sandboxId));
    if (stateTag !== undefined) {
      await ifThere(this.snapshots.remove(stateTag, { cascade: false, force: false }));
    }
    await this.registry.mutate((draft) => {
      draft.workspaces.delete(name);
    });
  }

  private recordOf(name: string): WorkspaceRecord {
    const record = this.registry.getWorkspace(name);
    if (!record) throw new DomainError('not_found', `workspace ${name} not found`);
    return record;
  }

  /** Starts the workspace's sandbox; both are registered by one write. */
  private async start(
    wish: WorkspaceWish,
    become: (sandbox: SandboxRecord) => WorkspaceRecord,
  ): Promise<WorkspaceInfo> {
    const { snapshotTag, perChildNetns, memoryLimitMib } = wish;
    const limits = { ...NO_LIMITS, memory_limit_mib: memoryLimitMib };
    const request = { snapshotTag, n: 1, perChildNetns, limits, prewarm: false, hugepages: false };
    let made: WorkspaceRecord | undefined;
    const register = (draft: RegistryState, children: readonly SandboxRecord[]): void => {
      for (const sandbox of children) draft.workspaces.set(wish.name, (made = become(sandbox)));
    };
    try {
      await this.sandboxes.spawn(request, new AbortController().signal, register);
    } catch (error) {
      if (error instanceof DomainError && error.code !== 'internal') throw error;
      throw new DomainError('internal', `spawn workspace sandbox: ${errorChain(error)}`, { cause: error });
    }
    return infoOf(made ?? this.recordOf(wish.name));
  }

  /** @throws DomainError conflict when something is being done with the workspace already. */
  private async exclusively<T>(name: string, work: () => Promise<T>): Promise<T> {
    if (this.busy.has(name)) {
      throw new DomainError(
        'conflict',
        `workspace ${name} is being created, suspended, resumed or deleted already; retry once that completes`,
      );
    }
    this.busy.add(name);
    try {
      return await work();
    } finally {
      this.busy.delete(name);
    }
  }
}

/** What is gone already need not be removed. */
async function ifThere(removal: Promise<void>): Promise<void> {
  try {
    await removal;
  } catch (error) {
    if (!(error instanceof DomainError && error.code === 'not_found')) throw error;
  }
}
