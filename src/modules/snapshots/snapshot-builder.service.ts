import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { chmod, copyFile, link, mkdir, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Injectable, Logger } from '@nestjs/common';
import { DaemonConfig } from '../../common/config/daemon-config';
import { DomainError, errnoOf, errorMessage } from '../../common/errors/domain-error';
import { CleanupStack } from '../../common/lifecycle/cleanup-stack';
import { Drain } from '../../common/lifecycle/drain';
import { syncPath } from '../../common/os/atomic-file';
import { GuestAgent } from '../guest/guest-agent';
import { GuestError } from '../guest/guest-error';
import { GUEST_IP_ARGUMENT, GUEST_MAC } from '../networking/domain/guest-network';
import { describeExit } from '../vmm/domain/vm';
import { VmmEngine, type RunningVm } from '../vmm/ports/vmm-engine';
import { ROOTFS_FILE, type SnapshotManifest } from './domain/manifest';
import type { SnapshotStore } from './snapshot-store';
import { SnapshotWriterService } from './snapshot-writer.service';

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
  /** A tap of the host that the parent is connected to; to nothing when absent. */
  readonly tap?: string | undefined;
}

const MIB = 1024 * 1024;
const BOOT_MEMORY = '.boot-memory';

/** Boots a parent VM, warms it up, and writes it down as a snapshot directory. */
@Injectable()
export class SnapshotBuilderService {
  private readonly logger = new Logger(SnapshotBuilderService.name);

  constructor(
    private readonly config: DaemonConfig,
    private readonly engine: VmmEngine,
    private readonly writer: SnapshotWriterService,
    private readonly drain: Drain,
  ) {}

  /** Hands a directory that is whole and durable to `publish`; after a failure nothing is left. */
  build(
    store: SnapshotStore,
    request: BuildRequest,
    signal: AbortSignal,
    publish: (staging: string) => Promise<void>,
  ): Promise<void> {
    return this.drain.hold(() => this.buildNow(store, request, signal, publish));
  }

  private async buildNow(
    store: SnapshotStore,
    request: BuildRequest,
    signal: AbortSignal,
    publish: (staging: string) => Promise<void>,
  ): Promise<void> {
    const cleanup = new CleanupStack();
    try {
      const staging = await store.stage(request.tag);
      cleanup.push(() => rm(staging, { recursive: true, force: true }));
      const runDir = join(this.config.runDir, `build-${randomBytes(6).toString('hex')}`);
      await mkdir(runDir, { recursive: true, mode: 0o700 });
      cleanup.push(() => rm(runDir, { recursive: true, force: true }));

      const rootfsPath = join(staging, ROOTFS_FILE);
      await placeRootfs(request.source, rootfsPath);
      const vm = await this.bootParent(request, staging, runDir, rootfsPath, cleanup);
      await this.warmUp(vm, request, signal);
      await this.writer.write(vm, staging, {
        guest: guestOf(request),
        // A parent began with nothing, so what diverged from that is all it has.
        pages: 'diverged',
        hasBase: false,
        afterwards: 'kill',
      });
      await rm(join(staging, BOOT_MEMORY));
      if (signal.aborted)
        throw new DomainError('internal', 'the client went away before the snapshot was made');
      await publish(staging);
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
    const memoryPath = join(staging, BOOT_MEMORY);
    await writeFile(memoryPath, '', { mode: 0o600 });
    await truncate(memoryPath, request.memSizeMib * MIB);
    const vm = await this.engine.boot({
      id: `parent of ${request.tag}`,
      runDir,
      memoryPath,
      kernelPath: request.source.kernelPath,
      initramfsPath: request.source.initramfsPath,
      kernelArgs: GUEST_IP_ARGUMENT,
      ...(request.tap === undefined ? {} : { network: { kind: 'tap', tap: request.tap } }),
      machine: {
        vcpus: request.vcpus,
        memSizeMib: request.memSizeMib,
        rootfsPath,
        mac: GUEST_MAC,
      },
    });
    cleanup.push(() => vm.kill());
    return vm;
  }

  /** Waits for the agent and runs once what children will run, so that they find it in memory. */
  private async warmUp(vm: RunningVm, request: BuildRequest, signal: AbortSignal): Promise<void> {
    const started = performance.now();
    const left = (): number => Math.max(1, Math.ceil(request.bootDeadlineMs - (performance.now() - started)));
    let agent: GuestAgent | undefined;
    try {
      const identity = { entropy: randomBytes(64), hostname: request.tag };
      agent = await GuestAgent.handshake(() => vm.openChannel(), identity, { deadlineMs: left(), signal });
      for (const runtime of request.source.runtimes) {
        const answer = await agent.eval('0', { timeoutMs: left(), runtime, signal });
        if (answer.error !== null)
          throw new DomainError('internal', `the ${runtime} runtime: ${answer.error}`);
      }
      await agent.exec({ args: ['true'], timeoutMs: left() }, { signal }).catch((error: unknown) => {
        // A root file system without that program is still one that boots.
        if (!(error instanceof GuestError)) throw error;
      });
    } catch (error) {
      if (signal.aborted)
        throw new DomainError('internal', 'the client went away before the snapshot was made');
      throw await startFailure(vm, request.bootDeadlineMs, performance.now() - started, error);
    } finally {
      agent?.close();
    }
  }
}

function guestOf({ source, vcpus, memSizeMib }: BuildRequest): SnapshotManifest['guest'] {
  return {
    arch: process.arch,
    vcpus,
    mem_size_mib: memSizeMib,
    kernel_version: source.kernelVersion,
    image: source.image?.name ?? null,
    image_digest: source.image?.digest ?? null,
    runtimes: source.runtimes,
    mac: GUEST_MAC,
  };
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
