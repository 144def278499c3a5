import { rm } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { Injectable, Logger } from '@nestjs/common';
import { DaemonConfig } from '../../common/config/daemon-config';
import { DomainError, errorChain, errorMessage } from '../../common/errors/domain-error';
import { requireTag } from '../snapshots/domain/tag';
import { SnapshotCatalogService } from '../snapshots/snapshot-catalog.service';
import { SnapshotIntegrityService } from '../snapshots/snapshot-integrity.service';
import { SnapshotOpenerService } from '../snapshots/snapshot-opener.service';
import { readPack } from './adapters/worker-process';
import type { PackManifest } from './domain/pack-manifest';
import { storedBytes } from './domain/pack-members';
import { isSameState, type UnpackPlan } from './domain/unpack-plan';
import { holdAll } from './hold-all';
import { PackSlots } from './pack-slots';
import { UnpackedChainService } from './unpacked-chain.service';

export interface UnpackedSnapshot {
  readonly tag: string;
  readonly dir: string;
  /** Bytes of content in the pack. */
  readonly bytes: number;
  /** The snapshots that are new, root first. */
  readonly unpacked: string[];
  /** Ancestors that were there already, with the same content. */
  readonly reused: string[];
}

const MIB = 1024 * 1024;

/** Takes packs in: nothing of one is visible before all of it was found right. */
@Injectable()
export class UnpackingService {
  private readonly logger = new Logger(UnpackingService.name);
  private readonly slots = new PackSlots('unpacked');

  constructor(
    private readonly config: DaemonConfig,
    private readonly catalog: SnapshotCatalogService,
    private readonly opener: SnapshotOpenerService,
    private readonly integrity: SnapshotIntegrityService,
    private readonly chains: UnpackedChainService,
  ) {}

  /**
   * Unpacks a snapshot and the ancestors that are not here yet.
   *
   * @param as its tag here; the one in the pack when absent.
   * @throws DomainError invalid for a pack that is not right; conflict for a tag that is taken and for a snapshot that this host
   * cannot restore; unavailable without room. Nothing is left then.
   */
  async unpack(pack: Readable, as: string | undefined, signal: AbortSignal): Promise<UnpackedSnapshot> {
    if (as !== undefined) requireTag(as, 'as');
    const release = this.slots.take();
    let staging: string | undefined;
    try {
      staging = await this.catalog.store.stage('unpack');
      const job = { dir: staging, maxBytes: this.config.unpackLimitMib * MIB };
      let manifest: PackManifest | undefined;
      await readPack(
        job,
        pack,
        async (found) => {
          manifest = found;
          await this.plan(found, as);
        },
        signal,
      );
      if (manifest === undefined) throw new DomainError('internal', 'the pack was read without its manifest');
      return await this.publish(staging, manifest, as);
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof DomainError && error.code !== 'internal') throw error;
      throw new DomainError('internal', `unpack: ${errorChain(error)}`, { cause: error });
    } finally {
      release();
      if (staging !== undefined) await this.remove(staging);
    }
  }

  private async publish(
    staging: string,
    manifest: PackManifest,
    as: string | undefined,
  ): Promise<UnpackedSnapshot> {
    const before = await this.plan(manifest, as);
    return holdAll(this.opener, before.reused, () =>
      this.whileWriting(
        before.links.map(({ target }) => target),
        async () => {
          // Others may have come while the pack did.
          const plan = await this.plan(manifest, as);
          if (plan.reused.join() !== before.reused.join())
            throw new DomainError(
              'conflict',
              `ancestors of ${manifest.tag} changed at this moment; try again`,
            );
          await this.chains.publish(staging, plan);
          return {
            tag: plan.tag,
            dir: this.catalog.store.dirOf(plan.tag),
            bytes: storedBytes(manifest),
            unpacked: plan.links.map(({ target }) => target),
            reused: [...plan.reused],
          };
        },
      ),
    );
  }

  /** What of the pack is new here. @throws DomainError conflict when it cannot be unpacked here now. */
  private async plan(manifest: PackManifest, as: string | undefined): Promise<UnpackPlan> {
    const tag = as ?? manifest.tag;
    const ancestors = manifest.snapshots.slice(0, -1);
    if (ancestors.some((link) => link.tag === tag))
      throw new DomainError('conflict', `the pack has an ancestor with the tag ${tag}; give another one`);
    for (const { tag: each, snapshot } of manifest.snapshots) {
      const mismatch = await this.integrity.mismatch(snapshot);
      if (mismatch !== undefined)
        throw new DomainError(
          'conflict',
          `snapshot ${each} of the pack cannot be restored here: ${mismatch}`,
        );
    }
    let reused = 0;
    for (const [index, link] of ancestors.entries()) {
      const { manifest: here } = await this.catalog.store.describe(link.tag);
      if (here !== undefined && isSameState(here, link.snapshot)) reused = index + 1;
    }
    const links = manifest.snapshots
      .slice(reused)
      .map((link) => ({ link, target: link.tag === manifest.tag ? tag : link.tag }));
    for (const { link, target } of links) {
      if (this.catalog.isBeingWritten(target)) continue;
      if (!(await this.catalog.has(target))) continue;
      throw new DomainError(
        'conflict',
        link.tag === manifest.tag
          ? `snapshot ${target} already exists; DELETE first, or unpack it under another tag`
          : `snapshot ${target} already exists and is another one than the ancestor in the pack; DELETE it first, or compact the snapshot before it is packed`,
      );
    }
    return {
      tag,
      links,
      reused: ancestors
        .slice(0, reused)
        .map((link) => link.tag)
        .slice(-1),
    };
  }

  /** Each tag is written by nobody else meanwhile. */
  private whileWriting<T>(tags: readonly string[], work: () => Promise<T>): Promise<T> {
    const [first, ...rest] = tags;
    if (first === undefined) return work();
    const taken = `snapshot ${first} is being written already; retry once it completes`;
    return this.catalog.whileWriting(first, taken, () => this.whileWriting(rest, work));
  }

  private async remove(staging: string): Promise<void> {
    await rm(staging, { recursive: true, force: true }).catch((error: unknown) => {
      this.logger.warn(
        `${staging} could not be removed and is tried again at the next start: ${errorMessage(error)}`,
      );
    });
  }
}
