import { join } from 'node:path';
import { Injectable, Logger } from '@nestjs/common';
import { errorChain, errorMessage } from '../../common/errors/domain-error';
import { MemoryImageService } from '../memory/memory-image.service';
import { DIFF_FILE, type SnapshotManifest } from '../snapshots/domain/manifest';
import { SnapshotCatalogService } from '../snapshots/snapshot-catalog.service';
import { SnapshotChainService } from '../snapshots/snapshot-chain.service';
import { SnapshotOpenerService } from '../snapshots/snapshot-opener.service';
import { sealOf } from '../snapshots/snapshot-store';
import { writeManifestFile } from '../snapshots/snapshot-writer.service';
import { badPack } from './domain/pack-manifest';
import type { UnpackPlan } from './domain/unpack-plan';

/** Makes snapshots out of a pack's files. */
@Injectable()
export class UnpackedChainService {
  private readonly logger = new Logger(UnpackedChainService.name);

  constructor(
    private readonly catalog: SnapshotCatalogService,
    private readonly chain: SnapshotChainService,
    private readonly opener: SnapshotOpenerService,
    private readonly memory: MemoryImageService,
  ) {}

  /**
   * Completes the directories of a pack's new snapshots, makes sure that each diff gives the memory it promises, and then
   * publishes all of them, or none.
   *
   * @param staging has a directory for each snapshot of the pack; the caller removes it.
   */
  async publish(staging: string, plan: UnpackPlan): Promise<void> {
    const [reused] = plan.reused;
    const head =
      reused === undefined
        ? await this.complete(staging, plan, undefined)
        : await this.opener.use(reused, ({ memoryPath }) => this.complete(staging, plan, memoryPath));
    const now = Math.floor(Date.now() / 1000);
    const published: string[] = [];
    try {
      for (const { link, target } of plan.links) {
        await this.catalog.publish(join(staging, link.tag), this.catalog.recordOf(target, now));
        published.push(target);
      }
    } catch (error) {
      for (const tag of published.reverse()) {
        await this.catalog.discard(tag).catch((failure: unknown) => {
          this.logger.error(`snapshot ${tag} could not be taken back: ${errorMessage(failure)}`);
        });
      }
      throw error;
    }
    if (head !== undefined) await this.keep(head);
  }

  /** Returns the whole image of the last snapshot, where that is stored as a diff. */
  private async complete(
    staging: string,
    { links }: UnpackPlan,
    basePath: string | undefined,
  ): Promise<{ digest: string; path: string } | undefined> {
    let path = basePath;
    let head: { digest: string; path: string } | undefined;
    for (const { link } of links) {
      const dir = join(staging, link.tag);
      const stored = join(dir, link.snapshot.memory);
      if (link.snapshot.parent_tag === undefined) path = stored;
      else {
        const whole = join(staging, `.${link.tag}.image`);
        await this.assemble(path ?? '', whole, join(dir, DIFF_FILE), link.tag, link.snapshot);
        path = whole;
        head = { digest: link.snapshot.memory_digest, path: whole };
      }
      await writeManifestFile(dir, { ...link.snapshot, memory_seal: await sealOf(stored) });
    }
    return head;
  }

  private async assemble(
    basePath: string,
    imagePath: string,
    diffPath: string,
    tag: string,
    manifest: SnapshotManifest,
  ): Promise<void> {
    // Nobody needs its leaves.
    const sumsPath = `${imagePath}.sums`;
    let digest: string;
    try {
      digest = await this.memory.assemble(basePath, { imagePath, diffPaths: [diffPath], sumsPath });
    } catch (error) {
      if (isSystemError(error)) throw error;
      throw badPack(`${tag}/${DIFF_FILE}: ${errorChain(error).replace(`${diffPath}: `, '')}`);
    }
    if (digest !== manifest.memory_digest)
      throw badPack(
        `${tag}/${DIFF_FILE} does not give the memory that the snapshot should have (hash mismatch)`,
      );
  }

  /** Saves the first spawn the assembling; without it that does it again. */
  private async keep({ digest, path }: { digest: string; path: string }): Promise<void> {
    await this.chain.keep(this.catalog.store, digest, path).catch((error: unknown) => {
      this.logger.warn(`the whole memory of an unpacked snapshot is not kept: ${errorChain(error)}`);
    });
  }
}

function isSystemError(error: unknown): boolean {
  return error instanceof Error && 'code' in error;
}
