import { Inject, Injectable } from '@nestjs/common';
import { join } from 'node:path';
import { DomainError, errnoOf } from '../../common/errors/domain-error';
import { KeyedMutex } from '../../common/lifecycle/keyed-mutex';
import { withLockFile } from './adapters/build-lock';
import { directoriesOf, ImageBuilder } from './adapters/image-builder';
import { ImageStore } from './adapters/image-store';
import { INITRAMFS_FILE } from './adapters/initramfs-builder';
import { KERNEL_FILE } from './adapters/kernel-builder';
import { ROOTFS_FILE } from './adapters/rootfs-builder';
import { diskFull } from './adapters/run-tool';
import type { ComponentManifest, ImageRecord } from './domain/manifest';
import { recipeOf, RECIPES } from './domain/recipes';
import { IMAGE_OPTIONS, type ImageOptions } from './image-options';
import type { Image, ProgressListener } from './images.types';

const SUPPORTED_ARCH = 'x64';

export interface BuildOptions {
  readonly onProgress?: ProgressListener;
  /** Stops the build; nothing of it is left. */
  readonly signal?: AbortSignal;
  /** Looks for newer packages although the image is there. */
  readonly rebuild?: boolean;
}

/** Builds, finds, checks and removes images: kernel, initramfs and root file system of a VM. */
@Injectable()
export class ImagesService {
  private readonly store: ImageStore;
  private readonly builder: ImageBuilder;
  private readonly mutex = new KeyedMutex();

  constructor(@Inject(IMAGE_OPTIONS) private readonly options: ImageOptions) {
    this.store = new ImageStore(options.imageRoot);
    this.builder = new ImageBuilder(this.store, options, process.arch);
  }

  /** Names and descriptions of what {@link build} can make. */
  get definitions(): readonly { readonly name: string; readonly description: string }[] {
    return RECIPES.map(({ name, description }) => ({ name, description }));
  }

  /**
   * Builds an image, or returns it at once when it is there and its definition, agent and drivers are unchanged. Builds
   * wait for each other, also across processes.
   *
   * @throws DomainError invalid for an unknown name; unavailable when the architecture is not supported, a tool or a
   *   package is missing or the disk is full; the signal's reason when aborted.
   */
  async build(name: string, options: BuildOptions = {}): Promise<Image> {
    const recipe = recipeOf(name);
    if (process.arch !== SUPPORTED_ARCH) {
      throw new DomainError(
        'unavailable',
        `images can be built on x86-64 only for now; this machine is ${process.arch}`,
      );
    }
    const { signal } = options;
    const onProgress = options.onProgress ?? ((): void => undefined);
    const local = await this.builder.localInputs(recipe);
    const upToDate = async (): Promise<Image | undefined> => {
      if (options.rebuild === true) return undefined;
      const record = await this.store.readRecord(name).catch(ignoreConflict);
      return record?.buildKey === local.buildKey ? this.describe(record).catch(ignoreConflict) : undefined;
    };
    try {
      return (
        (await upToDate()) ??
        (await this.exclusively(onProgress, signal, async () => {
          // Another build may have made it while this one waited.
          const ready = await upToDate();
          if (ready !== undefined) return ready;
          await this.store.open();
          const previous = await this.store.readRecord(name).catch(ignoreConflict);
          const record = await this.builder.build(recipe, local, previous, { onProgress, signal });
          signal?.throwIfAborted();
          await this.store.writeRecord(record);
          return await this.describe(record);
        }))
      );
    } catch (error) {
      throw errnoOf(error) === 'ENOSPC' ? diskFull(error) : error;
    }
  }

  /** All images that can be used, by name. */
  async list(): Promise<Image[]> {
    const images: Image[] = [];
    for (const name of await this.store.listNames()) {
      const image = await this.get(name).catch(ignoreConflict);
      if (image !== undefined) images.push(image);
    }
    return images;
  }

  /**
   * Finds a built image.
   *
   * @throws DomainError not_found when there is none of that name; conflict when it is of another architecture, or files
   *   of it are missing or cut short.
   */
  async get(name: string): Promise<Image> {
    const record = await this.recordOf(name);
    if (record.arch !== process.arch) {
      throw new DomainError(
        'conflict',
        `image ${name} is for ${record.arch}, this machine is ${process.arch}; run \`forkd image build ${name}\``,
      );
    }
    return this.describe(record);
  }

