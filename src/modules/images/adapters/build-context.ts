import type { ProgressListener } from '../images.types';

/** What every builder gets. */
export interface BuildContext {
  /** Private directory for intermediate files; removed after the build. */
  readonly workDir: string;
  readonly onProgress: ProgressListener;
  readonly signal: AbortSignal | undefined;
}

/** A kernel that lies in the store. */
export interface StoredKernel {
  readonly path: string;
  /** In load order. */
  readonly modules: readonly string[];
}
