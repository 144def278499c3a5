import type { PackManifest } from './pack-manifest';
import type { SnapshotManifest } from '../../snapshots/domain/manifest';

/** What the process that writes a pack is told. */
export interface WriteJob {
  /** One directory per tag, with the files of that snapshot. */
  readonly dir: string;
  readonly madeBy: string;
  readonly createdAtUnix: number;
  /** The chain, root first. */
  readonly snapshots: readonly { readonly tag: string; readonly snapshot: SnapshotManifest }[];
}

/** What the writing process says on stderr before the first byte of the pack, as a line of JSON. */
export interface WriteReport {
  /** Bytes of content before compression. */
  readonly content: number;
}

/** What the process that reads a pack is told. */
export interface ReadJob {
  /** An empty directory; it gets one directory per snapshot of the pack. */
  readonly dir: string;
  /** More content than this is refused. */
  readonly maxBytes: number;
}

/** What the reading process says, a line of JSON each. */
export type ReadReport =
  /** Comes before anything is written. */
  | { readonly step: 'manifest'; readonly manifest: PackManifest }
  /** All files are there, right and durable. */
  | { readonly step: 'done' };

/** What both say before they fail. */
export interface WorkerFailure {
  readonly code: 'invalid' | 'unavailable' | 'internal';
  readonly message: string;
}
