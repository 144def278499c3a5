import { createHash } from 'node:crypto';
import { mkdir, readdir, rename, rm, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Injectable, Logger, type OnModuleInit } from '@nestjs/common';
import { DomainError, errnoOf, errorMessage } from '../../common/errors/domain-error';
import { syncPath } from '../../common/os/atomic-file';
import type { SnapshotRecord } from '../registry/domain/records';
import { dependentsOf } from './domain/lineage';
import { SnapshotCatalogService } from './snapshot-catalog.service';
import { SnapshotOpenerService } from './snapshot-opener.service';
import { SnapshotOriginsService } from './snapshot-origins.service';

/** `.replaced.<tag>.<seal of the record>`; a tag has no dot. */
const REPLACED_PREFIX = '.replaced.';
const UNREGISTERED = 'none';

/**
 * Puts a new snapshot in the place of the one that has its tag. The registry's write decides: while the registry still
 * describes the old snapshot, its directory waits under a name that says so, and goes back if the write does not come.
 */
@Injectable()
export class SnapshotReplacementService implements OnModuleInit {
  private readonly logger = new Logger(SnapshotReplacementService.name);

  constructor(
    private readonly catalog: SnapshotCatalogService,
    private readonly opener: SnapshotOpenerService,
    private readonly origins: SnapshotOriginsService,
  ) {}

  /** Ends, one way or the other, the replacements that an earlier daemon was in the middle of. */
  async onModuleInit(): Promise<void> {
    const names = await readdir(this.root).catch((error: unknown) => {
      if (errnoOf(error) === 'ENOENT') return [];
      throw error;
    });
    for (const name of names.filter((each) => each.startsWith(REPLACED_PREFIX))) {
      const [tag = '', seal] = name.slice(REPLACED_PREFIX.length).split('.');
      const kept = join(this.root, name);
      if (seal === sealOfRecord(this.catalog.get(tag))) await this.putBack(tag, kept);
      else await rm(kept, { recursive: true, force: true });
    }
  }

  /** @throws DomainError conflict when other snapshots are stored on top of this one, which would be broken. */
  async requireReplaceable(tag: string): Promise<void> {
    const dependents = dependentsOf(tag, await this.catalog.lineage());
    if (dependents.length === 0) return;
    throw new DomainError(
      'conflict',
      `snapshot ${tag} has dependents: ${dependents.join(', ')}; compact or delete them first`,
    );
  }

  /**
   * Makes a staged directory the tag's snapshot, whether there was one or not. The caller holds the tag by
   * {@link SnapshotCatalogService.whileWriting}.
   *
   * @param commit puts `record` into the registry and settles when that is durable. When it fails, the old snapshot has its
   * place again and the new one is gone.
   */
  replace(staging: string, record: SnapshotRecord, commit: () => Promise<void>): Promise<void> {
    return this.opener.retire(record.tag, () => this.replaceUnused(staging, record, commit));
  }

  private async replaceUnused(
    staging: string,
    record: SnapshotRecord,
    commit: () => Promise<void>,
  ): Promise<void> {
    const { tag } = record;
    await this.requireReplaceable(tag);
    await this.origins.keepFor(tag);
    const kept = join(this.root, `${REPLACED_PREFIX}${tag}.${sealOfRecord(this.catalog.get(tag))}`);
    await this.putAside(tag, kept);
    try {
      await syncPath(this.root);
      await this.catalog.store.publish(staging, tag);
      await commit();
    } catch (error) {
      await this.putBack(tag, kept).catch((failure: unknown) => {
        this.logger.error(
          `the snapshot that ${tag} had is in ${kept} and gets its place back at the next start: ${errorMessage(failure)}`,
        );
      });
      throw error;
    }
    await this.dispose(kept);
  }

  private get root(): string {
    return this.catalog.store.root;
  }

  /** Leaves an empty directory when the tag had none. When it throws, nothing was changed. */
  private async putAside(tag: string, kept: string): Promise<void> {
    try {
      await rename(this.catalog.store.dirOf(tag), kept);
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') await mkdir(kept, { recursive: true, mode: 0o700 });
      // An earlier one could not be put back: what has the tag now was never registered.
      else if (isNotEmpty(error)) await this.dropUnregistered(tag);
      else throw error;
    }
  }

  /** Needs no sync: a machine that loses power before this is durable does it again at its next start. */
  private async putBack(tag: string, kept: string): Promise<void> {
    await this.dropUnregistered(tag);
    await rmdir(kept).catch(async (error: unknown) => {
      if (!isNotEmpty(error)) throw error;
      await rename(kept, this.catalog.store.dirOf(tag));
    });
  }

  private async dropUnregistered(tag: string): Promise<void> {
    const dropped = await this.catalog.store.unpublish(tag);
    if (dropped !== undefined) await this.dispose(dropped);
  }

  private async dispose(dir: string): Promise<void> {
    await rm(dir, { recursive: true, force: true }).catch((error: unknown) => {
      this.logger.warn(
        `${dir} could not be removed and is tried again at the next start: ${errorMessage(error)}`,
      );
    });
  }
}

function isNotEmpty(error: unknown): boolean {
  return ['ENOTEMPTY', 'EEXIST'].includes(errnoOf(error) ?? '');
}

/** Tells a registered snapshot from the one that takes its tag. */
function sealOfRecord(record: Readonly<SnapshotRecord> | undefined): string {
  if (record === undefined) return UNREGISTERED;
  const members = JSON.stringify(Object.entries(record).sort());
  return createHash('sha256').update(members).digest('hex').slice(0, 16);
}
