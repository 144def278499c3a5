import { constants } from 'node:fs';
import { copyFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { Injectable, type OnModuleDestroy } from '@nestjs/common';
import { DomainError, errnoOf, errorMessage } from '../../common/errors/domain-error';
import { runProcess } from '../../common/os/run-process';
import { hasSoftDirty } from '../../common/os/soft-dirty';
import type { ApplyJob, Captured, CaptureJob, CopyJob, DigestJob, FinishedCapture } from './domain/jobs';
import { MemoryThreads } from './memory-threads';

/** A capture whose files are open: what is left to do in the VM's pause is only the copying, or what of it cannot be done before. */
export interface Capture {
  /** Copies the pages; the VM must be paused. */
  run(): Promise<Captured>;
  /** Completes and hashes the image; the VM may run. */
  finish(): Promise<FinishedCapture>;
  /** Gives up; to be called in any case, and harmless after {@link finish}. */
  close(): Promise<void>;
}

/** A copy is bound by one CPU's speed. One CPU is left to the capture beside it, whose VM stands still meanwhile. */
const COPY_THREADS = Math.max(1, Math.min(2, availableParallelism() - 1));

/** Reads and writes memory images; all bulk work happens in threads and processes of its own. */
@Injectable()
export class MemoryImageService implements OnModuleDestroy {
  private readonly threads = new MemoryThreads();
  private softDirty: Promise<boolean> | undefined;

  /**
   * Opens a capture of a VM's memory; see {@link CaptureJob}.
   *
   * @throws DomainError internal when this user may not read the VM's memory; system errors, e.g. ENOSPC.
   */
  async prepareCapture(job: Omit<CaptureJob, 'kind'>): Promise<Capture> {
    const thread = this.threads.take();
    const abort = new AbortController();
    const copied = this.copyBase(job, abort.signal);
    // It is waited for below, but it may fail before.
    copied.catch(() => undefined);
    const close = once(async () => {
      abort.abort();
      await Promise.allSettled([copied, this.threads.giveBack(thread)]);
    });
    try {
      const { needsImage } = await thread.next('ready', { kind: 'capture', ...job });
      if (needsImage) await copied;
      if (job.live === true) await thread.next('precopied', 'precopy');
    } catch (error) {
      await close();
      throw readable(error);
    }
    return {
      run: async () => (await thread.next('captured', 'capture')).captured,
      finish: async () => {
        const { digest } = await thread.next('digested', 'digest');
        await copied;
        await thread.next('done', 'finish');
        return { digest };
      },
      close,
    };
  }

  /** Whether the kernel tells which pages a process writes, so that a live capture can copy before the pause. */
  canCaptureLive(): Promise<boolean> {
    return (this.softDirty ??= hasSoftDirty().catch(() => false));
  }

  /** Makes an image durable and tells its digest; writes its leaves where a path is given. */
  digest(path: string, sumsPath?: string): Promise<string> {
    return this.work({ kind: 'digest', path, ...(sumsPath === undefined ? {} : { sumsPath }) });
  }

  /** Copies an image: shares its blocks where the file system can, keeps its holes where it cannot. */
  async copy(from: string, to: string, signal?: AbortSignal): Promise<void> {
    const args = ['--reflink=auto', '--sparse=auto', '--', from, to];
    await runProcess('cp', args, signal === undefined ? {} : { signal });
  }

  /**
   * Makes the image that a chain of diffs describes, and tells its digest.
   *
   * @param rootPath the full image at the chain's root.
   */
  async assemble(rootPath: string, job: Omit<ApplyJob, 'kind'>): Promise<string> {
    await this.copy(rootPath, job.imagePath);
    return this.work({ kind: 'apply', ...job });
  }

  async onModuleDestroy(): Promise<void> {
    await this.threads.close();
  }

  /** Copies what the image of a capture begins with. */
  private async copyBase(job: Omit<CaptureJob, 'kind'>, signal: AbortSignal): Promise<void> {
    const { basePath, imagePath, imageBytes, baseSums } = job;
    if (basePath === undefined) return;
    if (baseSums === undefined) {
      await this.copy(basePath, imagePath, signal);
      return;
    }
    if (await shared(basePath, imagePath)) return;
    const parts = COPY_THREADS;
    await Promise.all(
      Array.from({ length: parts }, (_, part) =>
        this.copyPart(
          { kind: 'copy', fromPath: basePath, toPath: imagePath, imageBytes, sums: baseSums, part, parts },
          signal,
        ),
      ),
    );
  }

  /** In a thread, which is some milliseconds faster than a process of its own. */
  private async copyPart(job: CopyJob, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const thread = this.threads.take();
    const giveBack = once(() => this.threads.giveBack(thread));
    signal.addEventListener('abort', () => void giveBack(), { once: true });
    try {
      await thread.next('copied', job);
    } finally {
      await giveBack();
    }
  }

  private async work(job: DigestJob | ApplyJob): Promise<string> {
    const thread = this.threads.take();
    try {
      return (await thread.next('done', job)).digest;
    } finally {
      await this.threads.giveBack(thread);
    }
  }
}

/** Makes a copy that shares the blocks of its original, where the file system can. */
async function shared(from: string, to: string): Promise<boolean> {
  return copyFile(from, to, constants.COPYFILE_FICLONE_FORCE).then(
    () => true,
    // Whatever else is wrong shows again when it is copied.
    () => false,
  );
}

function once(work: () => Promise<void>): () => Promise<void> {
  let done: Promise<void> | undefined;
  return () => (done ??= work());
}

function readable(error: unknown): unknown {
  if (errnoOf(error) !== 'EACCES' && errnoOf(error) !== 'EPERM') return error;
  return new DomainError(
    'internal',
    `this user may not read the VM's memory (${errorMessage(error)}); run the daemon as root, or set kernel.yama.ptrace_scope to 0`,
    { cause: error },
  );
}
