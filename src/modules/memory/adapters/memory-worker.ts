import { createHash } from 'node:crypto';
import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readSync,
  writeSync,
} from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import type { CaptureJob, CaptureResult, MemoryJob, SealJob, SealResult } from '../domain/jobs';
import { divergedRuns, PAGE_BYTES } from '../domain/pagemap';

/**
 * The thread that moves guest memory. It blocks on purpose: this is bulk copying at memory speed, and the event loop is
 * another thread's.
 */
const CHUNK_BYTES = 1 << 20;
const ZERO_PAGE = Buffer.alloc(PAGE_BYTES);

function capture(job: CaptureJob): CaptureResult {
  const pagemap = openSync(`/proc/${job.pid}/pagemap`, 'r');
  const memory = openSync(`/proc/${job.pid}/mem`, 'r');
  const image = openSync(job.imagePath, constants.O_RDWR | constants.O_CREAT, 0o600);
  try {
    const startedEmpty = fstatSync(image).size === 0;
    ftruncateSync(image, job.imageBytes);
    const buffer = Buffer.allocUnsafe(CHUNK_BYTES);
    let divergedBytes = 0;
    let writtenBytes = 0;
    for (const region of job.regions) {
      const entries = Buffer.from(new ArrayBuffer((region.length / PAGE_BYTES) * 8));
      readFully(pagemap, entries, entries.length, (region.address / BigInt(PAGE_BYTES)) * 8n);
      for (const run of divergedRuns(entries, CHUNK_BYTES)) {
        readFully(memory, buffer, run.length, region.address + BigInt(run.offset));
        divergedBytes += run.length;
        writtenBytes += writeRun(image, buffer, run.length, region.fileOffset + run.offset, startedEmpty);
      }
    }
    return { divergedBytes, writtenBytes };
  } finally {
    for (const fd of [pagemap, memory, image]) closeSync(fd);
  }
}

/** Writes one run; over holes pages of zeros stay holes. */
function writeRun(image: number, data: Buffer, length: number, position: number, overHoles: boolean): number {
  if (!overHoles) {
    writeFully(image, data, 0, length, position);
    return length;
  }
  let written = 0;
  let from = 0;
  for (let at = 0; at <= length; at += PAGE_BYTES) {
    const keep = at < length && data.compare(ZERO_PAGE, 0, PAGE_BYTES, at, at + PAGE_BYTES) !== 0;
    if (keep) continue;
    if (at > from) {
      writeFully(image, data, from, at, position + from);
      written += at - from;
    }
    from = at + PAGE_BYTES;
  }
  return written;
}

function readFully(fd: number, target: Buffer, length: number, position: bigint): void {
  let done = 0;
  while (done < length) {
    const count = readSync(fd, target, done, length - done, position + BigInt(done));
    if (count === 0) throw new Error('the VM ended while its memory was read');
    done += count;
  }
}

function writeFully(fd: number, data: Buffer, start: number, end: number, position: number): void {
  let done = start;
  while (done < end) done += writeSync(fd, data, done, end - done, position + done - start);
}

function seal(job: SealJob): SealResult {
  const fd = openSync(job.path, 'r');
  try {
    fsyncSync(fd);
    const hash = createHash('sha256');
    const buffer = Buffer.allocUnsafe(CHUNK_BYTES);
    let count: number;
    while ((count = readSync(fd, buffer, 0, buffer.length, null)) > 0) hash.update(buffer.subarray(0, count));
    return { sha256: hash.digest('hex') };
  } finally {
    closeSync(fd);
  }
}

const job = workerData as MemoryJob;
parentPort?.postMessage(job.kind === 'capture' ? capture(job) : seal(job));
