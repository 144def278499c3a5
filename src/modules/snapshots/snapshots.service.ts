import { access, rename, rm, stat } from 'node:fs/promises';
import { Injectable, Logger, type OnModuleInit } from '@nestjs/common';
import { DaemonConfig } from '../../common/config/daemon-config';
import { DomainError, errorChain, errorMessage } from '../../common/errors/domain-error';
import { ImagesService } from '../images/images.service';
import type { SnapshotRecord } from '../registry/domain/records';
import { RegistryService } from '../registry/registry.service';
import { dependentsOf, subtreeLeavesFirst } from './domain/lineage';
import { requireTag } from './domain/tag';
import { type ParentSource, SnapshotBuilderService } from './snapshot-builder.service';
import { type RestorableSnapshot, SnapshotIntegrityService } from './snapshot-integrity.service';
import { SnapshotStore } from './snapshot-store';

export interface CreateSnapshot {
  readonly tag: string;
  /** A built image's name, or … */
  readonly image?: string;
  /** … a kernel and a root file system, host paths. */
  readonly kernel?: string;
  readonly rootfs?: string;
  readonly rw: boolean;
  readonly tap: string | null;
  readonly bootWaitSecs: number;
  readonly memSizeMib: number;
  readonly vcpus: number;
}

const MAX_BOOT_WAIT_SECS = 60;
const MEM_MIB = { min: 64, max: 65_536 };
const MAX_VCPUS = 32;

/** The snapshots of this host: what is registered, what is on disk, and whether it can be started. */
@Injectable()
export class SnapshotsService implements OnModuleInit {
  private readonly logger = new Logger(SnapshotsService.name);
  private readonly store: SnapshotStore;
  /** Tags that are being written now, with the time they were asked for. */
  private readonly writing = new Map<string, number>();

  constructor(
    config: DaemonConfig,
    private readonly registry: RegistryService,
    private readonly images: ImagesService,
    private readonly builder: SnapshotBuilderService,
    private readonly integrity: SnapshotIntegrityService,
  ) {
    this.store = new SnapshotStore(config.snapshotRoot);
  }

  async onModuleInit(): Promise<void> {
    await this.store.clean();
  }

  /** All snapshots in byte order of their tags, those on disk that nobody registered included. */
  async list(): Promise<SnapshotRecord[]> {
    const records = new Map(this.registry.snapshots().map((record) => [record.tag, record]));
    for (const [tag, modified] of await this.store.tags()) {
      if (records.has(tag)) continue;
      records.set(tag, {
        tag,
        dir: this.store.dirOf(tag),
        created_at_unix: modified,
        status: 'ready',
        bootable: true,
      });
    }
    for (const [tag, since] of this.writing) {
      const dir = this.store.dirOf(tag);
      records.set(tag, { tag, dir, created_at_unix: since, status: 'writing', bootable: false });
    }
    const annotated = await Promise.all([...records.values()].map((record) => this.annotate(record)));
    return annotated.sort((a, b) => (a.tag < b.tag ? -1 : 1));
  }

  /** Builds a snapshot from an image, or from a kernel and a root file system. */
  async create(request: CreateSnapshot, signal: AbortSignal): Promise<SnapshotRecord> {
    const { tag } = request;
    requireTag(tag);
    const source = await this.sourceOf(request);
    requireLimits(request);
    if (this.writing.has(tag)) {
      throw new DomainError('conflict', `snapshot ${tag} is being written already; retry once it completes`);
    }
    const createdAt = Math.floor(Date.now() / 1000);
    this.writing.set(tag, createdAt);
    try {
      if (await this.store.hasDirectory(tag)) {
        throw new DomainError('invalid', `snapshot ${tag} already exists; DELETE first`);
      }
      // 0 is upstream's "do not wait"; here nothing is waited for that is not needed, so it sets no bound of its own.
      const seconds = request.bootWaitSecs === 0 ? MAX_BOOT_WAIT_SECS : request.bootWaitSecs;
      const { vcpus, memSizeMib, tap } = request;
      const build = {
        tag,
        source,
        vcpus,
        memSizeMib,
        bootDeadlineMs: seconds * 1000,
        ...(tap === null ? {} : { tap }),
      };
      await this.builder.build(this.store, build, signal);
      const dir = this.store.dirOf(tag);
      const record: SnapshotRecord = {
        tag,
        dir,
        created_at_unix: createdAt,
        status: 'ready',
        bootable: true,
      };
      await this.registry
        .mutate((draft) => draft.snapshots.set(tag, record))
        .catch(async (error: unknown) => {
          await this.discard(tag);
          throw error;
        });
      return record;
    } catch (error) {
      if (error instanceof DomainError && error.code !== 'internal') throw error;
      throw new DomainError('internal', `snapshot: ${errorChain(error)}`, { cause: error });
    } finally {
      this.writing.delete(tag);
    }
  }

