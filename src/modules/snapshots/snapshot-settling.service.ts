import { link, readdir, readlink, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Injectable, Logger, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { errnoOf, errorChain } from '../../common/errors/domain-error';
import { Drain } from '../../common/lifecycle/drain';
import { syncPath } from '../../common/os/atomic-file';
import { bootId } from '../../common/os/proc';
import { MemoryImageService } from '../memory/memory-image.service';
import { DIFF_FILE, MEMORY_FILE, SUMS_FILE } from './domain/manifest';
import { SnapshotCatalogService } from './snapshot-catalog.service';
import { SnapshotOpenerService } from './snapshot-opener.service';

const SETTLE_AFTER_MS = 1000;
/**
 * Beside memory.bin while that is not on disk yet: a hard link to the image it was copied from. Its name goes on with `-` and
 * the boot in which that was; without it, memory.bin is known to be lost.
 */
const BASE_FILE = 'memory.base';

/**
 * A BRANCH would wait longest for its copy of the base to reach the disk, where the base is already. So the snapshot first
 * holds a hard link to the base and the difference, both durable, and loses them when its whole image is on disk. What the
 * host's memory has is lost with the host only: a start in the same boot goes on with bringing the image to disk, one in
 * another boot makes the image again if it was lost.
 */
@Injectable()
export class SnapshotSettlingService implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly logger = new Logger(SnapshotSettlingService.name);
  private readonly waiting = new Map<string, NodeJS.Timeout>();

  constructor(
    private readonly catalog: SnapshotCatalogService,
    private readonly opener: SnapshotOpenerService,
    private readonly memory: MemoryImageService,
    private readonly drain: Drain,
  ) {}

  async onApplicationBootstrap(): Promise<void> {
    const thisBoot = nameOfBase(await bootId());
    for (const tag of (await this.catalog.store.tags()).keys()) {
      const base = await this.baseOf(tag);
      if (base === undefined) continue;
      if (base === thisBoot) this.begin(tag);
      else {
        await this.recover(tag, base).catch((error: unknown) => {
          this.logger.error(`the memory of snapshot ${tag} could not be made again: ${errorChain(error)}`);
        });
      }
    }
  }

  /** What a stop has no time for, the next start goes on with. */
  async onApplicationShutdown(): Promise<void> {
    await this.drain.settled();
    const tags = [...this.waiting.keys()];
    if (!this.drain.isExpired) for (const tag of tags) void this.drain.hold(() => this.settle(tag));
    for (const tag of tags) this.forget(tag);
    await this.drain.settled();
  }

  /**
   * Links the file behind a VM's memory into a staged directory. False where that cannot be done, as the file was deleted or
   * is on another file system; then the image itself must be durable.
   *
   * @param backingPath opens the file.
   */
  async secureBase(backingPath: string, staging: string): Promise<boolean> {
    const target = join(staging, nameOfBase(await bootId()));
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
    this.forget(tag);
    const timer = setTimeout(() => {
      this.waiting.delete(tag);
      void this.drain.hold(() => this.settle(tag));
    }, SETTLE_AFTER_MS);
    this.waiting.set(tag, timer.unref());
  }

  private forget(tag: string): void {
    clearTimeout(this.waiting.get(tag));
    this.waiting.delete(tag);
  }

  /** Whatever snapshot the tag has by now: with its image on disk, it needs no base. The tag is not deleted meanwhile. */
  private async settle(tag: string): Promise<void> {
    try {
      await this.opener.hold(tag, async () => {
        const base = await this.baseOf(tag);
        if (base === undefined) return;
        try {
          await syncPath(this.pathOf(tag, MEMORY_FILE));
        } catch (error) {
          this.logger.warn(`the memory of snapshot ${tag} is made again: ${errorChain(error)}`);
          // The kernel tells once that it lost data, and shows them from its cache afterwards: so this is remembered.
          await rename(this.pathOf(tag, base), this.pathOf(tag, BASE_FILE));
          await this.makeAgain(tag, BASE_FILE);
        }
        await this.drop(tag);
      });
    } catch (error) {
      this.logger.warn(`snapshot ${tag} settles at the next start: ${errorChain(error)}`);
    }
  }

  private async recover(tag: string, base: string): Promise<void> {
    const path = this.pathOf(tag, MEMORY_FILE);
    const written = await this.digestOf(tag);
    const found = base === BASE_FILE ? undefined : await this.memory.digest(path).catch(() => undefined);
    if (found !== written) {
      // Whatever becomes of it, no VM starts from this.
      await rm(path, { force: true });
      await this.makeAgain(tag, base);
    }
    await this.drop(tag);
  }

  private async makeAgain(tag: string, base: string): Promise<void> {
    const written = await this.digestOf(tag);
    const made = this.pathOf(tag, '.memory.new');
    await rm(made, { force: true });
    try {
      const digest = await this.memory.assemble(this.pathOf(tag, base), {
        imagePath: made,
        diffPaths: [this.pathOf(tag, DIFF_FILE)],
        sumsPath: this.pathOf(tag, SUMS_FILE),
      });
      if (digest !== written) throw new Error('it is not what was written (hash mismatch)');
      await rename(made, this.pathOf(tag, MEMORY_FILE));
    } catch (error) {
      await rm(made, { force: true });
      throw error;
    }
    await syncPath(this.catalog.store.dirOf(tag));
  }

  /** @throws Error when it is not known: then nothing may be judged by it, and nothing thrown away. */
  private async digestOf(tag: string): Promise<string> {
    const { manifest, problem } = await this.catalog.store.describe(tag);
    if (manifest === undefined) throw new Error(problem ?? 'its snapshot.json cannot be used');
    return manifest.memory_digest;
  }

  private async baseOf(tag: string): Promise<string | undefined> {
    const names = await readdir(this.catalog.store.dirOf(tag)).catch(() => [] as string[]);
    return names.find((name) => name.startsWith(BASE_FILE));
  }

  private async drop(tag: string): Promise<void> {
    // The base last: it tells that there is something to do.
    await rm(this.pathOf(tag, DIFF_FILE), { force: true });
    const base = await this.baseOf(tag);
    if (base !== undefined) await rm(this.pathOf(tag, base), { force: true });
  }

  private pathOf(tag: string, name: string): string {
    return join(this.catalog.store.dirOf(tag), name);
  }
}

function nameOfBase(boot: string): string {
  return `${BASE_FILE}-${boot}`;
}
