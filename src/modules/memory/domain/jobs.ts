/** One piece of guest memory in a VMM process; the address as text, as a message between threads carries it. */
export interface SourceRegion {
  readonly address: bigint;
  readonly length: number;
  readonly fileOffset: number;
}

/** Writes the diverged pages of a paused VM into an image file. */
export interface CaptureJob {
  readonly kind: 'capture';
  readonly pid: number;
  readonly regions: readonly SourceRegion[];
  /** An image that holds what the VM was started from, or an empty file for one that was started from nothing. */
  readonly imagePath: string;
  /** Size of the whole image in bytes. */
  readonly imageBytes: number;
}

export interface CaptureResult {
  /** Bytes of the pages that had diverged. */
  readonly divergedBytes: number;
  /** Of these, the bytes that were written (pages of zeros over a hole are not). */
  readonly writtenBytes: number;
}

/** Makes a file durable and hashes it. */
export interface SealJob {
  readonly kind: 'seal';
  readonly path: string;
}

export interface SealResult {
  readonly sha256: string;
}

export type MemoryJob = CaptureJob | SealJob;
