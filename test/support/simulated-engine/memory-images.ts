import { createHash } from 'node:crypto';
import {
  closeSync,
  constants,
  fstatSync,
  ftruncateSync,
  openSync,
  readSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { applyDiff, writeDiff } from '../../../src/modules/memory/adapters/diff-io';
import { readerOf } from '../../../src/modules/memory/adapters/file-io';
import type {
  ApplyJob,
  Captured,
  CaptureJob,
  FinishedCapture,
} from '../../../src/modules/memory/domain/jobs';
import { type Capture, MemoryImageService } from '../../../src/modules/memory/memory-image.service';
import type { DaemonLife } from './faults';
import { PAGE_BYTES, USED_PAGES } from './guest-memory';
import type { SimulatedWorld } from './world';

const USED_BYTES = USED_PAGES * PAGE_BYTES;

/** Memory images of simulated VMs: real files, of which only the pages that a simulated guest uses are looked at. */
export class SimulatedMemoryImages extends MemoryImageService {
  constructor(
    private readonly world: SimulatedWorld,
    private readonly life: DaemonLife,
  ) {
    super();
  }

  /** A host whose kernel tells nothing. */
  override canCaptureLive(): Promise<boolean> {
    return Promise.resolve(false);
  }

  override async prepareCapture(job: Omit<CaptureJob, 'kind'>): Promise<Capture> {
    if (job.basePath !== undefined) await this.copy(job.basePath, job.imagePath);
    await this.pass('memory.prepare', job.imagePath);
    const fd = openSync(job.imagePath, constants.O_RDWR | constants.O_CREAT, 0o600);
    let open = true;
    let diverged: number[] = [];
    return {
      run: async (): Promise<Captured> => {
        await this.pass('memory.capture', job.imagePath);
        const memory = this.world.find(job.pid)?.memory;
        if (memory === undefined) throw new Error('the VM ended while its memory was read');
        ftruncateSync(fd, job.imageBytes);
        diverged = memory.diverged();
        const all = Array.from({ length: USED_PAGES }, (_, page) => page);
        const pages = job.pages === 'all' ? all : diverged;
        for (const page of pages) writeSync(fd, memory.read(page), 0, PAGE_BYTES, page * PAGE_BYTES);
        return {
          divergedBytes: diverged.length * PAGE_BYTES,
          copiedBytes: pages.length * PAGE_BYTES,
          copyMs: 0,
        };
      },
      finish: async (): Promise<FinishedCapture> => {
        await this.pass('memory.finish', job.imagePath);
        const used = readUsed(fd);
        const digest = digestOf(fstatSync(fd).size, used);
        writeFileSync(job.sumsPath, digest);
        if (job.diffPath !== undefined) {
          writeDiff(job.diffPath, readerOf(fd), {
            imageBytes: job.imageBytes,
            pages: Uint32Array.from(diverged),
          });
        }
        return { digest };
      },
      close: (): Promise<void> => {
        if (open) closeSync(fd);
        open = false;
        return Promise.resolve();
      },
    };
  }

  override async digest(path: string, sumsPath?: string): Promise<string> {
    await this.pass('memory.digest', path);
    const fd = openSync(path, 'r');
    try {
      const digest = digestOf(fstatSync(fd).size, readUsed(fd));
      if (sumsPath !== undefined) writeFileSync(sumsPath, digest);
      return digest;
    } finally {
      closeSync(fd);
    }
  }

  override async copy(from: string, to: string): Promise<void> {
    await this.pass('memory.copy', to);
    const source = openSync(from, 'r');
    try {
      const target = openSync(to, 'w', 0o600);
      try {
        ftruncateSync(target, fstatSync(source).size);
        writeSync(target, readUsed(source), 0, USED_BYTES, 0);
      } finally {
        closeSync(target);
      }
    } finally {
      closeSync(source);
    }
  }

  override async assemble(rootPath: string, job: Omit<ApplyJob, 'kind'>): Promise<string> {
    await this.copy(rootPath, job.imagePath);
    await this.pass('memory.apply', job.imagePath);
    const image = openSync(job.imagePath, 'r+');
    try {
      for (const path of job.diffPaths) applyDiff(path, image);
    } finally {
      closeSync(image);
    }
    return this.digest(job.imagePath, job.sumsPath);
  }

  private pass(name: string, target: string): Promise<void> {
    return this.life.pass({ name, target });
  }
}

function readUsed(fd: number): Buffer {
  const bytes = Buffer.alloc(USED_BYTES);
  readSync(fd, bytes, 0, USED_BYTES, 0);
  return bytes;
}

function digestOf(size: number, used: Buffer): string {
  return createHash('sha256').update(`${size}\n`).update(used).digest('hex');
}
