import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { chmod, copyFile, link, mkdir, open, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Injectable, Logger } from '@nestjs/common';
import { DaemonConfig } from '../../common/config/daemon-config';
import { DomainError, errnoOf, errorMessage } from '../../common/errors/domain-error';
import { CleanupStack } from '../../common/lifecycle/cleanup-stack';
import { syncPath } from '../../common/os/atomic-file';
import { GuestAgent } from '../guest/guest-agent';
import { MemoryImageService } from '../memory/memory-image.service';
import { describeExit, type EngineProbe } from '../vmm/domain/vm';
import { VmmEngine, type RunningVm } from '../vmm/ports/vmm-engine';
import {
  MANIFEST_FILE,
  MANIFEST_FORMAT,
  MEMORY_FILE,
  ROOTFS_FILE,
  VMSTATE_FILE,
  type SnapshotManifest,
} from './domain/manifest';
import { sealOf, sha256OfSmallFile, type SnapshotStore } from './snapshot-store';

/** What a parent VM is booted from. */
export interface ParentSource {
  readonly kernelPath: string;
  readonly kernelVersion: string;
  readonly initramfsPath: string;
  readonly rootfsPath: string;
  /** Whether the root file system belongs to the image store and never changes, so that a hard link will do. */
  readonly rootfsImmutable: boolean;
  readonly image: { readonly name: string; readonly digest: string } | null;
  readonly runtimes: readonly string[];
}

export interface BuildRequest {
  readonly tag: string;
  readonly source: ParentSource;
  readonly vcpus: number;
  readonly memSizeMib: number;
  /** Milliseconds the guest has from its start until it is warm. */
  readonly bootDeadlineMs: number;
  readonly tap?: string;
}

const MIB = 1024 * 1024;

/** Boots a parent VM, warms it up, and writes it down as a snapshot directory. */
@Injectable()
export class SnapshotBuilderService {
  private readonly logger = new Logger(SnapshotBuilderService.name);

  constructor(
    private readonly config: DaemonConfig,
    private readonly engine: VmmEngine,
    private readonly memory: MemoryImageService,
  ) {}

  /** The tag's directory is there, whole and durable, when this settles; after a failure nothing is left. */
  async build(
    store: SnapshotStore,
    request: BuildRequest,
    signal: AbortSignal,
  ): Promise<{ pauseMs: number }> {
    const cleanup = new CleanupStack();
    try {
      const probe = await this.engine.probe();
      const staging = await store.stage(request.tag);
      cleanup.push(() => rm(staging, { recursive: true, force: true }));
      const runDir = join(this.config.runDir, `build-${randomBytes(6).toString('hex')}`);
      await mkdir(runDir, { recursive: true, mode: 0o700 });
      cleanup.push(() => rm(runDir, { recursive: true, force: true }));

      const rootfsPath = join(staging, ROOTFS_FILE);
      await placeRootfs(request.source, rootfsPath);
      const vm = await this.bootParent(request, staging, runDir, rootfsPath, cleanup);
      await this.warmUp(vm, request, signal);
      const captured = await this.capture(vm, staging, request, probe).catch(async (error: unknown) => {
        throw await captureFailure(vm, error);
      });
      if (signal.aborted)
        throw new DomainError('internal', 'the client went away before the snapshot was made');
      await this.publish(store, staging, request.tag, captured.manifest);
      return { pauseMs: captured.pauseMs };
    } finally {
      await cleanup.run((error) => {
        this.logger.error(`cleaning up after the build of ${request.tag}: ${errorMessage(error)}`);
      });
    }
  }

  private async bootParent(
    request: BuildRequest,
    staging: string,
    runDir: string,
    rootfsPath: string,
    cleanup: CleanupStack,
  ): Promise<RunningVm> {
    // The parent runs copy-on-write on a file of nothing but holes, so that it is captured like any other VM.
    const memoryPath = join(staging, '.boot-memory');
    await writeFile(memoryPath, '', { mode: 0o600 });
    await truncate(memoryPath, request.memSizeMib * MIB);
    const vm = await this.engine.boot({
      id: `parent of ${request.tag}`,
      runDir,
      memoryPath,
      kernelPath: request.source.kernelPath,
      initramfsPath: request.source.initramfsPath,
      machine: {
        vcpus: request.vcpus,
        memSizeMib: request.memSizeMib,
        rootfsPath,
        ...(request.tap === undefined ? {} : { tap: request.tap }),
      },
    });
    cleanup.push(() => vm.kill());
    return vm;
  }

