/** Progress of long work, for a terminal or a log. `done`/`total` in `unit` when the amount is known. */
export interface Progress {
  readonly step: string;
  readonly done?: number;
  readonly total?: number;
  readonly unit?: 'bytes' | 'files' | 'packages';
}

export type ProgressListener = (progress: Progress) => void;

/** A built image, ready to boot; all paths absolute and immutable while the image exists. */
export interface Image {
  readonly name: string;
  /** Content address: sha256 over the digests of kernel, initramfs and rootfs; 64 hex digits. */
  readonly digest: string;
  /** Node's name of the architecture, e.g. "x64". */
  readonly arch: string;
  readonly kernelPath: string;
  readonly kernelVersion: string;
  readonly initramfsPath: string;
  readonly rootfsPath: string;
  /** Warm interpreters the agent keeps in it, e.g. ["python"]. */
  readonly runtimes: readonly string[];
  readonly sizeBytes: number;
  readonly createdAtUnix: number;
}
