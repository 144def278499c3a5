import { access, readFile, stat } from 'node:fs/promises';
import { Injectable } from '@nestjs/common';
import { DomainError, errorMessage } from '../../common/errors/domain-error';
import { ImagesService } from '../images/images.service';
import type { ParentSource } from './snapshot-builder.service';
import { MAX_BOOT_WAIT_SECS, MAX_VCPUS, MEM_MIB } from './domain/build-limits';

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

/** Finds what a parent VM is booted from. */
@Injectable()
export class ParentSourceService {
  constructor(private readonly images: ImagesService) {}

  /** @throws DomainError invalid or not_found, naming what is missing. */
  async of(request: CreateSnapshot): Promise<ParentSource> {
    if (request.tap !== null) await requireTap(request.tap);
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

/** A VMM that may would make a tap that is not there, connected to nothing. */
async function requireTap(tap: string): Promise<void> {
  const devices = await readFile('/proc/self/net/dev', 'utf8');
  const known = devices.split('\n').some((line) => line.trimStart().startsWith(`${tap}:`));
  if (!/^[A-Za-z0-9_.-]{1,15}$/.test(tap) || !known) {
    throw new DomainError(
      'invalid',
      `tap not found: ${tap}; make it first: ip tuntap add ${tap} mode tap (or leave it out: a snapshot needs none for its children to have a network)`,
    );
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

/** @throws DomainError invalid for a number out of range, or a wish this version cannot fulfil. */
export function requireLimits(request: CreateSnapshot): void {
  if (request.bootWaitSecs > MAX_BOOT_WAIT_SECS) {
    throw new DomainError('invalid', `boot_wait_secs must be ≤ ${MAX_BOOT_WAIT_SECS}`);
  }
  if (request.memSizeMib < MEM_MIB.min || request.memSizeMib > MEM_MIB.max) {
    throw new DomainError('invalid', `mem_size_mib must be ${MEM_MIB.min} to ${MEM_MIB.max}`);
  }
  if (request.vcpus < 1 || request.vcpus > MAX_VCPUS)
    throw new DomainError('invalid', `vcpus must be 1 to ${MAX_VCPUS}`);
}
