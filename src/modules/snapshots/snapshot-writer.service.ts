import { open, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Injectable, Logger } from '@nestjs/common';
import { DomainError, errorChain } from '../../common/errors/domain-error';
import { syncPath } from '../../common/os/atomic-file';
import { type Capture, MemoryImageService } from '../memory/memory-image.service';
import { OperationMetrics, type Operation } from '../metrics/operation-metrics';
import type { Captured, KnownSums } from '../memory/domain/jobs';
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
import { SnapshotSettlingService } from './snapshot-settling.service';
import { sealOf, sha256OfFile } from './snapshot-store';

export interface WritePlan {
  readonly guest: SnapshotManifest['guest'];
  /** Every page of the guest, or a copy of what it was started from and the pages that diverged. */
  readonly pages: 'all' | 'diverged';
  /** Copies what diverged while the VM runs, and pauses it only for what it wrote meanwhile, where the host can. */
  readonly live?: boolean;
  /** False for a VM that began with empty memory. */
  readonly hasBase: boolean;
  /** Leaves and digest of what the VM was started from. */
  readonly baseSums?: KnownSums;
  /** Stores the diverged pages once more, as a diff over this parent. */
  readonly parent?: { readonly tag: string; readonly digest: string };
  /**
   * Lets the image reach the disk after the directory is published, where that is safe; whoever publishes it then calls
   * {@link SnapshotSettlingService.begin}.
   */
  readonly settleLater?: boolean;
  /** Also times a capture of the diverged pages alone, which is thrown away. */
  readonly measureDiff?: boolean;
  /** What becomes of the VM when its state is taken; `hold` leaves it paused, for the caller to end or resume. */
  readonly afterwards: 'resume' | 'kill' | 'hold';
}

export interface WrittenSnapshot {
  readonly manifest: SnapshotManifest;
  /** Milliseconds the guest stood still. */
  readonly pauseMs: number;
  /** The diverged pages, where they were captured. */
  readonly diff?: Captured;
  /** Why a live snapshot copied all that diverged inside the pause. */
  readonly notLive?: string;
  /** The image has still to be brought to disk. */
  readonly unsettled: boolean;
}

const OPERATION: Readonly<Record<WritePlan['afterwards'], Operation>> = {
  resume: 'branch',
  kill: 'build',
  hold: 'suspend',
};
const MIB = 1024 * 1024;
const SCRATCH = '.measured';
const NO_SOFT_DIRTY =
  "this host's kernel does not tell which pages a process writes (CONFIG_MEM_SOFT_DIRTY is not set)";
/** How long a VM that does not answer any more may take to end. */
const END_DEADLINE_MS = 2000;

/** Writes a VM's state into a staged directory; everything that can happen outside its pause does. */
@Injectable()
export class SnapshotWriterService {
  private readonly logger = new Logger(SnapshotWriterService.name);

  constructor(
    private readonly engine: VmmEngine,
    private readonly memory: MemoryImageService,
    private readonly settling: SnapshotSettlingService,
    private readonly metrics: OperationMetrics,
  ) {}

  /**
   * Writes vmstate, memory and snapshot.json; the root file system must be in the directory already. Whatever fails, the VM
   * runs again (or is killed, if that is planned) when this settles.
   */
  async write(vm: RunningVm, staging: string, plan: WritePlan): Promise<WrittenSnapshot> {
    const lap = this.metrics.laps(OPERATION[plan.afterwards]);
    const captures: Capture[] = [];
    let killed = false;
    try {
      const map = await vm.guestMemory();
      const unsettled =
        plan.settleLater === true && (await this.settling.secureBase(map.backingPath, staging));
      const live = plan.live === true && (await this.memory.canCaptureLive());
      const main = await this.prepare(map, staging, plan, { unsettled, live });
      captures.push(main);
      const measure = plan.measureDiff === true ? await this.prepareScratch(map, staging, plan) : undefined;
      if (measure) captures.push(measure);

      lap('prepare');
      const begun = performance.now();
      const taken = await this.whilePaused(vm, plan.afterwards, async () => {
        await vm.saveDeviceState(join(staging, VMSTATE_FILE));
        // One after the other: each has the machine for itself, so that the figure is what the work takes.
        const measured = await measure?.run();
        return { measured, captured: await main.run() };
      });
      const pauseMs = Math.round(performance.now() - begun);
      lap('pause');
      if (plan.afterwards === 'kill') {
        killed = true;
        await vm.kill();
      }
      const [{ digest }, vmstateSha256] = await Promise.all([
        main.finish(),
        settledSha256(join(staging, VMSTATE_FILE)),
        measure === undefined ? undefined : removeScratch(staging),
      ]);
      const manifest = await this.writeManifest(staging, plan, digest, vmstateSha256);
      lap('finish');
      const diff = plan.pages === 'diverged' ? taken.captured : taken.measured;
      const notLive = plan.live === true && !live ? NO_SOFT_DIRTY : taken.captured.notLive;
      return {
        manifest,
        pauseMs,
        unsettled,
        ...(diff === undefined ? {} : { diff }),
        ...(notLive === undefined ? {} : { notLive }),
      };
    } catch (error) {
      // One that cannot be resumed has ended, which is told below.
      if (plan.afterwards === 'hold') await resume(vm).catch(() => undefined);
      throw killed ? error : await explained(vm, error);
    } finally {
      await Promise.all(captures.map((capture) => capture.close()));
    }
  }