  /** Waits for the agent and runs once what children will run, so that they find it in memory. */
  private async warmUp(vm: RunningVm, request: BuildRequest, signal: AbortSignal): Promise<void> {
    const started = Date.now();
    const left = (): number => Math.max(1, request.bootDeadlineMs - (Date.now() - started));
    let agent: GuestAgent | undefined;
    try {
      const identity = { entropy: randomBytes(64), hostname: request.tag };
      agent = await GuestAgent.handshake(() => vm.openChannel(), identity, { deadlineMs: left(), signal });
      for (const runtime of request.source.runtimes) {
        const answer = await agent.eval('0', { timeoutMs: left(), runtime, signal });
        if (answer.error !== null)
          throw new DomainError('internal', `the ${runtime} runtime: ${answer.error}`);
      }
      await agent.exec({ args: ['true'], timeoutMs: left() }, { signal });
    } catch (error) {
      if (signal.aborted)
        throw new DomainError('internal', 'the client went away before the snapshot was made');
      throw await startFailure(vm, request.bootDeadlineMs, Date.now() - started, error);
    } finally {
      agent?.close();
    }
  }

  private async capture(
    vm: RunningVm,
    staging: string,
    request: BuildRequest,
    probe: EngineProbe,
  ): Promise<{ manifest: SnapshotManifest; pauseMs: number }> {
    const vmstatePath = join(staging, VMSTATE_FILE);
    const memoryPath = join(staging, MEMORY_FILE);
    const regions = (await vm.guestMemory()).regions;
    const paused = performance.now();
    await vm.pause();
    await vm.saveDeviceState(vmstatePath);
    await this.memory.capture({
      pid: vm.pid,
      regions,
      imagePath: memoryPath,
      imageBytes: request.memSizeMib * MIB,
    });
    const pauseMs = Math.round(performance.now() - paused);
    await vm.kill();
    await rm(join(staging, '.boot-memory'));
    const manifest: SnapshotManifest = {
      format: MANIFEST_FORMAT,
      vmstate: VMSTATE_FILE,
      memory: MEMORY_FILE,
      rootfs: ROOTFS_FILE,
      volumes: [],
      engine: {
        name: probe.engine,
        version: probe.version,
        accelerator: probe.accelerator,
        machine: probe.machine,
        cpu: probe.cpu,
      },
      guest: {
        arch: process.arch,
        vcpus: request.vcpus,
        mem_size_mib: request.memSizeMib,
        kernel_version: request.source.kernelVersion,
        image: request.source.image?.name ?? null,
        image_digest: request.source.image?.digest ?? null,
        runtimes: request.source.runtimes,
      },
      memory_sha256: await this.memory.seal(memoryPath),
      memory_seal: await sealOf(memoryPath),
      vmstate_sha256: await sha256OfSmallFile(vmstatePath),
      rootfs_bytes: (await stat(join(staging, ROOTFS_FILE))).size,
    };
    return { manifest, pauseMs };
  }

  private async publish(
    store: SnapshotStore,
    staging: string,
    tag: string,
    manifest: SnapshotManifest,
  ): Promise<void> {
    await syncPath(join(staging, VMSTATE_FILE));
    await writeDurably(join(staging, MANIFEST_FILE), `${JSON.stringify(manifest, null, 2)}\n`);
    await store.publish(staging, tag);
  }
}

async function writeDurably(path: string, text: string): Promise<void> {
  const file = await open(path, 'wx', 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function placeRootfs(source: ParentSource, target: string): Promise<void> {
  if (source.rootfsImmutable) {
    try {
      await link(source.rootfsPath, target);
      return;
    } catch (error) {
      if (!['EXDEV', 'EPERM', 'EMLINK'].includes(errnoOf(error) ?? '')) throw error;
    }
  }
  await copyFile(source.rootfsPath, target, constants.COPYFILE_FICLONE);
  await chmod(target, 0o400);
  await syncPath(target);
}

/** A VM that ended takes its control connection with it; then its own end is the reason, not the lost connection. */
async function captureFailure(vm: RunningVm, error: unknown): Promise<unknown> {
  const answers = await vm.console().then(
    () => true,
    () => false,
  );
  if (answers || errnoOf(error) !== undefined) return error;
  await vm.kill();
  return new DomainError('internal', `the VM ended: ${describeExit(await vm.exited)}`, { cause: error });
}

/** Why a parent did not come up: what its guest's console or QEMU itself last said, and the next step. */
async function startFailure(
  vm: RunningVm,
  deadlineMs: number,
  passedMs: number,
  cause: unknown,
): Promise<DomainError> {
  const console = await vm.console().catch(() => undefined);
  let text: string;
  if (passedMs >= deadlineMs) {
    text = `the guest was not ready within ${deadlineMs / 1000} s (${errorMessage(cause)}); a larger boot_wait_secs (at most 60) gives it more time`;
  } else text = `the guest failed while it started (${errorMessage(cause)})`;
  const lines = console?.trim().split('\n').slice(-5).join(' | ') ?? '';
  if (lines !== '') text += `; its console ends with: ${lines}`;
  if (console === undefined) {
    await vm.kill();
    text += `; the VM ended: ${describeExit(await vm.exited)}`;
  }
  return new DomainError('internal', text, { cause });
}
