import type { PackManifest, PackedSnapshot } from './pack-manifest';
import type { PackedFile } from './packed-files';

/** A file that lies in the pack itself. */
export interface PackMember {
  /** `<tag>/<name>`: its name in the archive. */
  readonly path: string;
  readonly link: PackedSnapshot;
  readonly file: PackedFile;
}

/** A file with the same content as one that comes before it, which a pack has only once. */
export interface PackTwin {
  readonly path: string;
  readonly of: PackMember;
}

/** What is in the archive after the manifest, in this order, and what is not there again. */
export function contentsOf(manifest: Pick<PackManifest, 'snapshots'>): {
  members: PackMember[];
  twins: PackTwin[];
} {
  const stored = new Map<string, PackMember>();
  const twins: PackTwin[] = [];
  for (const link of manifest.snapshots) {
    for (const file of link.files) {
      const path = `${link.tag}/${file.name}`;
      const key = `${file.digest} ${file.size}`;
      const same = stored.get(key);
      if (same === undefined) stored.set(key, { path, link, file });
      else twins.push({ path, of: same });
    }
  }
  return { members: [...stored.values()], twins };
}

/** Bytes of content in a pack, before compression. */
export function storedBytes(manifest: Pick<PackManifest, 'snapshots'>): number {
  return contentsOf(manifest).members.reduce((sum, { file }) => sum + file.stored, 0);
}