  private async whilePaused<T>(
    vm: RunningVm,
    afterwards: WritePlan['afterwards'],
    work: () => Promise<T>,
  ): Promise<T> {
    let result: T;
    try {
      await vm.pause();
      result = await work();
    } catch (error) {
      // Also when pausing itself failed: an order that was answered too late may still be carried out.
      await resume(vm).catch(() => undefined);
      throw error;
    }
    if (afterwards === 'resume') {
      // What was taken is whole, so it is not thrown away for a source that cannot run on.
      await resume(vm).catch((error: unknown) => {
        this.logger.error(`a VM could not be resumed after its state was taken: ${errorChain(error)}`);
      });
    }
    return result;
  }

  private prepare(
    map: GuestMemoryMap,
    staging: string,
    plan: WritePlan,
    { unsettled, live }: { readonly unsettled: boolean; readonly live: boolean },
  ): Promise<Capture> {
    const overBase = plan.hasBase && plan.pages === 'diverged';
    const hasDiff = unsettled || plan.parent !== undefined;
    return this.memory.prepareCapture({
      pid: map.pid,
      regions: map.regions,
      pages: plan.pages,
      imagePath: join(staging, MEMORY_FILE),
      imageBytes: plan.guest.mem_size_mib * MIB,
      sumsPath: join(staging, SUMS_FILE),
      ...(plan.baseSums === undefined ? {} : { baseSums: plan.baseSums }),
      ...(overBase ? { basePath: map.backingPath } : {}),
      ...(hasDiff ? { diffPath: join(staging, DIFF_FILE) } : {}),
      live,
      durable: !unsettled,
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
      durable: false,
    });
  }

  private async writeManifest(
    staging: string,
    plan: WritePlan,
    digest: string,
    vmstateSha256: string,
  ): Promise<SnapshotManifest> {
    const probe = await this.engine.probe();
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
      vmstate_sha256: vmstateSha256,
      rootfs_bytes: (await stat(join(staging, ROOTFS_FILE))).size,
    };
    await writeManifestFile(staging, manifest);
    return manifest;
  }
}

/** Writes snapshot.json into a staged directory and makes both durable, at once as that costs the disk no more than one. */
export async function writeManifestFile(staging: string, manifest: SnapshotManifest): Promise<void> {
  const file = await open(join(staging, MANIFEST_FILE), 'wx', 0o600);
  try {
    await file.writeFile(`${JSON.stringify(manifest, null, 2)}\n`);
    await Promise.all([file.sync(), syncPath(staging)]);
  } finally {
    await file.close();
  }
}

/** Makes a file durable and hashes it. */
async function settledSha256(path: string): Promise<string> {
  await syncPath(path);
  return sha256OfFile(path);
}

async function removeScratch(staging: string): Promise<void> {
  for (const name of [SCRATCH, `${SCRATCH}.sums`]) await rm(join(staging, name), { force: true });
}

/** Nothing is worse for a source than to stand still, so it is tried twice. */
async function resume(vm: RunningVm): Promise<void> {
  await vm.resume().catch(() => vm.resume());
}

/** When the VM has ended, its end is the reason, whatever failed for it. */
async function explained(vm: RunningVm, error: unknown): Promise<unknown> {
  // A VM that is ending breaks its control connection, or its memory is gone, some moments before its end is known.
  const answers = vm.console().then(
    () => undefined,
    () => delay(END_DEADLINE_MS, undefined, { ref: false }),
  );
  const exit = await Promise.race([vm.exited, answers]);
  if (exit === undefined) return error;
  return new DomainError('internal', `the VM ended: ${describeExit(exit)}`, { cause: error });
}