  /** Deletes a snapshot: alone, with everything stored on top of it, or although something is. */
  async remove(tag: string, how: { cascade: boolean; force: boolean }): Promise<void> {
    requireTag(tag);
    if (how.cascade && how.force) {
      throw new DomainError(
        'invalid',
        'force and cascade are mutually exclusive: cascade deletes the dependents too, force leaves them broken',
      );
    }
    if (this.registry.getSnapshot(tag) === undefined && !(await this.store.hasDirectory(tag))) {
      throw new DomainError('not_found', `snapshot ${tag} not found`);
    }
    const lineage = await this.lineage();
    const dependents = dependentsOf(tag, lineage);
    if (dependents.length > 0 && !how.cascade && !how.force) {
      throw new DomainError(
        'conflict',
        `snapshot ${tag} has dependents: ${dependents.join(', ')}; delete them first, or use ?cascade=true to delete them too, or ?force=true to leave them broken`,
      );
    }
    const doomed = how.cascade ? subtreeLeavesFirst(tag, lineage) : [tag];
    for (const each of doomed) await this.discard(each);
  }

  /** A snapshot that VMs may be started from now. */
  async openForSpawn(tag: string): Promise<RestorableSnapshot> {
    requireTag(tag, 'snapshot_tag');
    if (this.writing.has(tag)) {
      throw new DomainError(
        'conflict',
        `snapshot \`${tag}\` is not bootable: status=Writing; retry once it completes`,
      );
    }
    const record = this.registry.getSnapshot(tag);
    if (record && record.status !== 'ready') {
      const status = record.status === 'failed' ? 'Failed' : 'Writing';
      throw new DomainError(
        'conflict',
        `snapshot \`${tag}\` is not bootable: status=${status}; ${record.warning ?? 'make it again'}`,
      );
    }
    if (!record && !(await this.store.hasDirectory(tag))) {
      throw new DomainError('not_found', `snapshot ${tag} not found`);
    }
    const inspection = await this.store.inspect(tag);
    if (inspection.problem !== undefined) {
      throw new DomainError('conflict', `snapshot \`${tag}\` is not bootable: ${inspection.problem}`);
    }
    return this.integrity.requireRestorable(tag, inspection.artifacts);
  }

  private async annotate(record: SnapshotRecord): Promise<SnapshotRecord> {
    if (record.status !== 'ready') return record;
    const { problem } = await this.store.inspect(record.tag);
    if (problem === undefined) return record;
    return { ...record, status: 'failed', bootable: false, warning: `snapshot is not bootable: ${problem}` };
  }

  /** Removes a snapshot's directory and entry, as far as they are there. */
  private async discard(tag: string): Promise<void> {
    const trash = await this.store.withdraw(tag);
    if (this.registry.getSnapshot(tag) !== undefined) {
      await this.registry
        .mutate((draft) => draft.snapshots.delete(tag))
        .catch(async (error: unknown) => {
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

  private async lineage(): Promise<Map<string, string>> {
    const lineage = new Map<string, string>();
    for (const tag of (await this.store.tags()).keys()) {
      const parent = await this.store.parentOf(tag);
      if (parent !== undefined) lineage.set(tag, parent);
    }
    return lineage;
  }

  private async sourceOf(request: CreateSnapshot): Promise<ParentSource> {
    if (request.image !== undefined) {
      const image = await this.images.get(request.image);
      return { ...image, rootfsImmutable: true, image: { name: image.name, digest: image.digest } };
    }
    const { kernel = '', rootfs = '' } = request;
    await requireFile('kernel', kernel);
    await requireFile('rootfs', rootfs);
    const built = await this.images.list();
    const image = built.find((each) => each.kernelPath === kernel) ?? built[0];
    if (!image) {
      throw new DomainError(
        'invalid',
        'a VM boots with the initramfs of an image, and none is built yet; build one: forkd image build python',
      );
    }
    return {
      kernelPath: kernel,
      kernelVersion: image.kernelPath === kernel ? image.kernelVersion : 'unknown',
      initramfsPath: image.initramfsPath,
      rootfsPath: rootfs,
      rootfsImmutable: image.rootfsPath === rootfs,
      image: null,
      runtimes: image.rootfsPath === rootfs ? image.runtimes : [],
    };
  }
}

async function requireFile(what: string, path: string): Promise<void> {
  const found = path.startsWith('/') ? await stat(path).catch(() => undefined) : undefined;
  if (!found) throw new DomainError('invalid', `${what} not found: ${path}`);
  if (!found.isFile()) throw new DomainError('invalid', `${what} is not a file: ${path}`);
  await access(path).catch((error: unknown) => {
    throw new DomainError('invalid', `${what} cannot be read: ${path}: ${errorMessage(error)}`, {
      cause: error,
    });
  });
}

function requireLimits(request: CreateSnapshot): void {
  if (request.bootWaitSecs > MAX_BOOT_WAIT_SECS) {
    throw new DomainError('invalid', `boot_wait_secs must be ≤ ${MAX_BOOT_WAIT_SECS}`);
  }
  if (request.memSizeMib < MEM_MIB.min || request.memSizeMib > MEM_MIB.max) {
    throw new DomainError('invalid', `mem_size_mib must be ${MEM_MIB.min} to ${MEM_MIB.max}`);
  }
  if (request.vcpus < 1 || request.vcpus > MAX_VCPUS)
    throw new DomainError('invalid', `vcpus must be 1 to ${MAX_VCPUS}`);
}
