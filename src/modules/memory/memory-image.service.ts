import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { Injectable } from '@nestjs/common';
import { DomainError, errnoOf, errorMessage } from '../../common/errors/domain-error';
import type { CaptureJob, CaptureResult, MemoryJob, SealResult } from './domain/jobs';

const WORKER = join(__dirname, 'adapters', 'memory-worker.js');

/** Reads and writes memory images; all bulk work happens in a thread of its own. */
@Injectable()
export class MemoryImageService {
  /** Writes the diverged pages of a paused VM into an image; see {@link CaptureJob}. */
  async capture(job: Omit<CaptureJob, 'kind'>): Promise<CaptureResult> {
    try {
      return (await runWorker({ kind: 'capture', ...job })) as CaptureResult;
    } catch (error) {
      if (errnoOf(error) === 'EACCES' || errnoOf(error) === 'EPERM') {
        throw new DomainError(
          'internal',
          `this user may not read the VM's memory (${errorMessage(error)}); run the daemon as root, or set kernel.yama.ptrace_scope to 0`,
          { cause: error },
        );
      }
      throw error;
    }
  }

  /** Makes an image durable and tells its sha256, 64 hex digits. */
  async seal(path: string): Promise<string> {
    return ((await runWorker({ kind: 'seal', path })) as SealResult).sha256;
  }
}

function runWorker(job: MemoryJob): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(WORKER, { workerData: job });
    worker.once('message', resolve);
    worker.once('error', reject);
    worker.once('exit', (code) => {
      reject(new Error(`the memory thread ended with code ${code} and no result`));
    });
  });
}
