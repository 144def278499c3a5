import { stat } from 'node:fs/promises';
import { Injectable } from '@nestjs/common';
import { DomainError, errorMessage } from '../../common/errors/domain-error';
import { KeyedMutex } from '../../common/lifecycle/keyed-mutex';
import { MemoryImageService } from '../memory/memory-image.service';
import { VmmEngine } from '../vmm/ports/vmm-engine';
import { incompatibility } from './domain/compatibility';
import type { FileSeal, SnapshotManifest } from './domain/manifest';
import { sealOf, sha256OfSmallFile, type Artifacts } from './snapshot-store';

/** A snapshot that may be restored now, on this host. */
export interface RestorableSnapshot {
  readonly memoryPath: string;
  readonly vmstatePath: string;
  readonly rootfsPath: string;
  readonly manifest: SnapshotManifest;
}

const MIB = 1024 * 1024;

function seals(one: FileSeal, other: FileSeal): boolean {
  return one.ino === other.ino && one.mtime_ns === other.mtime_ns && one.bytes === other.bytes;
}

/** Decides whether a snapshot's files are what was written and fit this host, before a VM starts from them. */
@Injectable()
export class SnapshotIntegrityService {
  private readonly verifying = new KeyedMutex();
  /** Files that were read and found right, by path; a file whose seal changed is read again. */
  private readonly verified = new Map<string, FileSeal>();

  constructor(
    private readonly memory: MemoryImageService,
    private readonly engine: VmmEngine,
  ) {}

  /** @throws DomainError conflict: ``snapshot `T` is not bootable: <reason and next step>``. */
  async requireRestorable(tag: string, artifacts: Artifacts): Promise<RestorableSnapshot> {
    const refuse = (reason: string, cause?: unknown): DomainError =>
      new DomainError('conflict', `snapshot \`${tag}\` is not bootable: ${reason}`, { cause });
    const { manifest, rootfsPath, memoryPath, vmstatePath } = artifacts;
    if (!manifest || rootfsPath === undefined) {
      throw refuse(
        `it was not made by this daemon, and the ${this.engine.name} engine cannot restore foreign snapshots; make it again from an image`,
      );
    }
    const host = await this.engine.probe();
    const mismatch = incompatibility(manifest, {
      engine: host.engine,
      version: host.version,
      accelerator: host.accelerator,
      machine: host.machine,
      cpu: host.cpu,
      arch: process.arch,
    });
    if (mismatch !== undefined) throw refuse(mismatch);
    let problem: string | undefined;
    try {
      problem =
        (await this.rootfsProblem(manifest, rootfsPath)) ??
        (await this.vmstateProblem(manifest, vmstatePath)) ??
        (await this.memoryProblem(manifest, memoryPath));
    } catch (error) {
      throw refuse(errorMessage(error), error);
    }
    if (problem !== undefined) throw refuse(problem);
    return { memoryPath, vmstatePath, rootfsPath, manifest };
  }

  private async rootfsProblem(manifest: SnapshotManifest, path: string): Promise<string | undefined> {
    const { size } = await stat(path);
    if (size === manifest.rootfs_bytes) return undefined;
    return `${path} has ${size} bytes where ${manifest.rootfs_bytes} were written; delete the snapshot and make it again`;
  }

  private async vmstateProblem(manifest: SnapshotManifest, path: string): Promise<string | undefined> {
    const seal = await sealOf(path);
    const known = this.verified.get(path);
    if (known && seals(known, seal)) return undefined;
    if ((await sha256OfSmallFile(path)) !== manifest.vmstate_sha256) {
      return `${path} is not the device state that was written (its SHA-256 differs); delete the snapshot and make it again`;
    }
    this.verified.set(path, seal);
    return undefined;
  }

  private async memoryProblem(manifest: SnapshotManifest, path: string): Promise<string | undefined> {
    const seal = await sealOf(path);
    const expected = manifest.guest.mem_size_mib * MIB;
    if (seal.bytes !== expected) {
      return `${path} has ${seal.bytes} bytes where the VM's memory has ${expected}; delete the snapshot and make it again`;
    }
    if (seals(seal, manifest.memory_seal)) return undefined;
    // Moved or copied since it was written: read it once, and many spawns at once wait for the one reading.
    return this.verifying.runExclusive(path, async () => {
      const known = this.verified.get(path);
      if (known && seals(known, seal)) return undefined;
      if ((await this.memory.seal(path)) !== manifest.memory_sha256) {
        return `${path} is not the memory that was written (its SHA-256 differs); delete the snapshot and make it again`;
      }
      this.verified.set(path, seal);
      return undefined;
    });
  }
}
