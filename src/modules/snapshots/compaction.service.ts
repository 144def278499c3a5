import { copyFile, link, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Injectable } from '@nestjs/common';
import { DomainError, errorChain } from '../../common/errors/domain-error';
import { syncPath } from '../../common/os/atomic-file';
import { MemoryImageService } from '../memory/memory-image.service';
import type { SnapshotRecord } from '../registry/domain/records';
import { MEMORY_FILE, ROOTFS_FILE, type SnapshotManifest, SUMS_FILE, VMSTATE_FILE } from './domain/manifest';
import { requireTag } from './domain/tag';
import { SnapshotCatalogService } from './snapshot-catalog.service';
import { type RestorableSnapshot, SnapshotOpenerService } from './snapshot-opener.service';
import { sealOf } from './snapshot-store';
import { writeManifestFile } from './snapshot-writer.service';

/** Makes a snapshot that stands on its own out of one that is stored on top of others. */
@Injectable()
export class CompactionService {
  constructor(
    private readonly catalog: SnapshotCatalogService,
    private readonly opener: SnapshotOpenerService,
    private readonly memory: MemoryImageService,
  ) {}

  /** @throws DomainError invalid, conflict when the target exists; not_found; internal `compact: <cause>`. */
  async compact(tag: string, to: string): Promise<SnapshotRecord> {
    requireTag(tag);
    requireTag(to, 'to');
    if (tag === to) throw new DomainError('invalid', 'compact target tag must differ from source tag');
    const taken = `snapshot ${to} is being written already; retry once it completes`;
    return this.catalog.whileWriting(to, taken, async (since) => {
      if (await this.catalog.store.hasDirectory(to)) {
        throw new DomainError('conflict', `snapshot ${to} already exists; DELETE first`);
      }
      const record = { ...this.catalog.recordOf(to, since), branched_from: `compact:${tag}` };
      try {
        await this.opener.use(tag, (source) => this.write(source, record));
        return record;
      } catch (error) {
        if (error instanceof DomainError && error.code !== 'internal') throw error;
        throw new DomainError('internal', `compact: ${errorChain(error)}`, { cause: error });
      }
    });
  }

  private async write(source: RestorableSnapshot, record: SnapshotRecord): Promise<void> {
    const staging = await this.catalog.store.stage(record.tag);
    try {
      const memoryPath = join(staging, MEMORY_FILE);
      await this.memory.copy(source.memoryPath, memoryPath);
      await copyFile(source.vmstatePath, join(staging, VMSTATE_FILE));
      await syncPath(join(staging, VMSTATE_FILE));
      await link(source.rootfsPath, join(staging, ROOTFS_FILE));
      const digest = await this.memory.digest(memoryPath, join(staging, SUMS_FILE));
      if (digest !== source.manifest.memory_digest) {
        throw new DomainError(
          'internal',
          `the memory of ${source.memoryPath} is not what was written (hash mismatch)`,
        );
      }
      await writeManifestFile(staging, { ...flat(source.manifest), memory_seal: await sealOf(memoryPath) });
      await this.catalog.publish(staging, record);
    } catch (error) {
      await rm(staging, { recursive: true, force: true });
      throw error;
    }
  }
}

function flat(manifest: SnapshotManifest): SnapshotManifest {
  const chained = new Set(['parent_tag', 'parent_content_hash', 'diff_sha256']);
  const own = Object.fromEntries(Object.entries(manifest).filter(([name]) => !chained.has(name)));
  return { ...(own as unknown as SnapshotManifest), memory: MEMORY_FILE };
}
