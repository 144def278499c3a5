/** File names inside a snapshot directory. */
export const MANIFEST_FILE = 'snapshot.json';
export const VMSTATE_FILE = 'vmstate';
export const MEMORY_FILE = 'memory.bin';
export const ROOTFS_FILE = 'rootfs.ext4';
/** The leaves of the memory's digest. */
export const SUMS_FILE = 'memory.sums';
/** In place of the memory, where a snapshot is stored on top of its parent. */
export const DIFF_FILE = 'memory.diff';

export const MANIFEST_FORMAT = 1;

/** What of a file shows, without reading it, that it is still the one that was hashed. */
export interface FileSeal {
  readonly ino: string;
  readonly mtime_ns: string;
  readonly bytes: number;
}

/**
 * snapshot.json: upstream's members (paths, here always relative to the directory, so that a snapshot can be moved), and
 * what a host must offer to restore it.
 */
export interface SnapshotManifest {
  readonly format: number;
  readonly vmstate: string;
  readonly memory: string;
  readonly rootfs: string;
  readonly volumes: readonly never[];
  readonly parent_tag?: string;
  readonly parent_content_hash?: string;
  readonly engine: {
    readonly name: string;
    readonly version: string;
    readonly accelerator: string;
    readonly machine: string;
    readonly cpu: string;
  };
  readonly guest: {
    readonly arch: string;
    readonly vcpus: number;
    readonly mem_size_mib: number;
    readonly kernel_version: string;
    readonly image: string | null;
    readonly image_digest: string | null;
    readonly runtimes: readonly string[];
    /** MAC address of its network card; a snapshot without one has no network in any of its children. */
    readonly mac?: string;
  };
  /** Of the whole memory, also where only a diff is stored; see modules/memory/domain/digest.ts. */
  readonly memory_digest: string;
  /** Of the file that `memory` names. */
  readonly memory_seal: FileSeal;
  /** Of memory.diff; only where a diff is stored. */
  readonly diff_sha256?: string;
  readonly vmstate_sha256: string;
  readonly rootfs_bytes: number;
}

/** The members every snapshot.json has, upstream's included. */
export interface ArtifactNames {
  readonly vmstate: string;
  readonly memory: string;
  readonly rootfs?: string;
  readonly parentTag?: string;
}

export type ParsedManifest =
  { readonly names: ArtifactNames; readonly manifest?: SnapshotManifest } | { readonly problem: string };

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '';
}

/** Reads snapshot.json's text. A file of upstream's has no `format` and gives no manifest, but its artifact names. */
export function parseManifest(text: string): ParsedManifest {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return { problem: error instanceof Error ? error.message : String(error) };
  }
  if (!isRecord(value)) return { problem: 'not a JSON object' };
  const { vmstate, memory, rootfs, parent_tag: parentTag } = value;
  if (!isText(vmstate)) return { problem: 'missing field `vmstate`' };
  if (!isText(memory)) return { problem: 'missing field `memory`' };
  const names: ArtifactNames = {
    vmstate,
    memory,
    ...(isText(rootfs) ? { rootfs } : {}),
    ...(isText(parentTag) ? { parentTag } : {}),
  };
  const { format } = value;
  if (format === undefined) return { names };
  if (format !== MANIFEST_FORMAT) {
    return {
      problem: `format ${JSON.stringify(format)} is not known to this version, which reads ${MANIFEST_FORMAT}`,
    };
  }
  const problem = manifestProblem(value);
  return problem === undefined ? { names, manifest: value as unknown as SnapshotManifest } : { problem };
}

function manifestProblem(value: Record<string, unknown>): string | undefined {
  const { engine, guest, memory_seal: seal } = value;
  if (!isRecord(engine)) return 'missing field `engine`';
  for (const member of ['name', 'version', 'accelerator', 'machine', 'cpu']) {
    if (!isText(engine[member])) return `missing field \`engine.${member}\``;
  }
  if (!isRecord(guest)) return 'missing field `guest`';
  for (const member of ['arch', 'kernel_version']) {
    if (!isText(guest[member])) return `missing field \`guest.${member}\``;
  }
  for (const member of ['vcpus', 'mem_size_mib']) {
    const number = guest[member];
    if (!Number.isInteger(number) || Number(number) < 1)
      return `\`guest.${member}\` is not a positive integer`;
  }
  if (!Array.isArray(guest['runtimes'])) return 'missing field `guest.runtimes`';
  const { mac } = guest;
  if (mac !== undefined && !(isText(mac) && /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/i.test(mac))) {
    return '`guest.mac` is not a MAC address';
  }
  if (
    !isRecord(seal) ||
    !isText(seal['ino']) ||
    !isText(seal['mtime_ns']) ||
    !Number.isInteger(seal['bytes'])
  ) {
    return 'missing field `memory_seal`';
  }
  const chained = value['parent_tag'] !== undefined;
  const sums = [
    'memory_digest',
    'vmstate_sha256',
    ...(chained ? ['diff_sha256', 'parent_content_hash'] : []),
  ];
  for (const member of sums) {
    if (!/^[0-9a-f]{64}$/.test(String(value[member]))) return `\`${member}\` is not a SHA-256`;
  }
  if (!Number.isInteger(value['rootfs_bytes'])) return 'missing field `rootfs_bytes`';
  for (const member of ['vmstate', 'memory', 'rootfs']) {
    // A name, not a path: nothing outside the snapshot's own directory is ever read for it.
    if (!/^[A-Za-z0-9_][A-Za-z0-9._-]*$/.test(String(value[member])))
      return `\`${member}\` is not a file name`;
  }
  return undefined;
}
