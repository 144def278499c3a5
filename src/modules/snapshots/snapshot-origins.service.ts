import { link, mkdir, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Injectable } from '@nestjs/common';
import { DomainError, errnoOf } from '../../common/errors/domain-error';
import { RegistryService } from '../registry/registry.service';
import {
  MANIFEST_FILE,
  parseManifest,
  ROOTFS_FILE,
  type SnapshotManifest,
  SUMS_FILE,
} from './domain/manifest';
import { SnapshotCatalogService } from './snapshot-catalog.service';

/** What a running sandbox was forked from, as far as a BRANCH of it needs it. */
export interface Origin {
  readonly manifest: SnapshotManifest;
  readonly rootfsPath: string;
  /** The leaves of the memory the VM was started from; may be missing. */
  readonly sumsPath: string;
}

const KEPT = [MANIFEST_FILE, ROOTFS_FILE, SUMS_FILE];

/**
 * Where the origins of running sandboxes are found. A snapshot may be deleted, and its tag used again, while its children
 * run; then hard links of what a BRANCH of them needs are kept, one directory per sandbox.
 */
@Injectable()
export class SnapshotOriginsService {
  constructor(
    private readonly catalog: SnapshotCatalogService,
    private readonly registry: RegistryService,
  ) {}

  /** @throws DomainError internal when the origin was lost. */
  async of(sandboxId: string, tag: string): Promise<Origin> {
    const kept = this.keptDir(sandboxId);
    const dir = (await exists(kept)) ? kept : this.catalog.store.dirOf(tag);
    const text = await readFile(join(dir, MANIFEST_FILE), 'utf8').catch((error: unknown) => {
      throw new DomainError('internal', `what ${sandboxId} was forked from (snapshot ${tag}) is gone`, {
        cause: error,
      });
    });
    const parsed = parseManifest(text);
    if ('problem' in parsed || !parsed.manifest) {
      throw new DomainError('internal', `snapshot.json of what ${sandboxId} was forked from cannot be used`);
    }
    return { manifest: parsed.manifest, rootfsPath: join(dir, ROOTFS_FILE), sumsPath: join(dir, SUMS_FILE) };
  }

  /** Whether the sandbox's origin is the snapshot that has its tag now. */
  async isCurrent(sandboxId: string): Promise<boolean> {
    return !(await exists(this.keptDir(sandboxId)));
  }

  /** Keeps a snapshot's files for the sandboxes that run from it; to be called before it is deleted. */
  async keepFor(tag: string): Promise<void> {
    for (const { id, snapshot_tag: from } of this.registry.sandboxes()) {
      if (from !== tag || (await exists(this.keptDir(id)))) continue;
      const staging = `${this.keptDir(id)}.new`;
      try {
        await this.linkAll(tag, staging);
        await rename(staging, this.keptDir(id));
        // One that was removed meanwhile had nothing to give back yet.
        if (this.registry.getSandbox(id) === undefined) await this.release(id);
      } catch (error) {
        await rm(staging, { recursive: true, force: true });
        throw error;
      }
    }
  }

  /** Gives back what was kept for a sandbox. */
  async release(sandboxId: string): Promise<void> {
    await rm(this.keptDir(sandboxId), { recursive: true, force: true });
  }

  /** Gives back what was kept for sandboxes that are no more. */
  async collect(): Promise<void> {
    const names = await readdir(this.root).catch(() => [] as string[]);
    for (const name of names) {
      if (this.registry.getSandbox(name) === undefined)
        await rm(join(this.root, name), { recursive: true, force: true });
    }
  }

  private async linkAll(tag: string, staging: string): Promise<void> {
    await rm(staging, { recursive: true, force: true });
    await mkdir(staging, { recursive: true, mode: 0o700 });
    for (const name of KEPT) {
      await link(join(this.catalog.store.dirOf(tag), name), join(staging, name)).catch((error: unknown) => {
        if (errnoOf(error) !== 'ENOENT') throw error;
      });
    }
  }

  private get root(): string {
    return join(this.catalog.store.root, '.origins');
  }

  private keptDir(sandboxId: string): string {
    return join(this.root, sandboxId);
  }
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}
