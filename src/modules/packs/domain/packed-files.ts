import { CHUNK_BYTES, chunkCount, LEAF_BYTES } from '../../memory/domain/digest';
import { dataOffset } from '../../memory/domain/diff-file';
import { PAGE_BYTES } from '../../memory/domain/pagemap';
import {
  DIFF_FILE,
  MEMORY_FILE,
  ROOTFS_FILE,
  type SnapshotManifest,
  SUMS_FILE,
  VMSTATE_FILE,
} from '../../snapshots/domain/manifest';

export interface PackedFile {
  readonly name: string;
  /** Bytes of the file, its holes included. */
  readonly size: number;
  /** Bytes of it that are in the pack: all but its holes. */
  readonly stored: number;
  /** `sha256:<hex>` of the whole file, or `forkd-memory-1:<hex>`, the digest of a memory image (see memory/domain/digest). */
  readonly digest: string;
}

const MIB = 1024 * 1024;
const MAX_VMSTATE_BYTES = 1024 * MIB;
/** Larger root file systems are no one's. */
const MAX_ROOTFS_BYTES = 16 * 1024 * 1024 * MIB;

export const SHA256 = 'sha256';
export const MEMORY_DIGEST = 'forkd-memory-1';

export function sha256Digest(hex: string): string {
  return `${SHA256}:${hex}`;
}

export function memoryDigest(hex: string): string {
  return `${MEMORY_DIGEST}:${hex}`;
}

/** The files of a snapshot that a pack has, in their order. */
export function filesOf(manifest: SnapshotManifest): readonly string[] {
  return [VMSTATE_FILE, SUMS_FILE, ROOTFS_FILE, manifest.parent_tag === undefined ? MEMORY_FILE : DIFF_FILE];
}

/** The list of files of a manifest, or what is wrong with it. */
export function parseFiles(value: unknown): PackedFile[] | string {
  if (!Array.isArray(value)) return '`files` is missing';
  if (value.length > 16) return 'it has too many files';
  const files: PackedFile[] = [];
  for (const each of value as unknown[]) {
    const file = typeof each === 'object' && each !== null ? (each as Record<string, unknown>) : {};
    const { name, size, stored, digest } = file;
    if (typeof name !== 'string') return 'a file has no name';
    const shown = JSON.stringify(name.slice(0, 80));
    if (!isSize(size)) return `the size of ${shown} is not a number of bytes`;
    if (!isSize(stored) || stored > size)
      return `\`stored\` of ${shown} is not a number of bytes up to its size`;
    if (typeof digest !== 'string' || !/^(sha256|forkd-memory-1):[0-9a-f]{64}$/.test(digest)) {
      return `the digest of ${shown} is not a SHA-256`;
    }
    if (files.some((other) => other.name === name)) return `${shown} is listed twice`;
    files.push({ name, size, stored, digest });
  }
  return files;
}

/** What contradicts the snapshot's own description; undefined when nothing does. */
export function filesProblem(manifest: SnapshotManifest, files: readonly PackedFile[]): string | undefined {
  const expected = filesOf(manifest);
  const unknown = files.find(({ name }) => !expected.includes(name));
  if (unknown !== undefined) return `${JSON.stringify(unknown.name.slice(0, 80))} is no file of a snapshot`;
  for (const name of expected) {
    const file = files.find((candidate) => candidate.name === name);
    if (file === undefined) {
      if (name === SUMS_FILE) continue;
      return `${name} is missing in its list of files`;
    }
    const problem = fileProblem(manifest, file);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

function fileProblem(manifest: SnapshotManifest, { name, size, digest }: PackedFile): string | undefined {
  const memoryBytes = manifest.guest.mem_size_mib * MIB;
  const wrongSize = `the size of ${name}, ${size} bytes, does not fit the snapshot`;
  const wrongDigest = `the digest of ${name} is not the one that the snapshot has for it`;
  switch (name) {
    case VMSTATE_FILE:
      if (size > MAX_VMSTATE_BYTES) return wrongSize;
      return digest === sha256Digest(manifest.vmstate_sha256) ? undefined : wrongDigest;
    case SUMS_FILE:
      return size === chunkCount(memoryBytes) * LEAF_BYTES ? requireSha256(digest, name) : wrongSize;
    case ROOTFS_FILE:
      if (size !== manifest.rootfs_bytes || size > MAX_ROOTFS_BYTES) return wrongSize;
      return requireSha256(digest, name);
    case MEMORY_FILE:
      if (size !== memoryBytes || size !== manifest.memory_seal.bytes) return wrongSize;
      return digest === memoryDigest(manifest.memory_digest) ? undefined : wrongDigest;
    default: {
      const most = dataOffset(memoryBytes / PAGE_BYTES) + memoryBytes;
      if (size > most || size !== manifest.memory_seal.bytes) return wrongSize;
      return digest === sha256Digest(manifest.diff_sha256 ?? '') ? undefined : wrongDigest;
    }
  }
}

function requireSha256(digest: string, name: string): string | undefined {
  return digest.startsWith(`${SHA256}:`)
    ? undefined
    : `the digest of ${name} is not a SHA-256 of the whole file`;
}

function isSize(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

/** Holes are kept in pieces of this size: the chunks that a memory image is hashed by. */
export const HOLE_BYTES = CHUNK_BYTES;
