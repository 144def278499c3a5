import { closeSync, fsyncSync, openSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import type { ApplyJob, CaptureJob, DigestJob, MemoryJob, WorkerOrder, WorkerReply } from '../domain/jobs';
import { CaptureSession } from './capture-session';
import { applyDiff } from './diff-io';
import { digestImage } from './image-digest';

/**
 * The thread that moves guest memory. It blocks on purpose: this is bulk copying at memory speed, and the event loop is
 * another thread's.
 */
function reply(message: WorkerReply): void {
  parentPort?.postMessage(message);
}

function capture(job: CaptureJob): void {
  const session = new CaptureSession(job);
  parentPort?.on('message', (order: WorkerOrder) => {
    if (order === 'capture') {
      reply({ step: 'captured', captured: session.capture() });
      return;
    }
    if (order === 'finish') reply({ step: 'done', digest: session.finish().digest });
    session.close();
    parentPort?.close();
  });
  reply({ step: 'ready' });
}

function digest(job: DigestJob): void {
  const image = openSync(job.path, 'r');
  try {
    fsyncSync(image);
    reply({ step: 'done', digest: digestImage(image, job.sumsPath) });
  } finally {
    closeSync(image);
  }
}

function apply(job: ApplyJob): void {
  const image = openSync(job.imagePath, 'r+');
  try {
    for (const path of job.diffPaths) {
      try {
        applyDiff(path, image);
      } catch (error) {
        throw new Error(`${path}: ${error instanceof Error ? error.message : String(error)}`, {
          cause: error,
        });
      }
    }
    const result = digestImage(image, job.sumsPath);
    fsyncSync(image);
    reply({ step: 'done', digest: result });
  } finally {
    closeSync(image);
  }
}

const job = workerData as MemoryJob;
if (job.kind === 'capture') capture(job);
else if (job.kind === 'digest') digest(job);
else apply(job);
