import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DomainError } from '../../../src/common/errors/domain-error';
import type { Image } from '../../../src/modules/images/images.types';

/** An image store with one tiny image, `python`, that no real VM could boot. */
export class SimulatedImages {
  private constructor(private readonly image: Image) {}

  static async create(directory: string): Promise<SimulatedImages> {
    await mkdir(directory, { recursive: true });
    const file = async (name: string): Promise<string> => {
      const path = join(directory, name);
      await writeFile(path, `a simulated ${name}\n`);
      return path;
    };
    return new SimulatedImages({
      name: 'python',
      digest: '5'.repeat(64),
      arch: process.arch,
      kernelPath: await file('vmlinuz'),
      kernelVersion: '6.1.0',
      initramfsPath: await file('initramfs.cpio'),
      rootfsPath: await file('rootfs.ext4'),
      runtimes: ['python'],
      sizeBytes: 4096,
      createdAtUnix: 1_700_000_000,
    });
  }

  list(): Promise<Image[]> {
    return Promise.resolve([this.image]);
  }

  get(name: string): Promise<Image> {
    if (name === this.image.name) return Promise.resolve(this.image);
    return Promise.reject(new DomainError('not_found', `image ${name} not found`));
  }
}
