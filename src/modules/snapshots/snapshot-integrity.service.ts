import { stat } from 'node:fs/promises';
import { Injectable } from '@nestjs/common';
import { DomainError, errorMessage } from '../../common/errors/domain-error';
import { MemoryImageService } from '../memory/memory-image.service';
import { VmmEngine } from '../vmm/ports/vmm-engine';
import { incompatibility } from './domain/compatibility';
import type { SnapshotManifest } from './domain/manifest';
import { FileVerifierService } from './file-verifier.service';
import { type Artifacts, sha256OfFile } from './snapshot-store';

/** A snapshot whose own files are what was written. */
export interface SoundSnapshot {
  readonly artifacts: Artifacts;
  readonly manifest: SnapshotManifest;
  readonly rootfsPath: string;
}

const MIB = 1024 * 1024;
function notBootable(tag: string, reason: string, cause?: unknown): DomainError {
  return new DomainError('conflict', `snapshot \`${tag}\` is not bootable: ${reason}`, { cause });
}

const AGAIN = 'delete the snapshot and make it again';

/** Decides whether a snapshot's own files are what was written and fit this host, before a VM starts from them. */
@Injectable()
export class SnapshotIntegrityService {
  constructor(
    private readonly memory: MemoryImageService,
    private readonly engine: VmmEngine,
    private readonly files: FileVerifierService,
  ) {}

  /** @throws DomainError conflict: ``snapshot `T` is not bootable: <reason and next step>``. */
  async requireSound(tag: string, artifacts: Artifacts): Promise<SoundSnapshot> {
    const { manifest } = artifacts;
    if (manifest !== undefined) {
      const mismatch = await this.mismatch(manifest);
      if (mismatch !== undefined) throw notBootable(tag, mismatch);
    }
    return this.requireWritten(tag, artifacts);
  }

  /** Why this host cannot restore a snapshot; undefined when it can. */
  async mismatch(manifest: SnapshotManifest): Promise<string | undefined> {
    const host = await this.engine.probe();
    return incompatibility(manifest, { ...host, arch: process.arch });
  }

  /** As {@link requireSound}, whatever host it is for. */
  async requireWritten(tag: string, artifacts: Artifacts): Promise<SoundSnapshot> {
    const { manifest, rootfsPath } = artifacts;
    if (!manifest || rootfsPath === undefined) {
      throw notBootable(
        tag,
        `it was not made by this daemon, and the ${this.engine.name} engine cannot restore foreign snapshots; make it again from an image`,
      );
    }
    let problem: string | undefined;
    try {
      problem =
        (await this.rootfsProblem(manifest, rootfsPath)) ??
        (await this.vmstateProblem(manifest, artifacts.vmstatePath)) ??
        (await this.memoryProblem(manifest, artifacts.memoryPath));
    } catch (error) {
      throw notBootable(tag, errorMessage(error), error);
    }
    if (problem !== undefined) throw notBootable(tag, problem);
    return { artifacts, manifest, rootfsPath };
  }

  private async rootfsProblem(manifest: SnapshotManifest, path: string): Promise<string | undefined> {
    const { size } = await stat(path);
    if (size === manifest.rootfs_bytes) return undefined;
    return `${path} has ${size} bytes where ${manifest.rootfs_bytes} were written; ${AGAIN}`;
  }

  private async vmstateProblem(manifest: SnapshotManifest, path: string): Promise<string | undefined> {
    const isRight = async (): Promise<boolean> => (await sha256OfFile(path)) === manifest.vmstate_sha256;
    if (await this.files.holds(path, undefined, isRight)) return undefined;
    return `${path} is not the device state that was written (its SHA-256 differs); ${AGAIN}`;
  }

  private async memoryProblem(manifest: SnapshotManifest, path: string): Promise<string | undefined> {
    const { diff_sha256: diffSha256, memory_seal: seal } = manifest;
    const { size } = await stat(path);
    const expected = diffSha256 === undefined ? manifest.guest.mem_size_mib * MIB : seal.bytes;
    if (size !== expected) {
      return `${path} has ${size} bytes where the VM's memory has ${expected}; ${AGAIN}`;
    }
    const isRight = async (): Promise<boolean> =>
      diffSha256 === undefined
        ? (await this.memory.digest(path)) === manifest.memory_digest
        : (await sha256OfFile(path)) === diffSha256;
    if (await this.files.holds(path, seal, isRight)) return undefined;
    return `${path} is not the memory that was written (its digest differs); ${AGAIN}`;
  }
}
