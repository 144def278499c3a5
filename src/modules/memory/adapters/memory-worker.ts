import { closeSync, fsyncSync, openSync } from 'node:fs';
import { parentPort } from 'node:worker_threads';
import type { ApplyJob, CaptureJob, DigestJob, WorkerOrder, WorkerReply } from '../domain/jobs';
import { CaptureSession } from './capture-session';
import { applyDiff } from './diff-io';
import { copyImage } from './image-copy';
import { digestImage } from './image-digest';

/**
 * The thread that moves guest memory. It blocks on purpose: this is bulk copying at memory speed, and the event loop is
 * another thread's. It works on one job at a time, and keeps nothing of a job that has ended.
 */
let session: CaptureSession | undefined;

function follow(order: WorkerOrder): WorkerReply {
  if (order === 'precopy') {
    opened().precopy();
    return { step: 'precopied' };
  }
  if (order === 'capture') return { step: 'captured', captured: opened().capture() };
  if (order === 'digest') return { step: 'digested', digest: opened().digest() };
  if (order === 'finish') {
    const digest = opened().finish();
    endSession();
    return { step: 'done', digest };
  }
  if (order.kind === 'capture') return prepare(order);
  if (order.kind === 'copy') {
    copyImage(order);
    return { step: 'copied' };
  }
  return { step: 'done', digest: order.kind === 'digest' ? digestOf(order) : assembled(order) };
}

function opened(): CaptureSession {
  if (session === undefined) throw new Error('no capture is open');
  return session;
}

function endSession(): void {
  session?.close();
  session = undefined;
}

function prepare(job: CaptureJob): WorkerReply {
  session = new CaptureSession(job);
  return { step: 'ready', needsImage: session.needsImage };
}

function digestOf(job: DigestJob): string {
  const image = openSync(job.path, 'r');
  try {
    fsyncSync(image);
    return digestImage(image, job.sumsPath);
  } finally {
    closeSync(image);
  }
}

function assembled(job: ApplyJob): string {
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
    const digest = digestImage(image, job.sumsPath);
    fsyncSync(image);
    return digest;
  } finally {
    closeSync(image);
  }
}

parentPort?.on('message', (order: WorkerOrder) => {
  let reply: WorkerReply;
  try {
    reply = follow(order);
  } catch (error) {
    endSession();
    const code = error instanceof Error && 'code' in error ? { code: String(error.code) } : {};
    reply = { step: 'failed', message: error instanceof Error ? error.message : String(error), ...code };
  }
  parentPort?.postMessage(reply);
});
