import type { SnapshotManifest } from '../../snapshots/domain/manifest';
import type { PackedSnapshot } from './pack-manifest';

/** What of a pack becomes a snapshot here. */
export interface UnpackPlan {
  /** The tag of the snapshot that was packed, here. */
  readonly tag: string;
  /** What is new, root first, each with its tag here. */
  readonly links: readonly { readonly link: PackedSnapshot; readonly target: string }[];
  /** The ancestor that is here already and what is new is stored on top of; its own ancestors are not needed. */
  readonly reused: readonly string[];
}

/** Whether two snapshots are the same moment of the same VM, however they are stored. */
export function isSameState(one: SnapshotManifest, other: SnapshotManifest): boolean {
  return (
    one.memory_digest === other.memory_digest &&
    one.vmstate_sha256 === other.vmstate_sha256 &&
    one.rootfs_bytes === other.rootfs_bytes &&
    one.guest.image_digest === other.guest.image_digest &&
    one.guest.mem_size_mib === other.guest.mem_size_mib
  );
}
