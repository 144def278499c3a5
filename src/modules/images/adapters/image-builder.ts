import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { ComponentManifest, ImageRecord } from '../domain/manifest';
import { FORMAT_VERSION, imageDigest } from '../domain/manifest';
import { GUEST_MODULES } from '../domain/modules';
import { BUILDER_VERSION, digestOf, type PackagesRecipe } from '../domain/recipes';
import type { ImageOptions } from '../image-options';
import { Apt } from './apt';
import { OutdatedListsError } from './apt-lists';
import type { BuildContext } from './build-context';
import { ext4ToolVersion } from './ext4-image';
import type { ImageStore } from './image-store';
import { buildInitramfs, readAgent, readBusybox } from './initramfs-builder';
import { KernelBuilder } from './kernel-builder';
import { readDrivers, RootfsBuilder } from './rootfs-builder';

type Control = Omit<BuildContext, 'workDir'>;

/** The local files an image is made of, read once per build. */
export interface LocalInputs {
  readonly agent: Buffer;
  readonly drivers: ReadonlyMap<string, Buffer>;
  /** Tells whether an image is up to date without asking the package manager. */
  readonly buildKey: string;
}

/** Makes the components of an image that the store does not have yet. */
export class ImageBuilder {
  private readonly apt: Apt;

  constructor(
    private readonly store: ImageStore,
    private readonly options: ImageOptions,
    private readonly arch: string,
  ) {
    this.apt = new Apt(join(options.imageRoot, 'cache', 'apt'));
  }

  async localInputs(recipe: PackagesRecipe): Promise<LocalInputs> {
    const [agent, drivers] = await Promise.all([
      readAgent(this.options.agentPath),
      readDrivers(recipe, this.options.runtimesPath),
    ]);
    const buildKey = digestOf({
      builder: BUILDER_VERSION,
      arch: this.arch,
      modules: GUEST_MODULES,
      recipe,
      agent: sha256(agent),
      drivers: digests(drivers),
    });
    return { agent, drivers, buildKey };
  }

  /** Makes the components and says what the image is made of; fetches package lists where the host's are too old. */
  async build(
    recipe: PackagesRecipe,
    local: LocalInputs,
    previous: ImageRecord | undefined,
    control: Control,
  ): Promise<ImageRecord> {
    try {
      return await this.buildOnce(recipe, local, previous, control);
    } catch (error) {
      if (!(error instanceof OutdatedListsError)) throw error;
      control.onProgress({ step: 'fetch package lists' });
      try {
        await this.apt.refresh(control.signal);
      } catch {
        control.signal?.throwIfAborted();
        throw error;
      }
      return this.buildOnce(recipe, local, previous, control);
    }
  }

  private async buildOnce(
    recipe: PackagesRecipe,
    local: LocalInputs,
    previous: ImageRecord | undefined,
    control: Control,
  ): Promise<ImageRecord> {
    const kernel = await this.kernel(control);
    const initramfs = await this.initramfs(kernel, local.agent, control);
    const rootfs = await this.rootfs(recipe, local.drivers, control);
    const current = [kernel, initramfs, rootfs].map(directoryOf);
    const before = previous === undefined ? [] : [...previous.superseded, ...directoriesOf(previous)];
    return {
      formatVersion: FORMAT_VERSION,
      name: recipe.name,
      digest: imageDigest(kernel.digest, initramfs.digest, rootfs.digest),
      buildKey: local.buildKey,
      arch: this.arch,
      kernel: kernel.digest,
      initramfs: initramfs.digest,
      rootfs: rootfs.digest,
      runtimes: recipe.runtimes.map((runtime) => runtime.name),
      createdAtUnix: Math.floor(Date.now() / 1000),
      superseded: [...new Set(before)].filter((directory) => !current.includes(directory)),
    };
  }

  private async kernel(control: Control): Promise<ComponentManifest> {
    const source = await this.apt.kernelPackage(control.signal);
    const inputs = {
      builder: BUILDER_VERSION,
      package: source.name,
      version: source.version,
      modules: GUEST_MODULES,
    };
    return this.reuseOrAdd('kernel', inputs, control, (outDir, context) =>
      new KernelBuilder(this.apt).build(source, outDir, context),
    );
  }

  private async initramfs(
    kernel: ComponentManifest,
    agent: Buffer,
    control: Control,
  ): Promise<ComponentManifest> {
    const busybox = await readBusybox();
    const inputs = {
      builder: BUILDER_VERSION,
      kernel: kernel.digest,
      agent: sha256(agent),
      busybox: sha256(busybox),
    };
    return this.reuseOrAdd('initramfs', inputs, control, async (outDir) => {
      control.onProgress({ step: 'write the initramfs' });
      const path = this.store.pathOf('kernel', kernel.digest);
      await buildInitramfs(agent, busybox, { path, modules: kernel.modules ?? [] }, outDir);
      return {};
    });
  }

  private async rootfs(
    recipe: PackagesRecipe,
    drivers: ReadonlyMap<string, Buffer>,
    control: Control,
  ): Promise<ComponentManifest> {
    control.onProgress({ step: 'resolve packages' });
    const resolved = await this.apt.resolve(recipe.packages, control.signal);
    const packages = resolved.filter(({ name }) => !recipe.without.includes(name));
    const inputs = {
      builder: BUILDER_VERSION,
      recipe,
      drivers: digests(drivers),
      packages: packages.map(({ name, version }) => `${name}=${version}`),
      e2fsprogs: await ext4ToolVersion(),
    };
    return this.reuseOrAdd('rootfs', inputs, control, async (outDir, context) => {
      await new RootfsBuilder(this.apt).build(
        { recipe, packages, drivers, identity: digestOf(inputs) },
        outDir,
        context,
      );
      return {};
    });
  }

  private async reuseOrAdd(
    kind: ComponentManifest['kind'],
    inputs: Readonly<Record<string, unknown>>,
    control: Control,
    fill: (
      outDir: string,
      context: BuildContext,
    ) => Promise<Pick<ComponentManifest, 'kernelVersion' | 'modules'>>,
  ): Promise<ComponentManifest> {
    const present = await this.store.findByInputs(kind, inputs);
    if (present !== undefined) return present;
    return this.store.add({ kind, inputs, arch: this.arch }, (outDir, workDir) =>
      fill(outDir, { ...control, workDir }),
    );
  }
}

/** The store directories an image uses. */
export function directoriesOf(record: ImageRecord): string[] {
  return [`kernel-${record.kernel}`, `initramfs-${record.initramfs}`, `rootfs-${record.rootfs}`];
}

function directoryOf(manifest: ComponentManifest): string {
  return `${manifest.kind}-${manifest.digest}`;
}

function sha256(data: Uint8Array): string {
  return createHash('sha256').update(data).digest('hex');
}

function digests(files: ReadonlyMap<string, Uint8Array>): Record<string, string> {
  return Object.fromEntries([...files].map(([path, data]) => [path, sha256(data)]));
}
