import { badPack, MAX_MANIFEST_BYTES, PACK_MANIFEST_FILE } from './pack-manifest';
import type { PackMember } from './pack-members';

/** What is known of a member of an archive before its content. */
export interface MemberHeader {
  readonly name: string;
  readonly size: number;
  readonly type: string | null;
  readonly linkname: string | null;
  readonly pax?: unknown;
}

/** Upstream's packs begin with this file. */
const UPSTREAM_MANIFEST = 'manifest.toml';
const BLOCK = 512;
/** For a map of holes: digits and line feeds of two numbers per piece. */
const MAX_PIECE_BYTES = 34;

/** @throws DomainError invalid when an archive cannot begin with this member. */
export function judgeManifestMember(header: MemberHeader): void {
  if (header.name === UPSTREAM_MANIFEST) {
    throw badPack(
      'it is one of forkd 0.5, whose snapshots are of Firecracker; this daemon restores snapshots that it or its like made. Make the snapshot again from its image',
    );
  }
  if (header.name !== PACK_MANIFEST_FILE) {
    throw badPack(`its first member is ${shown(header.name)}, but must be ${PACK_MANIFEST_FILE}`);
  }
  requireFile(header);
  if (isSparse(header)) throw badPack(`${PACK_MANIFEST_FILE} is sparse`);
  if (header.size > MAX_MANIFEST_BYTES)
    throw badPack(`its manifest has ${header.size} bytes, and at most ${MAX_MANIFEST_BYTES} are read`);
}

/**
 * Whether a member is the one that has its turn. Nothing else is ever written, so no name out of an archive becomes a path.
 *
 * @param expected undefined when none is left.
 * @param earlier those that were read already.
 * @returns whether it is stored with a map of its holes.
 * @throws DomainError invalid saying what is wrong with the member.
 */
export function judgeMember(
  header: MemberHeader,
  expected: PackMember | undefined,
  earlier: readonly PackMember[],
): boolean {
  requireFile(header);
  const sparse = isSparse(header);
  const name = sparse ? sparseName(header) : header.name;
  if (name !== expected?.path) throw badPack(misplaced(name, expected, earlier));
  const { file } = expected;
  if (!sparse) {
    if (file.stored !== file.size || header.size !== file.size)
      throw badPack(`${name} has ${header.size} bytes where its manifest says ${file.size}`);
    return false;
  }
  if (sparseSize(header) !== file.size)
    throw badPack(`${name} unfolds to ${sparseSize(header)} bytes where its manifest says ${file.size}`);
  const mapBytes = header.size - file.stored;
  const pieces = Math.ceil(file.size / BLOCK) + 2;
  if (mapBytes < BLOCK || mapBytes % BLOCK !== 0 || mapBytes > pieces * MAX_PIECE_BYTES + BLOCK)
    throw badPack(
      `${name} has ${header.size} bytes where its manifest says ${file.stored} and a map of holes`,
    );
  return true;
}

function requireFile({ name, type, linkname }: MemberHeader): void {
  if (type !== 'file')
    throw badPack(
      `${shown(name)} is ${type === null ? 'of an unknown kind' : `a ${type}`}, and only files are taken`,
    );
  if (linkname !== null && linkname !== '') throw badPack(`${shown(name)} is a link`);
}

function misplaced(name: string, expected: PackMember | undefined, earlier: readonly PackMember[]): string {
  if (earlier.some(({ path }) => path === name) || name === PACK_MANIFEST_FILE)
    return `${shown(name)} is in it twice`;
  if (name.startsWith('/')) return `${shown(name)} is an absolute path`;
  if (name.split('/').includes('..')) return `${shown(name)} leads outside`;
  return expected === undefined
    ? `${shown(name)} is not in its manifest`
    : `${shown(name)} comes where ${expected.path} should`;
}

function recordsOf({ pax }: MemberHeader): Readonly<Record<string, unknown>> {
  return typeof pax === 'object' && pax !== null ? (pax as Record<string, unknown>) : {};
}

function isSparse(header: MemberHeader): boolean {
  const records = recordsOf(header);
  const known = Object.keys(records).filter((key) => key.startsWith('GNU.sparse.'));
  if (known.length === 0) return false;
  if (records['GNU.sparse.major'] !== '1' || records['GNU.sparse.minor'] !== '0')
    throw badPack(`${shown(header.name)} is sparse in another way than GNU tar's format 1.0`);
  return true;
}

function sparseName(header: MemberHeader): string {
  const name = recordsOf(header)['GNU.sparse.name'];
  return typeof name === 'string' ? name : header.name;
}

function sparseSize(header: MemberHeader): number {
  const size = recordsOf(header)['GNU.sparse.realsize'];
  return typeof size === 'string' && /^\d{1,16}$/.test(size) ? Number(size) : -1;
}

/** A name of a stranger's, fit for a terminal. */
function shown(name: string): string {
  return JSON.stringify(name.length > 100 ? `${name.slice(0, 100)}…` : name).replace(/[^\x20-\x7e…]/g, '?');
}