  /**
   * Reads all files of an image and compares them with what was built.
   *
   * @throws DomainError as {@link get} does, and conflict when the content of a file was changed.
   */
  async verify(name: string, signal?: AbortSignal): Promise<Image> {
    const image = await this.get(name);
    for (const manifest of await this.components(await this.recordOf(name))) {
      const damage = await this.store.deepDamage(manifest, signal);
      if (damage !== undefined) throw damaged(name, damage);
    }
    return image;
  }

  /**
   * Removes an image and what no other image needs of it. Snapshots made from it cannot be restored any more.
   *
   * @throws DomainError not_found when there is none of that name.
   */
  async remove(name: string): Promise<void> {
    await this.exclusively(
      () => undefined,
      undefined,
      async () => {
        const record = await this.recordOf(name);
        await this.store.removeRecord(name);
        const needed = new Set<string>();
        for (const other of await this.store.listNames()) {
          const kept = await this.store.readRecord(other);
          if (kept !== undefined)
            for (const directory of [...directoriesOf(kept), ...kept.superseded]) needed.add(directory);
        }
        for (const directory of [...directoriesOf(record), ...record.superseded]) {
          if (!needed.has(directory)) await this.store.removeComponent(directory);
        }
      },
    );
  }

  private exclusively<T>(
    onProgress: ProgressListener,
    signal: AbortSignal | undefined,
    task: () => Promise<T>,
  ): Promise<T> {
    const onWait = (pid: number): void => {
      onProgress({ step: `wait for the build of process ${pid}` });
    };
    // One lock for all images: they share the kernel, the downloads and the two disks' worth of work.
    return this.mutex.runExclusive(
      'store',
      () => withLockFile(join(this.options.imageRoot, 'locks', 'store.lock'), task, onWait, signal),
      signal,
    );
  }

  private async recordOf(name: string): Promise<ImageRecord> {
    const names = await this.store.listNames();
    const record = names.includes(name) ? await this.store.readRecord(name) : undefined;
    if (record !== undefined) return record;
    const built = names.length === 0 ? 'none is built' : `built are: ${names.join(', ')}`;
    throw new DomainError(
      'not_found',
      `there is no image ${name} (${built}); run \`forkd image build ${name}\``,
    );
  }

  private async describe(record: ImageRecord): Promise<Image> {
    const manifests = await this.components(record);
    for (const manifest of manifests) {
      const damage = await this.store.damage(manifest);
      if (damage !== undefined) throw damaged(record.name, damage);
    }
    const files = manifests.flatMap((manifest) => manifest.files);
    return {
      name: record.name,
      digest: record.digest,
      arch: record.arch,
      kernelPath: join(this.store.pathOf('kernel', record.kernel), KERNEL_FILE),
      kernelVersion: manifests[0]?.kernelVersion ?? '',
      initramfsPath: join(this.store.pathOf('initramfs', record.initramfs), INITRAMFS_FILE),
      rootfsPath: join(this.store.pathOf('rootfs', record.rootfs), ROOTFS_FILE),
      runtimes: record.runtimes,
      sizeBytes: files.reduce((sum, file) => sum + file.sizeBytes, 0),
      createdAtUnix: record.createdAtUnix,
    };
  }

  private components(record: ImageRecord): Promise<ComponentManifest[]> {
    return Promise.all([
      this.store.readComponent('kernel', record.kernel),
      this.store.readComponent('initramfs', record.initramfs),
      this.store.readComponent('rootfs', record.rootfs),
    ]);
  }
}

function damaged(name: string, damage: string): DomainError {
  return new DomainError(
    'conflict',
    `image ${name} is damaged: ${damage}; run \`forkd image build ${name}\``,
  );
}

/** A record or component that cannot be used is built anew, so it counts as absent. */
function ignoreConflict(error: unknown): undefined {
  if (error instanceof DomainError && error.code === 'conflict') return undefined;
  throw error;
}
