import { DomainError } from '../../../common/errors/domain-error';

/** One member of an archive; owned by root, with a fixed time, so that equal content gives equal bytes. */
export type CpioEntry =
  | { readonly type: 'directory'; readonly path: string; readonly mode: number }
  | { readonly type: 'file'; readonly path: string; readonly mode: number; readonly data: Uint8Array }
  | { readonly type: 'symlink'; readonly path: string; readonly target: string }
  | {
      readonly type: 'character-device';
      readonly path: string;
      readonly mode: number;
      readonly major: number;
      readonly minor: number;
    };

const FILE_TYPE = {
  directory: 0o040000,
  file: 0o100000,
  symlink: 0o120000,
  'character-device': 0o020000,
} as const;
const TRAILER = 'TRAILER!!!';
const BLOCK = 512;

/**
 * Writes the "newc" cpio format the kernel unpacks as initramfs. Paths are relative; a directory must come before what
 * is in it.
 *
 * @throws DomainError internal for a path or a size the format cannot hold.
 */
export function writeCpio(entries: readonly CpioEntry[]): Buffer {
  const parts: Buffer[] = [];
  let inode = 0;
  for (const entry of entries) {
    if (entry.path === '' || entry.path.startsWith('/') || entry.path.includes('\0')) {
      throw new DomainError('internal', `not a path for an archive: ${JSON.stringify(entry.path)}`);
    }
    inode += 1;
    parts.push(...member(entry.path, inode, fieldsOf(entry), contentOf(entry)));
  }
  parts.push(...member(TRAILER, 0, { mode: 0, links: 1, major: 0, minor: 0 }, Buffer.alloc(0)));
  const size = parts.reduce((sum, part) => sum + part.length, 0);
  parts.push(padding(size, BLOCK));
  return Buffer.concat(parts);
}

interface Fields {
  readonly mode: number;
  readonly links: number;
  readonly major: number;
  readonly minor: number;
}

function fieldsOf(entry: CpioEntry): Fields {
  const mode = FILE_TYPE[entry.type] | (entry.type === 'symlink' ? 0o777 : entry.mode);
  const links = entry.type === 'directory' ? 2 : 1;
  if (entry.type === 'character-device') return { mode, links, major: entry.major, minor: entry.minor };
  return { mode, links, major: 0, minor: 0 };
}

function contentOf(entry: CpioEntry): Uint8Array {
  if (entry.type === 'file') return entry.data;
  if (entry.type === 'symlink') return Buffer.from(entry.target);
  return Buffer.alloc(0);
}

function member(path: string, inode: number, fields: Fields, data: Uint8Array): Buffer[] {
  if (data.length > 0xffffffff) throw new DomainError('internal', `${path} is too large for an initramfs`);
  const name = Buffer.from(`${path}\0`);
  // inode, mode, uid, gid, links, mtime, size, device (2), rdev (2), length of the name, checksum
  const numbers = [
    inode,
    fields.mode,
    0,
    0,
    fields.links,
    0,
    data.length,
    0,
    0,
    fields.major,
    fields.minor,
    name.length,
    0,
  ];
  const header = `070701${numbers.map((value) => value.toString(16).padStart(8, '0')).join('')}`;
  return [
    Buffer.from(header, 'latin1'),
    name,
    padding(header.length + name.length, 4),
    Buffer.from(data.buffer, data.byteOffset, data.byteLength),
    padding(data.length, 4),
  ];
}

function padding(size: number, unit: number): Buffer {
  return Buffer.alloc((unit - (size % unit)) % unit);
}
