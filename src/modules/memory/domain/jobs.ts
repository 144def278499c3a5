/** One piece of guest memory in a VMM process. */
export interface SourceRegion {
  readonly address: bigint;
  readonly length: number;
  readonly fileOffset: number;
}

/** Where the leaves of an image are, and the digest that shows that they are its own. */
export interface KnownSums {
  readonly path: string;
  readonly digest: string;
}

/** Writes pages of a paused VM into an image, in steps, so that only the copying lies inside the pause. */
export interface CaptureJob {
  readonly kind: 'capture';
  readonly pid: number;
  readonly regions: readonly SourceRegion[];
  /** The pages that diverged from the mapped file, or every page. */
  readonly pages: 'diverged' | 'all';
  readonly imagePath: string;
  readonly imageBytes: number;
  /** What the VM was started from, of which the image will be a copy; else it begins as nothing but holes. */
  readonly basePath?: string;
  /** Where the image's leaves go. */
  readonly sumsPath: string;
  /** Leaves and digest of what the VM was started from; without leaves of this digest the whole image is hashed. */
  readonly baseSums?: KnownSums;
  /** Where the diverged pages go once more, durably, as a diff over what the VM was started from. */
  readonly diffPath?: string;
  /**
   * Copies the diverged pages while the VM runs, so that the pause is only for those written meanwhile; the image must be
   * there with its base before. Where the kernel cannot tell those, all are copied in the pause.
   */
  readonly live?: boolean;
  /** Whether the image is on disk, not only in the host's memory, when the capture is finished. */
  readonly durable: boolean;
}

/** What was copied inside the pause. */
export interface Captured {
  readonly divergedBytes: number;
  /** What had to be copied inside the pause. */
  readonly copiedBytes: number;
  /** Milliseconds the copying took. */
  readonly copyMs: number;
  /** Why a live capture had to copy all that diverged inside the pause. */
  readonly notLive?: string;
}

/** What is known when a capture is finished. */
export interface FinishedCapture {
  /** Of the whole image. */
  readonly digest: string;
}

/** Makes an image durable and hashes it; writes its leaves where a path is given. */
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

/** Copies a part of an image, which others copy at the same time; what its leaves call zeros is not even read. */
export interface CopyJob {
  readonly kind: 'copy';
  readonly fromPath: string;
  /** Made when it is not there. */
  readonly toPath: string;
  readonly imageBytes: number;
  readonly sums: KnownSums;
  /** Which part of how many; each has as much to copy as the others. */
  readonly part: number;
  readonly parts: number;
}

export interface DigestResult {
  readonly digest: string;
}

export type MemoryJob = CaptureJob | CopyJob | DigestJob | ApplyJob;

/** What the thread says. After `done`, `copied` and `failed` it waits for its next job. */
export type WorkerReply =
  /** `needsImage`: what there is to copy is too much to be kept in memory, so it goes to the image inside the pause. */
  | { readonly step: 'ready'; readonly needsImage: boolean }
  | { readonly step: 'precopied' }
  | { readonly step: 'captured'; readonly captured: Captured }
  | { readonly step: 'digested'; readonly digest: string }
  | { readonly step: 'done'; readonly digest: string }
  | { readonly step: 'copied' }
  | { readonly step: 'failed'; readonly message: string; readonly code?: string };

/** What the thread is told: a job, then, for a capture that is ready, its next steps. */
export type WorkerOrder = MemoryJob | 'precopy' | 'capture' | 'digest' | 'finish';
