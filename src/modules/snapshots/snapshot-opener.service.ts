import { Injectable } from '@nestjs/common';
import { DomainError } from '../../common/errors/domain-error';
import type { SnapshotManifest } from './domain/manifest';
import { requireTag } from './domain/tag';
import { SnapshotCatalogService } from './snapshot-catalog.service';
import { SnapshotChainService } from './snapshot-chain.service';
import { SnapshotIntegrityService } from './snapshot-integrity.service';

/** A snapshot that VMs may be started from now, on this host. */
export interface RestorableSnapshot {
  /** The whole memory, also where only a diff is stored. */
  readonly memoryPath: string;
  readonly vmstatePath: string;
  readonly rootfsPath: string;
  readonly manifest: SnapshotManifest;
}

/** Opens snapshots for spawning; a snapshot that is open is not deleted before its VMs are started and registered. */
@Injectable()
export class SnapshotOpenerService {
  private readonly inUse = new Map<string, Set<Promise<unknown>>>();
  private readonly retiring = new Map<string, Set<Promise<unknown>>>();

  constructor(
    private readonly catalog: SnapshotCatalogService,
    private readonly integrity: SnapshotIntegrityService,
    private readonly chain: SnapshotChainService,
  ) {}

  /**
   * Runs `work` with the snapshot.
   *
   * @throws DomainError invalid for a bad tag, not_found, conflict when it is not bootable, internal for a broken chain.
   */
  async use<T>(tag: string, work: (snapshot: RestorableSnapshot) => Promise<T>): Promise<T> {
    requireTag(tag, 'snapshot_tag');
    return this.hold(tag, async () => work(await this.open(tag)));
  }

  /** Runs `work` while the tag keeps the snapshot it has, or has none; waits while it is being retired. */
  async hold<T>(tag: string, work: () => Promise<T>): Promise<T> {
    for (let busy; (busy = this.retiring.get(tag)) !== undefined;) await Promise.allSettled([...busy]);
    return entered(this.inUse, tag, work());
  }

  /** Runs `work`, which takes the tag's snapshot away, when all who use it are done; new users wait for its end. */
  retire<T>(tag: string, work: () => Promise<T>): Promise<T> {
    const users = [...(this.inUse.get(tag) ?? [])];
    return entered(this.retiring, tag, Promise.allSettled(users).then(work));
  }

  private async open(tag: string): Promise<RestorableSnapshot> {
    const refuse = (reason: string): DomainError =>
      new DomainError('conflict', `snapshot \`${tag}\` is not bootable: ${reason}`);
    if (this.catalog.isBeingWritten(tag)) throw refuse('status=Writing; retry once it completes');
    const record = this.catalog.get(tag);
    if (record && record.status !== 'ready') {
      const status = record.status === 'failed' ? 'Failed' : 'Writing';
      throw refuse(`status=${status}; ${record.warning ?? 'delete it and make it again'}`);
    }
    if (!(await this.catalog.has(tag))) throw new DomainError('not_found', `snapshot ${tag} not found`);
    const inspection = await this.catalog.store.inspect(tag);
    if (inspection.problem !== undefined) throw refuse(inspection.problem);
    const sound = await this.integrity.requireSound(tag, inspection.artifacts);
    const memoryPath = await this.chain.memoryOf(this.catalog.store, tag, sound);
    const { manifest, rootfsPath, artifacts } = sound;
    return { memoryPath, vmstatePath: artifacts.vmstatePath, rootfsPath, manifest };
  }
}

/** Lists a task under a key until it has ended. */
async function entered<T>(
  tasks: Map<string, Set<Promise<unknown>>>,
  key: string,
  task: Promise<T>,
): Promise<T> {
  const ofKey = tasks.get(key) ?? new Set();
  tasks.set(key, ofKey.add(task));
  try {
    return await task;
  } finally {
    ofKey.delete(task);
    if (ofKey.size === 0) tasks.delete(key);
  }
}
