import { link, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Injectable, Logger } from '@nestjs/common';
import { errorMessage } from '../../../common/errors/domain-error';
import { Drain } from '../../../common/lifecycle/drain';
import type { SnapshotRecord } from '../../registry/domain/records';
import { MEMORY_FILE, ROOTFS_FILE } from '../../snapshots/domain/manifest';
import { SnapshotCatalogService } from '../../snapshots/snapshot-catalog.service';
import { SnapshotChainService } from '../../snapshots/snapshot-chain.service';
import { SnapshotOriginsService } from '../../snapshots/snapshot-origins.service';
import { SnapshotWriterService, type WrittenSnapshot } from '../../snapshots/snapshot-writer.service';
import { SandboxesService } from '../sandboxes.service';

export interface CaptureWish {
  /** Every page, or a copy of what the VM was started from and the pages that diverged. */
  readonly pages: 'all' | 'diverged';
  /** Copies most of it while the VM runs, where the host can. */
  readonly live?: boolean;
  /** Stores only what differs from this snapshot, which the sandbox was forked from; null for a whole one. */
  readonly parentTag: string | null;
  readonly measureDiff: boolean;
  /** Whether the VM runs on at once, or stands still until the state was handed over. */
  readonly afterwards: 'resume' | 'hold';
}

/** Takes the state of a running sandbox: what BRANCH and the suspending of a workspace have in common. */
@Injectable()
export class SandboxCaptureService {
  private readonly logger = new Logger(SandboxCaptureService.name);

  constructor(
    private readonly sandboxes: SandboxesService,
    private readonly catalog: SnapshotCatalogService,
    private readonly chain: SnapshotChainService,
    private readonly origins: SnapshotOriginsService,
    private readonly writer: SnapshotWriterService,
    private readonly drain: Drain,
  ) {}

  /**
   * Writes the state into a staged directory, durably, and hands it over. Whatever fails, the directory is gone and the VM
   * runs on; a VM that is held is the receiver's to end.
   *
   * @param tag names the directory for people.
   */
  capture<T>(
    sandboxId: string,
    tag: string,
    wish: CaptureWish,
    handOver: (staging: string, written: WrittenSnapshot) => Promise<T>,
  ): Promise<T> {
    // Not only its client would miss it: the VM may stand still.
    return this.drain.hold(() => this.captureInto(sandboxId, tag, wish, handOver));
  }

  private async captureInto<T>(
    sandboxId: string,
    tag: string,
    wish: CaptureWish,
    handOver: (staging: string, written: WrittenSnapshot) => Promise<T>,
  ): Promise<T> {
    const staging = await this.catalog.store.stage(tag);
    try {
      const written = await this.write(sandboxId, staging, wish);
      if (wish.afterwards === 'resume') return await handOver(staging, written);
      return await this.whileHeld(sandboxId, () => handOver(staging, written));
    } catch (error) {
      await rm(staging, { recursive: true, force: true });
      if (wish.parentTag !== null) await this.dropUnusedImages();
      throw error;
    }
  }

  private async write(sandboxId: string, staging: string, wish: CaptureWish): Promise<WrittenSnapshot> {
    const { pages, live = false, parentTag, measureDiff, afterwards } = wish;
    const { vm } = this.sandboxes.vmOf(sandboxId);
    const origin = await this.origins.of(sandboxId, this.sandboxes.get(sandboxId).snapshot_tag);
    await link(origin.rootfsPath, join(staging, ROOTFS_FILE));
    const parent =
      parentTag === null ? {} : { parent: { tag: parentTag, digest: origin.manifest.memory_digest } };
    const written = await this.writer.write(vm, staging, {
      guest: origin.manifest.guest,
      pages,
      live,
      hasBase: true,
      baseSums: { path: origin.sumsPath, digest: origin.manifest.memory_digest },
      ...parent,
      // A chained one is durable by its diff, and a VM that is held ends when its state is handed over.
      settleLater: pages === 'diverged' && parentTag === null && afterwards === 'resume',
      measureDiff,
      afterwards,
    });
    if (parentTag !== null) {
      await this.chain.keep(this.catalog.store, written.manifest.memory_digest, join(staging, MEMORY_FILE));
    }
    return written;
  }

  /** The whole image of a chained snapshot is kept before its tag is there; without the tag nobody needs it. */
  private async dropUnusedImages(): Promise<void> {
    await this.chain.collect(this.catalog.store).catch((error: unknown) => {
      this.logger.warn(`images of no snapshot are removed at the next start: ${errorMessage(error)}`);
    });
  }

  private async whileHeld<T>(sandboxId: string, work: () => Promise<T>): Promise<T> {
    const { vm } = this.sandboxes.vmOf(sandboxId);
    try {
      return await work();
    } catch (error) {
      await vm
        .resume()
        .catch(() => vm.resume())
        .catch((failure: unknown) => {
          this.logger.error(`${sandboxId} could not be resumed: ${errorMessage(failure)}`);
        });
      throw error;
    }
  }
}

/** What a snapshot's record tells of its making. */
export function measuresOf({ pauseMs, diff, manifest }: WrittenSnapshot): Partial<SnapshotRecord> {
  return {
    pause_ms: pauseMs,
    ...(diff === undefined
      ? {}
      : {
          diff_ms: Math.round(diff.copyMs),
          diff_physical_bytes: diff.divergedBytes,
          diff_logical_bytes: manifest.guest.mem_size_mib * 1024 * 1024,
        }),
  };
}
