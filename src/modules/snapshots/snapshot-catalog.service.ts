import { rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Injectable, Logger, type OnModuleInit } from '@nestjs/common';
import { DaemonConfig } from '../../common/config/daemon-config';
import { DomainError, errorMessage } from '../../common/errors/domain-error';
import type { RegistryState, SnapshotRecord } from '../registry/domain/records';
import { RegistryService } from '../registry/registry.service';
import { VMSTATE_FILE } from './domain/manifest';
import { SnapshotStore } from './snapshot-store';

export type RegistryChange = (draft: RegistryState) => void;

/** The snapshots of this host: what is registered, what is on disk, and what is being written. */
@Injectable()
export class SnapshotCatalogService implements OnModuleInit {
  private readonly logger = new Logger(SnapshotCatalogService.name);
  readonly store: SnapshotStore;
  /** Tags that are being written now, with the unix time they were asked for. */
  private readonly writing = new Map<string, number>();

  constructor(
    config: DaemonConfig,
    private readonly registry: RegistryService,
  ) {
    this.store = new SnapshotStore(config.snapshotRoot);
  }

  async onModuleInit(): Promise<void> {
    await this.finishDeletions();
    await this.store.clean();
  }

  /** All snapshots in byte order of their tags, those on disk that nobody registered included. */
  async list(): Promise<SnapshotRecord[]> {
    const records = new Map(this.registry.snapshots().map((record) => [record.tag, record]));
    for (const [tag, modified] of await this.store.tags()) {
      if (!records.has(tag)) records.set(tag, this.recordOf(tag, modified));
    }
    for (const [tag, since] of this.writing) {
      records.set(tag, { ...this.recordOf(tag, since), status: 'writing', bootable: false });
    }
    const annotated = await Promise.all([...records.values()].map((record) => this.annotate(record)));
    return annotated.sort((a, b) => (a.tag < b.tag ? -1 : 1));
  }

  /** A ready snapshot's record, before anything else is known of it. */
  recordOf(tag: string, createdAtUnix: number): SnapshotRecord {
    const dir = this.store.dirOf(tag);
    return { tag, dir, created_at_unix: createdAtUnix, status: 'ready', bootable: true };
  }

  get(tag: string): Readonly<SnapshotRecord> | undefined {
    return this.registry.getSnapshot(tag);
  }

  /** Whether the tag is registered or has a directory. */
  async has(tag: string): Promise<boolean> {
    return this.get(tag) !== undefined || (await this.store.hasDirectory(tag));
  }

  async hasVmstate(tag: string): Promise<boolean> {
    return (await this.sizesOf(join(this.store.dirOf(tag), VMSTATE_FILE))).logical > 0;
  }

  isBeingWritten(tag: string): boolean {
    return this.writing.has(tag);
  }

  /**
   * Writes a tag, alone: while `work` runs, the tag is listed as being written and cannot be written by another.
   *
   * @param taken the error's text when another writes it already.
   */
  async whileWriting<T>(tag: string, taken: string, work: (sinceUnix: number) => Promise<T>): Promise<T> {
    if (this.writing.has(tag)) throw new DomainError('conflict', taken);
    const since = Math.floor(Date.now() / 1000);
    this.writing.set(tag, since);
    try {
      return await work(since);
    } finally {
      this.writing.delete(tag);
    }
  }

  /**
   * Makes a staged directory the tag's snapshot and registers it: both, or neither.
   *
   * @param alongside what else changes in the registry with it.
   */
  async publish(staging: string, record: SnapshotRecord, alongside?: RegistryChange): Promise<void> {
    await this.store.publish(staging, record.tag);
    try {
      await this.register(record, alongside);
    } catch (error) {
      await this.discard(record.tag);
      throw error;
    }
  }

  async register(record: SnapshotRecord, alongside?: RegistryChange): Promise<void> {
    await this.registry.mutate((draft) => {
      draft.snapshots.set(record.tag, record);
      alongside?.(draft);
    });
  }

  /** Removes a snapshot's directory and entry, as far as they are there. */
  async discard(tag: string): Promise<void> {
    const trash = await this.store.withdraw(tag);
    if (this.get(tag) !== undefined) {
      const forget = this.registry.mutate((draft) => draft.snapshots.delete(tag));
      await forget.catch(async (error: unknown) => {
        if (trash !== undefined) await rename(trash, this.store.dirOf(tag));
        throw error;
      });
    }
    if (trash !== undefined) {
      await rm(trash, { recursive: true, force: true }).catch((error: unknown) => {
        this.logger.warn(
          `${trash} could not be removed and is tried again at the next start: ${errorMessage(error)}`,
        );
      });
    }
  }

  /** Which snapshot is stored on top of which. */
  async lineage(): Promise<Map<string, string>> {
    const lineage = new Map<string, string>();
    for (const tag of (await this.store.tags()).keys()) {
      const parent = await this.store.parentOf(tag);
      if (parent !== undefined) lineage.set(tag, parent);
    }
    return lineage;
  }

  /** Size of a file and what it takes on disk, in bytes; zeros when it is not there. */
  async sizesOf(path: string): Promise<{ logical: number; physical: number }> {
    const found = await stat(path).catch(() => undefined);
    return { logical: found?.size ?? 0, physical: (found?.blocks ?? 0) * 512 };
  }

  /** A deletion that a dying daemon had begun is carried through: its files are out of sight already. */
  private async finishDeletions(): Promise<void> {
    const gone: string[] = [];
    for (const tag of await this.store.withdrawnTags()) {
      if (this.get(tag) !== undefined && !(await this.store.hasDirectory(tag))) gone.push(tag);
    }
    if (gone.length === 0) return;
    await this.registry.mutate((draft) => {
      for (const tag of gone) draft.snapshots.delete(tag);
    });
  }

  private async annotate(record: SnapshotRecord): Promise<SnapshotRecord> {
    if (record.status !== 'ready') return record;
    const { problem } = await this.store.inspect(record.tag);
    if (problem === undefined) return record;
    return {
      ...record,
      status: 'failed',
      bootable: false,
      warning: `snapshot is not bootable: ${problem}`,
    };
  }
}
