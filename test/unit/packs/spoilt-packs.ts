import { compressed, type Member, tarOf } from '../../support/packs';

/** Good packs, to be spoilt. */
export interface Craft {
  readonly flat: Buffer;
  readonly flatMembers: readonly Member[];
  readonly chainedMembers: readonly Member[];
}

export interface HostilePack {
  readonly name: string;
  readonly make: (craft: Craft) => Buffer | Promise<Buffer>;
  readonly error: RegExp;
  readonly status?: number;
}

export interface File {
  name: string;
  size: number;
  stored: number;
  digest: string;
}

export interface Link {
  tag: string;
  snapshot: Record<string, unknown> & { engine: Record<string, unknown>; guest: Record<string, unknown> };
  files: File[];
}

export interface Manifest {
  forkd_pack: unknown;
  tag: unknown;
  snapshots: Link[];
}

export const archive = async (members: readonly Member[], tail: Buffer = Buffer.alloc(0)): Promise<Buffer> =>
  compressed(Buffer.concat([await tarOf(members), tail]));

export function nth<T>(list: readonly T[], index: number): T {
  const found = list.at(index);
  if (found === undefined) throw new Error('the good pack has fewer parts');
  return found;
}

export function fileOf(link: Link, name: string): File {
  const found = link.files.find((file) => file.name === name);
  if (found === undefined) throw new Error(`the good pack has no ${name}`);
  return found;
}

export function withManifest(members: readonly Member[], change: (manifest: Manifest) => void): Member[] {
  const [first, ...rest] = members;
  const manifest = JSON.parse((first as Member).body.toString()) as Manifest;
  change(manifest);
  return [{ header: { name: 'manifest.json' }, body: Buffer.from(JSON.stringify(manifest)) }, ...rest];
}

/** The flat pack with another manifest. */
export const flatLie = (
  name: string,
  change: (link: Link, manifest: Manifest) => void,
  error: RegExp,
  status = 400,
): HostilePack => ({
  name,
  make: ({ flatMembers }) =>
    archive(
      withManifest(flatMembers, (manifest) => {
        change(nth(manifest.snapshots, 0), manifest);
      }),
    ),
  error,
  status,
});

export const chainLie = (
  name: string,
  change: (links: Link[], manifest: Manifest) => void,
  error: RegExp,
): HostilePack => ({
  name,
  make: ({ chainedMembers }) =>
    archive(
      withManifest(chainedMembers, (manifest) => {
        change(manifest.snapshots, manifest);
      }),
    ),
  error,
});

export const replaced = (
  members: readonly Member[],
  name: string,
  change: (member: Member) => Member[],
): Member[] => members.flatMap((member) => (member.header.name === name ? change(member) : [member]));
