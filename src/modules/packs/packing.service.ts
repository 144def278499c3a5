import { link, mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Injectable, Logger } from '@nestjs/common';
import { DomainError, errnoOf, errorChain, errorMessage } from '../../common/errors/domain-error';
import { VERSION } from '../../common/version';
import { SUMS_FILE } from '../snapshots/domain/manifest';
import { requireTag } from '../snapshots/domain/tag';
import { SnapshotCatalogService } from '../snapshots/snapshot-catalog.service';
import { SnapshotChainService } from '../snapshots/snapshot-chain.service';
import { SnapshotIntegrityService } from '../snapshots/snapshot-integrity.service';
import { SnapshotOpenerService } from '../snapshots/snapshot-opener.service';
import { type OpenedPack, writePack } from './adapters/worker-process';
import type { WriteJob } from './domain/jobs';
import { filesOf } from './domain/packed-files';
import { portableManifest } from './domain/portable-manifest';
import { holdAll } from './hold-all';
import { PackSlots } from './pack-slots';

type PackedLink = WriteJob['snapshots'][number];

/** Makes packs: a snapshot with all that it is stored on top of, in one archive. */
@Injectable()
export class PackingService {
  private readonly logger = new Logger(PackingService.name);
  private readonly slots = new PackSlots('packed');

  constructor(
    private readonly catalog: SnapshotCatalogService,
    private readonly chain: SnapshotChainService,
    private readonly opener: SnapshotOpenerService,
    private readonly integrity: SnapshotIntegrityService,
  ) {}

  /**
   * Begins a pack. Its files are held by links of their own, so that the snapshot may be deleted meanwhile, however slow the
   * reader is; they go with the stream.
   *
   * @param signal ends it at any time.
   * @throws DomainError invalid, not_found; conflict when a snapshot's files are not what was written; internal for a broken
   * chain; unavailable when too many packs are on their way.
   */
  async pack(tag: string, signal: AbortSignal): Promise<OpenedPack> {
    requireTag(tag);
    const release = this.slots.take();
    let staging: string | undefined;
    const giveBack = (): void => {
      release();
      if (staging !== undefined) void this.remove(staging);
    };
    try {
      if (!(await this.catalog.has(tag))) throw new DomainError('not_found', `snapshot ${tag} not found`);
      staging = await this.catalog.store.stage('pack');
      const snapshots = await this.collect(tag, staging);
      const createdAtUnix = Math.floor(Date.now() / 1000);
      const job = { dir: staging, madeBy: `forkd-controller ${VERSION}`, createdAtUnix, snapshots };
      const pack = await writePack(job, signal);
      pack.stream.once('close', giveBack);
      return pack;
    } catch (error) {
      giveBack();
      if (error instanceof DomainError && error.code !== 'internal') throw error;
      throw new DomainError('internal', `pack: ${errorChain(error)}`, { cause: error });
    }
  }

  /** Links the files of the whole chain into a directory, root first. */
  private async collect(tag: string, staging: string): Promise<PackedLink[]> {
    const { store } = this.catalog;
    const tags = [...(await this.chain.ancestors(store, tag)), tag];
    return holdAll(this.opener, tags, async () => {
      // It may be another by now.
      const now = [...(await this.chain.ancestors(store, tag)), tag];
      if (now.join() !== tags.join())
        throw new DomainError('conflict', `snapshot ${tag} was replaced at this moment; try again`);
      const links: PackedLink[] = [];
      for (const each of tags) links.push(await this.linkFiles(each, join(staging, each)));
      return links;
    });
  }

  private async linkFiles(tag: string, target: string): Promise<PackedLink> {
    const refuse = (reason: string): DomainError =>
      new DomainError('conflict', `snapshot ${tag} cannot be packed: ${reason}`);
    if (this.catalog.isBeingWritten(tag)) throw refuse('it is being written; retry once that is complete');
    const inspection = await this.catalog.store.inspect(tag);
    if (inspection.problem !== undefined) throw refuse(inspection.problem);
    const { manifest } = await this.integrity.requireWritten(tag, inspection.artifacts);
    const snapshot = portableManifest(manifest);
    if (typeof snapshot === 'string') throw refuse(snapshot);
    await mkdir(target, { mode: 0o700 });
    for (const name of filesOf(manifest)) {
      await link(join(this.catalog.store.dirOf(tag), name), join(target, name)).catch((error: unknown) => {
        if (name !== SUMS_FILE || errnoOf(error) !== 'ENOENT') throw error;
      });
    }
    return { tag, snapshot };
  }

  private async remove(staging: string): Promise<void> {
    await rm(staging, { recursive: true, force: true }).catch((error: unknown) => {
      this.logger.warn(
        `${staging} could not be removed and is tried again at the next start: ${errorMessage(error)}`,
      );
    });
  }
}
