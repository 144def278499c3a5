import { Injectable } from '@nestjs/common';
import { DomainError, errnoOf, errorMessage } from '../../common/errors/domain-error';
import { runProcess } from '../../common/os/run-process';
import type { ApplyJob, Captured, CaptureJob, FinishedCapture } from './domain/jobs';
import { MemoryThread } from './memory-thread';

/** A capture whose files are open: what is left to do in the VM's pause is only the copying. */
export interface Capture {
  /** Copies the pages; the VM must be paused. */
  run(): Promise<Captured>;
  /** Hashes and makes durable what was captured; the VM may run. */
  finish(): Promise<FinishedCapture>;
  /** Gives up; to be called in any case, and harmless after {@link finish}. */
  close(): Promise<void>;
}

/** Reads and writes memory images; all bulk work happens in threads and processes of its own. */
@Injectable()
export class MemoryImageService {
  /**
   * Opens a capture of a VM's memory; see {@link CaptureJob}.
   *
   * @throws DomainError internal when this user may not read the VM's memory; system errors, e.g. ENOSPC.
   */
  async prepareCapture(job: Omit<CaptureJob, 'kind'>): Promise<Capture> {
    const thread = new MemoryThread({ kind: 'capture', ...job });
    try {
      await thread.next('ready');
    } catch (error) {
      await thread.stop();
      throw readable(error);
    }
    return {
      run: async () => (await thread.next('captured', 'capture')).captured,
      finish: async () => ({ digest: (await thread.next('done', 'finish')).digest }),
      close: () => thread.stop(),
    };
  }

  /** Makes an image durable and tells its digest; writes its leaves where a path is given. */
  async digest(path: string, sumsPath?: string): Promise<string> {
    const thread = new MemoryThread({
      kind: 'digest',
      path,
      ...(sumsPath === undefined ? {} : { sumsPath }),
    });
    try {
      return (await thread.next('done')).digest;
    } finally {
      await thread.stop();
    }
  }

  /** Copies an image: shares its blocks where the file system can, keeps its holes where it cannot. */
  async copy(from: string, to: string): Promise<void> {
    await runProcess('cp', ['--reflink=auto', '--sparse=auto', '--', from, to]);
  }

  /**
   * Makes the image that a chain of diffs describes, and tells its digest.
   *
   * @param rootPath the full image at the chain's root.
   */
  async assemble(rootPath: string, job: Omit<ApplyJob, 'kind'>): Promise<string> {
    await this.copy(rootPath, job.imagePath);
    const thread = new MemoryThread({ kind: 'apply', ...job });
    try {
      return (await thread.next('done')).digest;
    } finally {
      await thread.stop();
    }
  }
}

function readable(error: unknown): unknown {
  if (errnoOf(error) !== 'EACCES' && errnoOf(error) !== 'EPERM') return error;
  return new DomainError(
    'internal',
    `this user may not read the VM's memory (${errorMessage(error)}); run the daemon as root, or set kernel.yama.ptrace_scope to 0`,
    { cause: error },
  );
}
