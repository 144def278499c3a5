/** One piece of guest memory in a VMM process. */
export interface SourceRegion {
  readonly address: bigint;
  readonly length: number;
  readonly fileOffset: number;
}

/** Writes pages of a paused VM into an image, in steps, so that only the copying lies inside the pause. */
export interface CaptureJob {
  readonly kind: 'capture';
  readonly pid: number;
  readonly regions: readonly SourceRegion[];
  /** The pages that diverged from the mapped file, or every page. */
  readonly pages: 'diverged' | 'all';
  /** What the VM was started from, copied; or a file that is not there yet, for a VM that began with nothing. */
  readonly imagePath: string;
  readonly imageBytes: number;
  /** Where the image's leaves go. */
  readonly sumsPath: string;
  /** The leaves of what the VM was started from; without them the whole image is hashed. */
  readonly baseSumsPath?: string;
  /** Where the diverged pages go once more, for a snapshot that is stored as a diff. */
  readonly diffPath?: string;
}

/** What was copied inside the pause. */
export interface Captured {
  readonly divergedBytes: number;
  /** Milliseconds the copying took. */
  readonly copyMs: number;
}

/** What is durable when a capture is finished. */
export interface FinishedCapture {
  /** Of the whole image. */
  readonly digest: string;
}

/** Hashes an image; writes its leaves where a path is given. */
export interface DigestJob {
  readonly kind: 'digest';
  readonly path: string;
  readonly sumsPath?: string;
}

/** Applies diffs, in this order, to a copy of their root image, makes it durable and hashes it. */
export interface ApplyJob {
  readonly kind: 'apply';
  readonly imagePath: string;
  readonly diffPaths: readonly string[];
  readonly sumsPath: string;
}

export interface DigestResult {
  readonly digest: string;
}

export type MemoryJob = CaptureJob | DigestJob | ApplyJob;

/** What the thread says. */
export type WorkerReply =
  | { readonly step: 'ready' }
  | { readonly step: 'captured'; readonly captured: Captured }
  | { readonly step: 'done'; readonly digest: string };

/** What the thread is told after it is ready. */
export type WorkerOrder = 'capture' | 'finish' | 'abort';
