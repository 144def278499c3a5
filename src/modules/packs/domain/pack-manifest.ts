import { DomainError } from '../../../common/errors/domain-error';
import { isTag } from '../../snapshots/domain/tag';
import { MAX_LINKS } from '../../snapshots/domain/lineage';
import type { SnapshotManifest } from '../../snapshots/domain/manifest';
import { filesProblem, type PackedFile, parseFiles } from './packed-files';
import { portableManifest } from './portable-manifest';

/** The first member of a pack. */
export const PACK_MANIFEST_FILE = 'manifest.json';
/** Larger ones are refused: it is for all snapshots of the longest chain, with room. */
export const MAX_MANIFEST_BYTES = 1024 * 1024;
export const PACK_FORMAT = 1;

export interface PackedSnapshot {
  readonly tag: string;
  /** Its snapshot.json. */
  readonly snapshot: SnapshotManifest;
  readonly files: readonly PackedFile[];
}

/** What a pack says of itself; see docs/pack-format.md. */
export interface PackManifest {
  /** The version of this format. */
  readonly forkd_pack: number;
  /** The snapshot that was packed: the last of `snapshots`. */
  readonly tag: string;
  readonly made_by: string;
  readonly created_at_unix: number;
  /** The chain, root first. */
  readonly snapshots: readonly PackedSnapshot[];
}

/** A pack that cannot be trusted or understood. */
export function badPack(reason: string): DomainError {
  return new DomainError('invalid', `the pack is not usable: ${reason}`);
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * Reads a pack's manifest and believes nothing of it that does not fit together: what it returns holds known members only,
 * tags and file names that are safe as such, and digests that agree with each other.
 *
 * @throws DomainError invalid, saying what is wrong.
 */
export function parsePackManifest(text: string): PackManifest {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw badPack(`its manifest is not JSON (${error instanceof Error ? error.message : String(error)})`);
  }
  if (!isRecord(value)) throw badPack('its manifest is not a JSON object');
  if (value['forkd_pack'] !== PACK_FORMAT) {
    throw badPack(
      `its format is ${said(value['forkd_pack'])}, and this version reads ${PACK_FORMAT}; make it with the same release`,
    );
  }
  const { tag, snapshots, created_at_unix: created, made_by: maker } = value;
  if (typeof tag !== 'string' || !isTag(tag)) throw badPack(`\`tag\` is ${said(tag)}, which is no tag`);
  if (!Array.isArray(snapshots) || snapshots.length === 0) throw badPack('it lists no snapshots');
  if (snapshots.length > MAX_LINKS)
    throw badPack(`its chain has ${snapshots.length} links, and at most ${MAX_LINKS} are possible`);
  const links = snapshots.map(parseLink);
  const problem = chainProblem(tag, links);
  if (problem !== undefined) throw badPack(problem);
  return {
    forkd_pack: PACK_FORMAT,
    tag,
    made_by: typeof maker === 'string' ? maker.slice(0, 100) : '',
    created_at_unix:
      typeof created === 'number' && Number.isSafeInteger(created) && created >= 0 ? created : 0,
    snapshots: links,
  };
}

function parseLink(value: unknown): PackedSnapshot {
  if (!isRecord(value)) throw badPack('a snapshot in its manifest is not an object');
  const { tag, files } = value;
  if (typeof tag !== 'string' || !isTag(tag))
    throw badPack(`it has a snapshot ${said(tag)}, which is no tag`);
  const snapshot = portableManifest(value['snapshot']);
  if (typeof snapshot === 'string') throw badPack(`snapshot ${tag}: ${snapshot}`);
  const parsed = parseFiles(files);
  const problem = typeof parsed === 'string' ? parsed : filesProblem(snapshot, parsed);
  if (typeof parsed === 'string' || problem !== undefined) throw badPack(`snapshot ${tag}: ${problem ?? ''}`);
  return { tag, snapshot, files: parsed };
}

function chainProblem(head: string, links: readonly PackedSnapshot[]): string | undefined {
  const tags = new Set<string>();
  for (const [index, { tag, snapshot }] of links.entries()) {
    if (tags.has(tag)) return `it has two snapshots with the tag ${tag}`;
    tags.add(tag);
    const before = links[index - 1];
    const problem = linkProblem(tag, snapshot, before);
    if (problem !== undefined) return problem;
  }
  const last = links.at(-1)?.tag;
  if (last !== head) return `its tag is ${head}, but its chain ends with ${last ?? 'nothing'}`;
  return undefined;
}

function linkProblem(
  tag: string,
  { parent_tag: parent, parent_content_hash: parentHash, guest }: SnapshotManifest,
  before: PackedSnapshot | undefined,
): string | undefined {
  if (before === undefined) {
    return parent === undefined ? undefined : `the parent ${parent} of its first snapshot ${tag} is missing`;
  }
  if (parent === tag) return `the chain is a cycle: ${tag} is its own parent`;
  if (parent !== before.tag) {
    return `snapshot ${tag} should be stored on top of ${before.tag}, but its parent is ${parent ?? 'missing'}`;
  }
  if (parentHash !== before.snapshot.memory_digest) {
    return `snapshot ${tag} was stored on top of other memory than ${before.tag} has (hash mismatch)`;
  }
  if (guest.mem_size_mib !== before.snapshot.guest.mem_size_mib) {
    return `snapshot ${tag} has ${guest.mem_size_mib} MiB of memory and its parent ${before.snapshot.guest.mem_size_mib}`;
  }
  return undefined;
}

/** A value out of a pack, for a message. */
export function said(value: unknown): string {
  const text = JSON.stringify(value) as string | undefined;
  return text === undefined ? 'missing' : text.slice(0, 80);
}
