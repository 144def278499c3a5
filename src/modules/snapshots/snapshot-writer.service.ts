import { open, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Injectable } from '@nestjs/common';
import { DomainError, errnoOf } from '../../common/errors/domain-error';
import { syncPath } from '../../common/os/atomic-file';
import { type Capture, MemoryImageService } from '../memory/memory-image.service';
import type { Captured } from '../memory/domain/jobs';
import { describeExit, type GuestMemoryMap } from '../vmm/domain/vm';
import { type RunningVm, VmmEngine } from '../vmm/ports/vmm-engine';
import {
  DIFF_FILE,
  MANIFEST_FILE,
  MANIFEST_FORMAT,
  MEMORY_FILE,
  ROOTFS_FILE,
  type SnapshotManifest,
  SUMS_FILE,
  VMSTATE_FILE,
} from './domain/manifest';
import { sealOf, sha256OfFile } from './snapshot-store';

export interface WritePlan {
  readonly guest: SnapshotManifest['guest'];
  /** Every page of the guest, or a copy of what it was started from and the pages that diverged. */
  readonly pages: 'all' | 'diverged';
  /** False for a VM that began with empty memory. */
  readonly hasBase: boolean;
  /** The leaves of what the VM was started from, if they are known. */
  readonly baseSumsPath?: string;
  /** Stores the diverged pages once more, as a diff over this parent. */
  readonly parent?: { readonly tag: string; readonly digest: string };
  /** Also times a capture of the diverged pages alone, which is thrown away. */
  readonly measureDiff?: boolean;
  /** What becomes of the VM when its state is taken. */
  readonly afterwards: 'resume' | 'kill';
}

export interface WrittenSnapshot {
  readonly manifest: SnapshotManifest;
  /** Milliseconds the guest stood still. */
  readonly pauseMs: number;
  /** The diverged pages, where they were captured. */
  readonly diff?: Captured;
}

const MIB = 1024 * 1024;
const SCRATCH = '.measured';

/** Writes a VM's state into a staged directory; everything that can happen outside its pause does. */
@Injectable()
export class SnapshotWriterService {
  constructor(
    private readonly engine: VmmEngine,
    private readonly memory: MemoryImageService,
  ) {}

  /**
   * Writes vmstate, memory and snapshot.json; the root file system must be in the directory already. Whatever fails, the VM
   * runs again (or is killed, as planned) when this settles.
   */
  async write(vm: RunningVm, staging: string, plan: WritePlan): Promise<WrittenSnapshot> {
    const captures: Capture[] = [];
    try {
      const map = await vm.guestMemory();
      const memoryPath = join(staging, MEMORY_FILE);
      if (plan.hasBase && plan.pages === 'diverged') await this.memory.copy(map.backingPath, memoryPath);
      const main = await this.prepare(map, staging, plan);
      captures.push(main);
      const measure = plan.measureDiff === true ? await this.prepareScratch(map, staging, plan) : undefined;
      if (measure) captures.push(measure);

      const begun = performance.now();
      let captured: Captured;
      let measured: Captured | undefined;
      await vm.pause();
      try {
        await vm.saveDeviceState(join(staging, VMSTATE_FILE));
        measured = await measure?.run();
        captured = await main.run();
      } finally {
        if (plan.afterwards === 'resume') await vm.resume();
      }
      const pauseMs = Math.round(performance.now() - begun);
      if (plan.afterwards === 'kill') await vm.kill();
      const { digest } = await main.finish();
      await rm(join(staging, SCRATCH), { force: true });
      await rm(join(staging, `${SCRATCH}.sums`), { force: true });
      const manifest = await this.writeManifest(staging, plan, digest);
      const diff = plan.pages === 'diverged' ? captured : measured;
      return { manifest, pauseMs, ...(diff === undefined ? {} : { diff }) };
    } catch (error) {
      throw await explained(vm, error);
    } finally {
      await Promise.all(captures.map((capture) => capture.close()));
    }
  }

  private prepare(map: GuestMemoryMap, staging: string, plan: WritePlan): Promise<Capture> {
    return this.memory.prepareCapture({
      pid: map.pid,
      regions: map.regions,
      pages: plan.pages,
      imagePath: join(staging, MEMORY_FILE),
      imageBytes: plan.guest.mem_size_mib * MIB,
      sumsPath: join(staging, SUMS_FILE),
      ...(plan.baseSumsPath === undefined ? {} : { baseSumsPath: plan.baseSumsPath }),
      ...(plan.parent === undefined ? {} : { diffPath: join(staging, DIFF_FILE) }),
    });
  }

  private prepareScratch(map: GuestMemoryMap, staging: string, plan: WritePlan): Promise<Capture> {
    return this.memory.prepareCapture({
      pid: map.pid,
      regions: map.regions,
      pages: 'diverged',
      imagePath: join(staging, SCRATCH),
      imageBytes: plan.guest.mem_size_mib * MIB,
      sumsPath: join(staging, `${SCRATCH}.sums`),
    });
  }

  private async writeManifest(staging: string, plan: WritePlan, digest: string): Promise<SnapshotManifest> {
    const probe = await this.engine.probe();
    const vmstatePath = join(staging, VMSTATE_FILE);
    const stored = plan.parent === undefined ? MEMORY_FILE : DIFF_FILE;
    const storedPath = join(staging, stored);
    const manifest: SnapshotManifest = {
      format: MANIFEST_FORMAT,
      vmstate: VMSTATE_FILE,
      memory: stored,
      rootfs: ROOTFS_FILE,
      volumes: [],
      ...(plan.parent === undefined
        ? {}
        : {
            parent_tag: plan.parent.tag,
            parent_content_hash: plan.parent.digest,
            diff_sha256: await sha256OfFile(storedPath),
          }),
      engine: {
        name: probe.engine,
        version: probe.version,
        accelerator: probe.accelerator,
        machine: probe.machine,
        cpu: probe.cpu,
      },
      guest: plan.guest,
      memory_digest: digest,
      memory_seal: await sealOf(storedPath),
      vmstate_sha256: await sha256OfFile(vmstatePath),
      rootfs_bytes: (await stat(join(staging, ROOTFS_FILE))).size,
    };
    await syncPath(vmstatePath);
    await writeManifestFile(staging, manifest);
    return manifest;
  }
}

/** Writes snapshot.json into a staged directory, durably. */
export async function writeManifestFile(staging: string, manifest: SnapshotManifest): Promise<void> {
  const file = await open(join(staging, MANIFEST_FILE), 'wx', 0o600);
  try {
    await file.writeFile(`${JSON.stringify(manifest, null, 2)}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** A VM that ended takes its control connection with it; then its own end is the reason, not the lost connection. */
async function explained(vm: RunningVm, error: unknown): Promise<unknown> {
  if (errnoOf(error) !== undefined) return error;
  const answers = await vm.console().then(
    () => true,
    () => false,
  );
  if (answers) return error;
  await vm.kill();
  return new DomainError('internal', `the VM ended: ${describeExit(await vm.exited)}`, { cause: error });
}
