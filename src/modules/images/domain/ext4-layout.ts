import { DomainError } from '../../../common/errors/domain-error';

/** One inode of the file system to be; `path` is absolute in the guest. Files belong to root. */
export type LayoutEntry =
  | {
      readonly type: 'directory';
      readonly path: string;
      readonly mode: number;
      /** User and group id. */
      readonly owner: number;
    }
  | { readonly type: 'symlink'; readonly path: string; readonly target: string }
  | {
      readonly type: 'file';
      readonly path: string;
      readonly mode: number;
      readonly sizeBytes: number;
      /** Host file with the content. */
      readonly source: string;
      /** Permission bits of the host file, which is what the image gets unless it is told otherwise. */
      readonly sourceMode: number;
    }
  /** A further name of a file that comes earlier. */
  | { readonly type: 'hardlink'; readonly path: string; readonly of: string };

export const BLOCK_SIZE = 4096;
const INODE_SIZE = 256;
const RESERVED_INODES = 11;
const BLOCKS_PER_GROUP = 32_768;
/** A longer target does not fit into the inode. */
const SHORT_SYMLINK = 59;
const DEFAULT_DIRECTORY_MODE = 0o755;
/** Extents that fit into the inode. */
const LARGE_FILE_BYTES = 64 * 1024 * 1024;

export interface FileSystemSize {
  readonly blocks: number;
  readonly inodes: number;
}

/** How large the file system must be for its content, with a small slack. */
export function fileSystemSize(entries: readonly LayoutEntry[]): FileSystemSize {
  const namesByDirectory = new Map<string, number>();
  let inodes = RESERVED_INODES + 16;
  let blocks = 0;
  for (const entry of entries) {
    const parent = parentOf(entry.path);
    const record = 8 + ((Buffer.byteLength(nameOf(entry.path)) + 3) & ~3);
    namesByDirectory.set(parent, (namesByDirectory.get(parent) ?? 24) + record);
    if (entry.type !== 'hardlink') inodes += 1;
    if (entry.type === 'file')
      blocks += Math.ceil(entry.sizeBytes / BLOCK_SIZE) + (entry.sizeBytes > LARGE_FILE_BYTES ? 4 : 0);
    if (entry.type === 'symlink' && Buffer.byteLength(entry.target) > SHORT_SYMLINK) blocks += 1;
    if (entry.type === 'directory' && !namesByDirectory.has(entry.path)) namesByDirectory.set(entry.path, 24);
  }
  // Names do not cross blocks, so up to one name's length of each block is lost.
  for (const bytes of namesByDirectory.values()) blocks += Math.ceil(bytes / (BLOCK_SIZE - 272));
  blocks += Math.ceil((inodes * INODE_SIZE) / BLOCK_SIZE);
  blocks += Math.ceil(blocks / 64) + 128;
  // Bitmaps, the rounding of inode tables, and copies of the superblock and descriptors per group.
  blocks += Math.ceil(blocks / BLOCKS_PER_GROUP) * 8;
  return { blocks, inodes };
}

/**
 * The debugfs commands that fill an empty file system. The order of the entries decides where blocks lie: sort them for
 * a reproducible image; a directory must come before what is in it.
 */
export function populateScript(entries: readonly LayoutEntry[]): string {
  const lines: string[] = [];
  const links = new Map<string, number>();
  let current = '/';
  const enter = (directory: string): void => {
    if (directory === current) return;
    lines.push(`cd ${quote(directory)}`);
    current = directory;
  };
  for (const entry of entries) {
    // debugfs takes bare names everywhere, but not paths.
    enter(parentOf(entry.path));
    const name = quote(nameOf(entry.path));
    if (entry.type === 'directory') {
      if (entry.path !== '/') lines.push(`mkdir ${name}`);
      if (entry.mode !== DEFAULT_DIRECTORY_MODE) lines.push(setMode(entry.path, 0o040000, entry.mode));
      if (entry.owner !== 0) {
        lines.push(
          `sif ${quote(entry.path)} uid ${entry.owner}`,
          `sif ${quote(entry.path)} gid ${entry.owner}`,
        );
      }
    } else if (entry.type === 'symlink') {
      lines.push(`symlink ${name} ${quote(entry.target)}`);
    } else if (entry.type === 'file') {
      lines.push(`write ${quote(entry.source)} ${name}`);
      if (entry.mode !== entry.sourceMode) lines.push(setMode(entry.path, 0o100000, entry.mode));
    } else {
      lines.push(`ln ${quote(entry.of)} ${name}`);
      const count = (links.get(entry.of) ?? 1) + 1;
      links.set(entry.of, count);
      // debugfs adds the name only.
      lines.push(`sif ${quote(entry.of)} links_count ${count}`);
    }
  }
  return `${lines.join('\n')}\n`;
}

function setMode(path: string, type: number, mode: number): string {
  return `sif ${quote(path)} mode 0${(type | mode).toString(8)}`;
}

function quote(text: string): string {
  if (/[\n\r\0]/.test(text)) {
    throw new DomainError(
      'invalid',
      `a file name with a line break cannot be put into an image: ${JSON.stringify(text)}`,
    );
  }
  return `"${text.replaceAll('"', '""')}"`;
}

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/')) || '/';
}

function nameOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}
