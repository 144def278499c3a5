import { closeSync, constants, fsyncSync, ftruncateSync, openSync, writeFileSync } from 'node:fs';
import { CHUNK_BYTES, chunkCount, digestOf } from '../domain/digest';
import type { Captured, CaptureJob, SourceRegion } from '../domain/jobs';
import { divergedRuns, PAGE_BYTES, type PageRun, staleRuns } from '../domain/pagemap';
import { writeDiff } from './diff-io';
import { readerOf, readFully, writeFully } from './file-io';
import { hashChunks, knownLeaves, zeroLeaves } from './image-digest';
import { KeptPages } from './kept-pages';
import { WriteTracker } from './write-tracker';

const COPY_BYTES = 1 << 20;
const ZERO_PAGE = Buffer.alloc(PAGE_BYTES);
/** Up to this much is kept in memory while the VM is paused, and written when it runs again. */
const KEPT_BYTES = 32 << 20;

/** One capture: what it reads is opened before the pause, pages are copied inside it, all else is done after it. */
export class CaptureSession {
  /** Whether {@link capture} writes to the image, which then must be there with all that the VM was started from. */
  readonly needsImage: boolean;
  /** In the order of the image, as a diff needs its pages. */
  private readonly regions: readonly SourceRegion[];
  private readonly fds: number[] = [];
  private readonly pagemap: number;
  private readonly memory: number;
  private readonly base: number | undefined;
  private image: number | undefined;
  /** Room for pages, used from its start; another follows when it is full. */
  private room: Buffer;
  private readonly kept = new KeptPages();
  private digested = '';
  private readonly changedChunks: Uint8Array;
  /** One byte a page of the image, 1 where one was copied. */
  private readonly changedPages: Uint8Array;
  private tracker: WriteTracker | undefined;
  private notLive: string | undefined;

