import { join } from 'node:path';
import { Injectable } from '@nestjs/common';
import { DomainError, errorChain, errorMessage } from '../../common/errors/domain-error';
import type { WorkspaceRecord } from '../registry/domain/records';
import { RegistryService } from '../registry/registry.service';
import { BranchSlotsService } from '../sandboxes/branch/branch-slots.service';
import { measuresOf, SandboxCaptureService } from '../sandboxes/branch/sandbox-capture.service';
import { SandboxesService } from '../sandboxes/sandboxes.service';
import { SnapshotCatalogService } from '../snapshots/snapshot-catalog.service';
import { SnapshotReplacementService } from '../snapshots/snapshot-replacement.service';
import { requireRunning, stateTagOf, suspended } from './domain/workspace-rules';

/**
 * Parks a running workspace on disk. One write of the registry decides: before it, the VM lives and the old state has the tag;
 * after it, the new state has the tag and nothing refers to the VM any more.
 */
@Injectable()
export class SuspensionService {
  constructor(
    private readonly registry: RegistryService,
    private readonly sandboxes: SandboxesService,
    private readonly slots: BranchSlotsService,
    private readonly capture: SandboxCaptureService,
    private readonly catalog: SnapshotCatalogService,
    private readonly replacement: SnapshotReplacementService,
  ) {}

  /**
   * @param diff copies only the memory that diverged from what the VM was started from.
   * @returns the suspended workspace; when it throws, the workspace runs on.
   * @throws DomainError invalid, not_found when its VM is gone, conflict, unavailable; internal `suspend: <cause>`.
   */
  async suspend(workspace: WorkspaceRecord, diff: boolean): Promise<WorkspaceRecord> {
    const sandboxId = requireRunning(workspace);
    const tag = stateTagOf(workspace.name);
    const release = this.slots.take();
    try {
      const taken = `branch for tag '${tag}' is already in progress; retry once it completes`;
      return await this.catalog.whileWriting(tag, taken, async (since) => {
        this.requireVm(workspace.name, sandboxId);
        await this.requireOwnTag(workspace, tag);
        await this.replacement.requireReplaceable(tag);
        return this.slots.exclusively(sandboxId, () => this.write(workspace, sandboxId, diff, since));
      });
    } catch (error) {
      if (error instanceof DomainError && error.code !== 'internal') throw error;
      throw new DomainError('internal', `suspend: ${errorChain(error)}`, { cause: error });
    } finally {
      release();
    }
  }

  private async write(
    workspace: WorkspaceRecord,
    sandboxId: string,
    diff: boolean,
    since: number,
  ): Promise<WorkspaceRecord> {
    const tag = stateTagOf(workspace.name);
    // Held, so that nothing the guest does after its state was taken is answered and then lost.
    const wish = {
      pages: diff ? ('diverged' as const) : ('all' as const),
      parentTag: null,
      measureDiff: false,
      afterwards: 'hold' as const,
    };
    return this.capture.capture(sandboxId, tag, wish, async (staging, written) => {
      const record = {
        ...this.catalog.recordOf(tag, since),
        branched_from: sandboxId,
        ...measuresOf(written),
      };
      const memoryPath = join(record.dir, written.manifest.memory);
      const after = suspended(workspace, { memoryPath, unixSeconds: Math.floor(Date.now() / 1000) });
      await this.sandboxes.retire(sandboxId, () =>
        this.replacement.replace(staging, record, () =>
          this.registry.mutate((draft) => {
            draft.snapshots.set(tag, record);
            draft.sandboxes.delete(sandboxId);
            draft.workspaces.set(workspace.name, after);
          }),
        ),
      );
      return after;
    });
  }

  private requireVm(name: string, sandboxId: string): void {
    try {
      this.sandboxes.vmOf(sandboxId);
    } catch (error) {
      throw new DomainError('not_found', `the VM of workspace ${name} is gone: ${errorMessage(error)}`, {
        cause: error,
      });
    }
  }

  /** @throws DomainError conflict when somebody else's snapshot has the tag. */
  private async requireOwnTag({ current_state_tag: own }: WorkspaceRecord, tag: string): Promise<void> {
    if (own === tag || !(await this.catalog.has(tag))) return;
    throw new DomainError(
      'conflict',
      `snapshot ${tag} already exists and is not the state of this workspace; DELETE first`,
    );
  }
}
