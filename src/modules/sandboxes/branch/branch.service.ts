import { join } from 'node:path';
import { Injectable, Logger } from '@nestjs/common';
import { DomainError, errorChain } from '../../../common/errors/domain-error';
import type { SnapshotRecord } from '../../registry/domain/records';
import { requireTag } from '../../snapshots/domain/tag';
import { type RegistryChange, SnapshotCatalogService } from '../../snapshots/snapshot-catalog.service';
import { MAX_LINKS } from '../../snapshots/domain/lineage';
import { SnapshotChainService } from '../../snapshots/snapshot-chain.service';
import { SnapshotOpenerService } from '../../snapshots/snapshot-opener.service';
import { SnapshotSettlingService } from '../../snapshots/snapshot-settling.service';
import { SnapshotOriginsService } from '../../snapshots/snapshot-origins.service';
import type { WrittenSnapshot } from '../../snapshots/snapshot-writer.service';
import {
  type BranchPlan,
  type BranchWish,
  generatedTag,
  planBranch,
  requireParent,
} from '../domain/branch-rules';
import { SandboxesService } from '../sandboxes.service';
import { BranchSlotsService } from './branch-slots.service';
import { type CaptureWish, measuresOf, SandboxCaptureService } from './sandbox-capture.service';

export interface BranchRequest extends BranchWish {
  readonly tag: string | null;
  readonly parentTag: string | null;
}

interface Job {
  readonly sandboxId: string;
  readonly tag: string;
  readonly plan: BranchPlan;
  readonly parentTag: string | null;
  readonly since: number;
}

/** BRANCH: makes a snapshot of a running sandbox, which runs on. */
@Injectable()
export class BranchService {
  private readonly logger = new Logger(BranchService.name);
  private counter = 0;

  constructor(
    private readonly sandboxes: SandboxesService,
    private readonly catalog: SnapshotCatalogService,
    private readonly chain: SnapshotChainService,
    private readonly origins: SnapshotOriginsService,
    private readonly capture: SandboxCaptureService,
    private readonly opener: SnapshotOpenerService,
    private readonly settling: SnapshotSettlingService,
    private readonly slots: BranchSlotsService,
  ) {}

  /**
   * Makes the snapshot and tells its record; with `wait: false` as soon as the work has begun, as `writing`.
   *
   * @throws DomainError as the wire contract has it: invalid, not_found, conflict, unavailable; internal `branch: <cause>`.
   */
  async branch(sandboxId: string, request: BranchRequest): Promise<SnapshotRecord> {
    const now = Math.floor(Date.now() / 1000);
    const tag = request.tag ?? generatedTag(sandboxId, now, this.counter++);
    requireTag(tag);
    const release = this.slots.take();
    let begun: ((record: SnapshotRecord) => void) | undefined;
    const writing = new Promise<SnapshotRecord>((resolve) => {
      begun = resolve;
    });
    const taken = `branch for tag '${tag}' is already in progress; retry once it completes`;
    const done = this.catalog
      .whileWriting(tag, taken, async (since) => {
        const plan = planBranch(request);
        return this.whileHeld(request.parentTag, async () => {
          const job = await this.accept({ sandboxId, tag, plan, parentTag: request.parentTag, since });
          return this.slots.exclusively(sandboxId, async () => {
            begun?.({
              ...this.catalog.recordOf(tag, since),
              branched_from: sandboxId,
              status: 'writing',
              bootable: false,
            });
            return this.run(job);
          });
        });
      })
      .finally(release);
    if (request.wait) return done;
    const first = await Promise.race([done, writing]);
    // The client has its answer; how it ended is told by the snapshot's record.
    done.catch((error: unknown) => this.recordFailure(tag, sandboxId, error));
    return first;
  }

  /** A parent is not deleted while a snapshot is stored on top of it. */
  private whileHeld<T>(parentTag: string | null, work: () => Promise<T>): Promise<T> {
    return parentTag === null ? work() : this.opener.hold(parentTag, work);
  }

  /** The checks that need to know the sandbox, in the order of the wire contract. */
  private async accept(job: Job): Promise<Job> {
    const { tag, sandboxId, plan, parentTag } = job;
    if (await this.catalog.store.hasDirectory(tag)) {
      throw new DomainError('conflict', `snapshot ${tag} already exists; DELETE first`);
    }
    const source = this.sandboxes.get(sandboxId);
    if (parentTag === null) return job;
    requireParent(parentTag, source.snapshot_tag, plan.mode);
    if (!(await this.origins.isCurrent(sandboxId)) || !(await this.catalog.store.hasDirectory(parentTag))) {
      throw new DomainError(
        'conflict',
        `snapshot ${parentTag} is no longer the one that ${sandboxId} was forked from; branch without parent_tag`,
      );
    }
    const ancestors = await this.chain.ancestors(this.catalog.store, parentTag);
    if (ancestors.length + 2 > MAX_LINKS) {
      throw new DomainError(
        'invalid',
        `the chain would have more than ${MAX_LINKS} links; compact ${parentTag} first, or branch without parent_tag`,
      );
    }
    return job;
  }

  private async run(job: Job): Promise<SnapshotRecord> {
    const { sandboxId, tag, plan, parentTag } = job;
    const wish: CaptureWish = {
      pages: plan.mode === 'full' ? 'all' : 'diverged',
      live: plan.mode === 'live',
      parentTag,
      measureDiff: plan.measureDiff,
      afterwards: 'resume',
    };
    try {
      return await this.capture.capture(sandboxId, tag, wish, async (staging, written) => {
        const record = this.recordOf(job, written);
        const memoryPath = join(record.dir, written.manifest.memory);
        await this.catalog.publish(staging, record, noteOnSource(sandboxId, memoryPath));
        if (written.unsettled) this.settling.begin(tag);
        return record;
      });
    } catch (error) {
      if (error instanceof DomainError && error.code !== 'internal') throw error;
      throw new DomainError('internal', `branch: ${errorChain(error)}`, { cause: error });
    }
  }

  private recordOf(job: Job, written: WrittenSnapshot): SnapshotRecord {
    const { sandboxId, tag, since } = job;
    return {
      ...this.catalog.recordOf(tag, since),
      branched_from: sandboxId,
      ...measuresOf(written),
      ...(written.notLive === undefined ? {} : { warning: liveAsDiff(written.notLive) }),
    };
  }

  private async recordFailure(tag: string, sandboxId: string, error: unknown): Promise<void> {
    const warning = `background bulk-copy failed: ${errorChain(error)}`;
    this.logger.error(`branch ${tag} of ${sandboxId}: ${warning}`);
    const record = this.catalog.recordOf(tag, Math.floor(Date.now() / 1000));
    await this.catalog
      .register({ ...record, branched_from: sandboxId, status: 'failed', bootable: false, warning })
      .catch((failure: unknown) => {
        this.logger.error(`its failure could not be recorded: ${errorChain(failure)}`);
      });
  }
}

function liveAsDiff(reason: string): string {
  return `live was done as diff: ${reason}; so the pause grew with the memory that changed since the fork`;
}

/** The source remembers that it was branched; if it is still there. */
function noteOnSource(sandboxId: string, memoryPath: string): RegistryChange {
  return (draft) => {
    const record = draft.sandboxes.get(sandboxId);
    if (!record) return;
    draft.sandboxes.set(sandboxId, {
      ...record,
      has_branched: true,
      last_branch_memory_path: memoryPath,
      branch_count: record.branch_count + 1,
    });
  };
}
