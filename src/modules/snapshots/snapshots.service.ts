import { Injectable, type OnApplicationBootstrap } from '@nestjs/common';
import { DomainError, errorChain } from '../../common/errors/domain-error';
import type { SnapshotRecord } from '../registry/domain/records';
import { MAX_BOOT_WAIT_SECS } from './domain/build-limits';
import { dependentsOf } from './domain/lineage';
import { requireTag } from './domain/tag';
import { FileVerifierService } from './file-verifier.service';
import { type CreateSnapshot, ParentSourceService, requireLimits } from './parent-source.service';
import { SnapshotBuilderService } from './snapshot-builder.service';
import { SnapshotCatalogService } from './snapshot-catalog.service';
import { SnapshotChainService } from './snapshot-chain.service';
import { SnapshotOpenerService } from './snapshot-opener.service';
import { SnapshotOriginsService } from './snapshot-origins.service';

export interface RemovalChoice {
  /** Everything stored on top of it goes, too. */
  readonly cascade: boolean;
  /** What is stored on top of it is left broken. */
  readonly force: boolean;
}

/** Makes and deletes snapshots. */
@Injectable()
export class SnapshotsService implements OnApplicationBootstrap {
  constructor(
    private readonly catalog: SnapshotCatalogService,
    private readonly sources: ParentSourceService,
    private readonly builder: SnapshotBuilderService,
    private readonly opener: SnapshotOpenerService,
    private readonly origins: SnapshotOriginsService,
    private readonly chain: SnapshotChainService,
    private readonly files: FileVerifierService,
  ) {}

  async onApplicationBootstrap(): Promise<void> {
    await this.chain.collect(this.catalog.store);
  }

  list(): Promise<SnapshotRecord[]> {
    return this.catalog.list();
  }

  /** Builds a snapshot from an image, or from a kernel and a root file system. */
  async create(request: CreateSnapshot, signal: AbortSignal): Promise<SnapshotRecord> {
    const { tag } = request;
    requireTag(tag);
    const source = await this.sources.of(request);
    requireLimits(request);
    const taken = `snapshot ${tag} is being written already; retry once it completes`;
    return this.catalog.whileWriting(tag, taken, async (since) => {
      if (await this.catalog.store.hasDirectory(tag)) {
        throw new DomainError('invalid', `snapshot ${tag} already exists; DELETE first`);
      }
      // 0 is upstream's "do not wait"; here nothing is waited for that is not needed, so it sets no bound of its own.
      const seconds = request.bootWaitSecs === 0 ? MAX_BOOT_WAIT_SECS : request.bootWaitSecs;
      const { vcpus, memSizeMib } = request;
      const build = {
        tag,
        source,
        vcpus,
        memSizeMib,
        bootDeadlineMs: seconds * 1000,
        tap: request.tap ?? undefined,
      };
      try {
        const record = this.catalog.recordOf(tag, since);
        await this.builder.build(this.catalog.store, build, signal, (staging) =>
          this.catalog.publish(staging, record),
        );
        return record;
      } catch (error) {
        if (error instanceof DomainError && error.code !== 'internal') throw error;
        throw new DomainError('internal', `snapshot: ${errorChain(error)}`, { cause: error });
      }
    });
  }

  /** Deletes a snapshot: alone, with everything stored on top of it, or although something is. */
  async remove(tag: string, how: RemovalChoice): Promise<void> {
    requireTag(tag);
    if (how.cascade && how.force) {
      throw new DomainError(
        'invalid',
        'force and cascade are mutually exclusive: cascade deletes the dependents too, force leaves them broken',
      );
    }
    if (!(await this.catalog.has(tag))) throw new DomainError('not_found', `snapshot ${tag} not found`);
    try {
      await this.removeTree(tag, how, new Set());
      await this.chain.collect(this.catalog.store);
    } catch (error) {
      if (error instanceof DomainError && error.code !== 'internal') throw error;
      throw new DomainError('internal', `delete: ${errorChain(error)}`, { cause: error });
    }
  }

  /** Leaves first. What is being removed gets no new dependents meanwhile, as who writes one holds its parent. */
  private removeTree(tag: string, how: RemovalChoice, seen: Set<string>): Promise<void> {
    seen.add(tag);
    return this.opener.retire(tag, async () => {
      const dependents = dependentsOf(tag, await this.catalog.lineage());
      if (dependents.length > 0 && !how.cascade && !how.force) {
        throw new DomainError(
          'conflict',
          `snapshot ${tag} has dependents: ${dependents.join(', ')}; delete them first, or use ?cascade=true to delete them too, or ?force=true to leave them broken`,
        );
      }
      for (const each of how.cascade ? dependents : []) {
        // A cycle is walked once.
        if (!seen.has(each)) await this.removeTree(each, how, seen);
      }
      await this.origins.keepFor(tag);
      await this.catalog.discard(tag);
      this.files.forget(this.catalog.store.dirOf(tag));
    });
  }
}
