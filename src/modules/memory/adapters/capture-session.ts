import { closeSync, constants, fstatSync, fsyncSync, ftruncateSync, openSync, writeFileSync } from 'node:fs';
import { CHUNK_BYTES, chunkCount, digestOf } from '../domain/digest';
import type { Captured, CaptureJob, FinishedCapture, SourceRegion } from '../domain/jobs';
import { divergedRuns, PAGE_BYTES, type PageRun } from '../domain/pagemap';
import { writeDiff } from './diff-io';
import { readFully, writeFully } from './file-io';
import { hashChunks, startingLeaves, zeroLeaves } from './image-digest';

const COPY_BYTES = 1 << 20;
const ZERO_PAGE = Buffer.alloc(PAGE_BYTES);

/** One capture: everything is opened before the pause, pages are copied inside it, hashed and made durable after it. */
export class CaptureSession {
  private readonly fds: number[] = [];
  private readonly pagemap: number;
  private readonly memory: number;
  private readonly image: number;
  private readonly buffer = Buffer.allocUnsafe(COPY_BYTES);
  /** The image was there before: what is not written to it is the base's, not a hole. */
  private readonly overBase: boolean;
  private readonly changedChunks: Uint8Array;
  private readonly changedPages: number[] = [];

  constructor(private readonly job: CaptureJob) {
    this.changedChunks = new Uint8Array(chunkCount(job.imageBytes));
    try {
      this.pagemap = this.open(`/proc/${job.pid}/pagemap`, constants.O_RDONLY);
      this.memory = this.open(`/proc/${job.pid}/mem`, constants.O_RDONLY);
      this.image = this.open(job.imagePath, constants.O_RDWR | constants.O_CREAT);
      this.overBase = fstatSync(this.image).size > 0;
      ftruncateSync(this.image, job.imageBytes);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** To be called while the VM is paused. */
  capture(): Captured {
    const begun = performance.now();
    let divergedBytes = 0;
    for (const region of this.job.regions) {
      const diverged = this.divergedRunsOf(region);
      for (const run of this.job.pages === 'diverged' ? diverged : everyRun(region)) {
        readFully(this.memory, this.buffer, run.length, region.address + BigInt(run.offset));
        this.write(run.length, region.fileOffset + run.offset);
      }
      divergedBytes += diverged.reduce((sum, { length }) => sum + length, 0);
    }
    return { divergedBytes, copyMs: performance.now() - begun };
  }

  /** Hashes, writes the leaves and the diff, and makes everything durable. */
  finish(): FinishedCapture {
    const { imageBytes, sumsPath, baseSumsPath, diffPath } = this.job;
    const base = this.overBase ? startingLeaves(imageBytes, baseSumsPath) : zeroLeaves(imageBytes);
    const leaves = base ?? zeroLeaves(imageBytes);
    hashChunks(
      this.image,
      imageBytes,
      leaves,
      (chunk) => base === undefined || this.changedChunks[chunk] === 1,
    );
    writeFileSync(sumsPath, leaves, { mode: 0o600, flush: true });
    if (diffPath !== undefined) {
      writeDiff(diffPath, this.image, { imageBytes, pages: Uint32Array.from(this.changedPages) });
    }
    fsyncSync(this.image);
    return { digest: digestOf(imageBytes, leaves) };
  }

  close(): void {
    for (const fd of this.fds.splice(0)) closeSync(fd);
  }

  private open(path: string, flags: number): number {
    const fd = openSync(path, flags, 0o600);
    this.fds.push(fd);
    return fd;
  }

  private divergedRunsOf(region: SourceRegion): PageRun[] {
    const entries = Buffer.from(new ArrayBuffer((region.length / PAGE_BYTES) * 8));
    readFully(this.pagemap, entries, entries.length, (region.address / BigInt(PAGE_BYTES)) * 8n);
    return [...divergedRuns(entries, COPY_BYTES)];
  }

  private write(length: number, position: number): void {
    for (let chunk = Math.floor(position / CHUNK_BYTES); chunk * CHUNK_BYTES < position + length; chunk++) {
      this.changedChunks[chunk] = 1;
    }
    if (this.job.diffPath !== undefined) {
      for (let at = 0; at < length; at += PAGE_BYTES) this.changedPages.push((position + at) / PAGE_BYTES);
    }
    if (this.overBase) writeFully(this.image, this.buffer, 0, length, position);
    else writeAroundZeros(this.image, this.buffer, length, position);
  }
}

function everyRun(region: SourceRegion): PageRun[] {
  const runs: PageRun[] = [];
  for (let offset = 0; offset < region.length; offset += COPY_BYTES) {
    runs.push({ offset, length: Math.min(COPY_BYTES, region.length - offset) });
  }
  return runs;
}

/** Pages of zeros over a hole stay a hole. */
function writeAroundZeros(image: number, data: Buffer, length: number, position: number): void {
  let from = 0;
  for (let at = 0; at <= length; at += PAGE_BYTES) {
    if (at < length && data.compare(ZERO_PAGE, 0, PAGE_BYTES, at, at + PAGE_BYTES) !== 0) continue;
    if (at > from) writeFully(image, data, from, at, position + from);
    from = at + PAGE_BYTES;
  }
}
