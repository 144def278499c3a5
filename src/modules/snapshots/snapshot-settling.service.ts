import { link, readlink, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Injectable, Logger, type OnApplicationBootstrap, type OnModuleDestroy } from '@nestjs/common';
import { errnoOf, errorChain } from '../../common/errors/domain-error';
import { syncPath } from '../../common/os/atomic-file';
import { MemoryImageService } from '../memory/memory-image.service';
import { DIFF_FILE, MEMORY_FILE, SUMS_FILE } from './domain/manifest';
import { SnapshotCatalogService } from './snapshot-catalog.service';
import { SnapshotOpenerService } from './snapshot-opener.service';

const SETTLE_AFTER_MS = 1000;
/** Beside memory.bin while that is not on disk yet: a hard link to the image it was copied from. */
const BASE_FILE = 'memory.base';

/**
 * A BRANCH would wait longest for its copy of the base to reach the disk, where the base is already. So the snapshot first
 * holds a hard link to the base and the difference, both durable, and loses them when its whole image is on disk. A
 * start that finds them makes the image again if it was lost.
 */
@Injectable()
export class SnapshotSettlingService implements OnApplicationBootstrap, OnModuleDestroy {
  private readonly logger = new Logger(SnapshotSettlingService.name);
  private readonly waiting = new Map<string, NodeJS.Timeout>();
  private readonly running = new Set<Promise<void>>();

  constructor(
    private readonly catalog: SnapshotCatalogService,
    private readonly opener: SnapshotOpenerService,
    private readonly memory: MemoryImageService,
  ) {}

  async onApplicationBootstrap(): Promise<void> {
    for (const tag of (await this.catalog.store.tags()).keys()) {
      if (!(await exists(this.pathOf(tag, BASE_FILE)))) continue;
      await this.recover(tag).catch((error: unknown) => {
        this.logger.error(`the memory of snapshot ${tag} could not be made again: ${errorChain(error)}`);
      });
    }
  }

  async onModuleDestroy(): Promise<void> {
    for (const tag of [...this.waiting.keys()]) this.settle(tag);
    await Promise.all(this.running);
  }

  /**
   * Links the file behind a VM's memory into a staged directory. False where that cannot be done, as the file was deleted or
   * is on another file system; then the image itself must be durable.
   *
   * @param backingPath opens the file.
   */
  async secureBase(backingPath: string, staging: string): Promise<boolean> {
    const target = join(staging, BASE_FILE);
    try {
      await link(await readlink(backingPath), target);
      const [one, other] = await Promise.all([stat(backingPath), stat(target)]);
      if (one.ino === other.ino && one.dev === other.dev) {
        // It may itself be on its way to the disk.
        await syncPath(target);
        return true;
      }
    } catch (error) {
      if (errnoOf(error) === undefined) throw error;
    }
    await rm(target, { force: true });
    return false;
  }

  /**
   * Brings the image of a published snapshot to disk, in the background and not at once: what follows a BRANCH would wait for
   * the disk, and a snapshot that is deleted soon need not reach it.
   */
  begin(tag: string): void {
    clearTimeout(this.waiting.get(tag));
    const timer = setTimeout(() => {
      this.settle(tag);
    }, SETTLE_AFTER_MS);
    this.waiting.set(tag, timer.unref());
  }

  /** Whatever snapshot the tag has by now: with its image on disk, it needs no base. The tag is not deleted meanwhile. */
  private settle(tag: string): void {
    clearTimeout(this.waiting.get(tag));
    this.waiting.delete(tag);
    const work = this.opener
      .hold(tag, async () => {
        await syncPath(this.pathOf(tag, MEMORY_FILE));
        await this.drop(tag);
      })
      .catch((error: unknown) => {
        if (errnoOf(error) === 'ENOENT') return;
        this.logger.warn(`snapshot ${tag} settles at the next start: ${errorChain(error)}`);
      })
      .finally(() => this.running.delete(work));
    this.running.add(work);
  }

  private async recover(tag: string): Promise<void> {
    const { manifest } = await this.catalog.store.describe(tag);
    const path = this.pathOf(tag, MEMORY_FILE);
    if ((await this.memory.digest(path).catch(() => undefined)) !== manifest?.memory_digest) {
      // Whatever becomes of it, no VM starts from this.
      await rm(path, { force: true });
      const made = this.pathOf(tag, '.memory.new');
      await rm(made, { force: true });
      const digest = await this.memory.assemble(this.pathOf(tag, BASE_FILE), {
        imagePath: made,
        diffPaths: [this.pathOf(tag, DIFF_FILE)],
        sumsPath: this.pathOf(tag, SUMS_FILE),
      });
      if (digest !== manifest?.memory_digest) throw new Error('it is not what was written (hash mismatch)');
      await rename(made, path);
      await syncPath(this.catalog.store.dirOf(tag));
    }
    await this.drop(tag);
  }

  private async drop(tag: string): Promise<void> {
    // The base last: it tells that there is something to do.
    await rm(this.pathOf(tag, DIFF_FILE), { force: true });
    await rm(this.pathOf(tag, BASE_FILE), { force: true });
  }

  private pathOf(tag: string, name: string): string {
    return join(this.catalog.store.dirOf(tag), name);
  }
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}