  constructor(private readonly job: CaptureJob) {
    this.changedChunks = new Uint8Array(chunkCount(job.imageBytes));
    this.changedPages = new Uint8Array(Math.ceil(job.imageBytes / PAGE_BYTES));
    this.regions = [...job.regions].sort((one, other) => one.fileOffset - other.fileOffset);
    try {
      this.pagemap = this.open(`/proc/${job.pid}/pagemap`, constants.O_RDONLY);
      this.memory = this.open(`/proc/${job.pid}/mem`, constants.O_RDONLY);
      if (job.basePath === undefined) this.openImage();
      else this.base = this.open(job.basePath, constants.O_RDONLY);
      // The VM runs on, so this only tells how much it will be; and it makes the scan inside the pause a fast one.
      const expected = this.regions.reduce((sum, region) => sum + lengthOf(this.divergedRunsOf(region)), 0);
      this.needsImage =
        job.basePath === undefined || job.pages === 'all' || job.live === true || expected > KEPT_BYTES;
      // Filled, so that its pages are there before the pause.
      this.room = Buffer.alloc(COPY_BYTES + (this.needsImage ? 0 : expected), 1);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Copies what diverged while the VM runs; the image must be there with its base. */
  precopy(): void {
    try {
      this.tracker = WriteTracker.begin(this.job.pid, this.pagemap);
    } catch (error) {
      this.notLive = error instanceof Error ? error.message : String(error);
      return;
    }
    for (const region of this.regions) {
      for (const run of this.divergedRunsOf(region)) this.copy(region, run);
    }
  }

  /** To be called while the VM is paused. */
  capture(): Captured {
    const begun = performance.now();
    const marked = this.tracker?.holds() === true;
    if (this.tracker !== undefined && !marked)
      this.notLive = 'something else clears the marks of written pages';
    let [divergedBytes, copiedBytes] = [0, 0];
    for (const region of this.regions) {
      const entries = this.entriesOf(region);
      const diverged = [...divergedRuns(entries, COPY_BYTES)];
      for (const run of this.runsToCopy(region, entries, diverged, marked)) {
        this.copy(region, run);
        copiedBytes += run.length;
      }
      divergedBytes += lengthOf(diverged);
    }
    const copyMs = performance.now() - begun;
    const { notLive } = this;
    return { divergedBytes, copiedBytes, copyMs, ...(notLive === undefined ? {} : { notLive }) };
  }

  /** Hashes what the image is or will be, and writes the leaves and the diff; the image may still be missing. */
  digest(): string {
    const { imageBytes, sumsPath, baseSums, diffPath } = this.job;
    const image =
      this.base === undefined || this.needsImage ? readerOf(this.openImage()) : this.kept.over(this.base);
    const known = this.base === undefined ? zeroLeaves(imageBytes) : knownLeaves(imageBytes, baseSums);
    const leaves = known ?? zeroLeaves(imageBytes);
    hashChunks(image, imageBytes, leaves, (chunk) => known === undefined || this.changedChunks[chunk] === 1);
    writeFileSync(sumsPath, leaves, { mode: 0o600, flush: true });
    if (diffPath !== undefined) {
      writeDiff(diffPath, image, { imageBytes, pages: numbersOf(this.changedPages) });
    }
    return (this.digested = digestOf(imageBytes, leaves));
  }

  /** Completes the image. */
  finish(): string {
    const image = this.openImage();
    this.kept.writeTo(image);
    if (this.job.durable) fsyncSync(image);
    return this.digested;
  }

  close(): void {
    for (const fd of this.fds.splice(0)) closeSync(fd);
  }

  private open(path: string, flags: number): number {
    const fd = openSync(path, flags, 0o600);
    this.fds.push(fd);
    return fd;
  }

  private openImage(): number {
    if (this.image === undefined) {
      this.image = this.open(this.job.imagePath, constants.O_RDWR | constants.O_CREAT);
      ftruncateSync(this.image, this.job.imageBytes);
    }
    return this.image;
  }

  private divergedRunsOf(region: SourceRegion): PageRun[] {
    return [...divergedRuns(this.entriesOf(region), COPY_BYTES)];
  }

  private entriesOf(region: SourceRegion): Buffer {
    const entries = Buffer.from(new ArrayBuffer((region.length / PAGE_BYTES) * 8));
    readFully(this.pagemap, entries, entries.length, (region.address / BigInt(PAGE_BYTES)) * 8n);
    return entries;
  }

  private runsToCopy(
    region: SourceRegion,
    entries: Buffer,
    diverged: PageRun[],
    marked: boolean,
  ): Iterable<PageRun> {
    if (this.job.pages === 'all') return everyRun(region);
    if (this.tracker === undefined) return diverged;
    const first = region.fileOffset / PAGE_BYTES;
    const copied = this.changedPages.subarray(first, first + region.length / PAGE_BYTES);
    return staleRuns(entries, { copied, marked }, COPY_BYTES);
  }

  private copy(region: SourceRegion, run: PageRun): void {
    if (run.length > this.room.length) this.room = Buffer.allocUnsafe(COPY_BYTES);
    const data = this.room.subarray(0, run.length);
    readFully(this.memory, data, run.length, region.address + BigInt(run.offset));
    const position = region.fileOffset + run.offset;
    this.note(position, position + run.length);
    if (!this.needsImage) {
      this.kept.add(position, data);
      this.room = this.room.subarray(run.length);
    } else if (this.base !== undefined) writeFully(this.openImage(), data, 0, data.length, position);
    else writeAroundZeros(this.openImage(), data, position);
  }

  private note(start: number, end: number): void {
    for (let chunk = Math.floor(start / CHUNK_BYTES); chunk * CHUNK_BYTES < end; chunk++) {
      this.changedChunks[chunk] = 1;
    }
    this.changedPages.fill(1, start / PAGE_BYTES, end / PAGE_BYTES);
  }
}

function numbersOf(pages: Uint8Array): Uint32Array {
  const numbers: number[] = [];
  for (let page = pages.indexOf(1); page >= 0; page = pages.indexOf(1, page + 1)) numbers.push(page);
  return Uint32Array.from(numbers);
}

function lengthOf(runs: readonly PageRun[]): number {
  return runs.reduce((sum, { length }) => sum + length, 0);
}

function everyRun(region: SourceRegion): PageRun[] {
  const runs: PageRun[] = [];
  for (let offset = 0; offset < region.length; offset += COPY_BYTES) {
    runs.push({ offset, length: Math.min(COPY_BYTES, region.length - offset) });
  }
  return runs;
}

/** Pages of zeros over a hole stay a hole. */
function writeAroundZeros(image: number, data: Buffer, position: number): void {
  let from = 0;
  for (let at = 0; at <= data.length; at += PAGE_BYTES) {
    if (at < data.length && data.compare(ZERO_PAGE, 0, PAGE_BYTES, at, at + PAGE_BYTES) !== 0) continue;
    if (at > from) writeFully(image, data, from, at, position + from);
    from = at + PAGE_BYTES;
  }
}
