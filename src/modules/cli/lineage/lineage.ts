import type { Sandbox, Snapshot } from '../api/types';

/** A snapshot of the list, with what only its details tell. */
export interface SnapshotWithParent {
  readonly snapshot: Snapshot;
  readonly parentTag?: string;
  /** Why its details could not be had, such as a broken chain. */
  readonly problem?: string;
}

export type LineageNode = SnapshotNode | SandboxNode;

export interface SnapshotNode {
  readonly kind: 'snapshot';
  readonly name: string;
  /** Of the list; "deleted" for one that is only known from what was forked from it. */
  readonly status: string;
  readonly created_at_unix?: number;
  /** The snapshot it is stored on. */
  readonly parent_tag?: string;
  readonly branched_from?: string;
  readonly problem?: string;
  readonly children: readonly LineageNode[];
}

export interface SandboxNode {
  readonly kind: 'sandbox';
  readonly name: string;
  readonly status: string;
  readonly created_at_unix: number;
  readonly pid: number | null;
  readonly snapshot_tag: string;
  readonly children: readonly LineageNode[];
}

const COMPACTED = 'compact:';

/**
 * What came from what. A sandbox hangs below its snapshot; a snapshot below the sandbox it was branched from, else below
 * the snapshot it is stored on or was compacted from. What has none of these any more is a root.
 */
export function lineage(
  snapshots: readonly SnapshotWithParent[],
  sandboxes: readonly Sandbox[],
): SnapshotNode[] {
  const byTag = new Map(snapshots.map((one) => [one.snapshot.tag, one]));
  const byId = new Map(sandboxes.map((one) => [one.id, one]));
  const parents = new Map<string, string>();
  const deleted = new Set<string>();

  for (const sandbox of sandboxes) {
    const tag = sandbox.snapshot_tag;
    const source = byTag.get(tag)?.snapshot;
    // A younger snapshot took the tag of the one this was forked from.
    const gone = source === undefined || source.created_at_unix > sandbox.created_at_unix;
    if (gone) deleted.add(tag);
    parents.set(sandboxKey(sandbox.id), gone ? deletedKey(tag) : snapshotKey(tag));
  }
  for (const { snapshot, parentTag } of snapshots) {
    const from = snapshot.branched_from;
    const compacted = from?.startsWith(COMPACTED) === true ? from.slice(COMPACTED.length) : undefined;
    const above = compacted ?? parentTag;
    if (from !== undefined && byId.has(from)) parents.set(snapshotKey(snapshot.tag), sandboxKey(from));
    else if (above !== undefined && byTag.has(above))
      parents.set(snapshotKey(snapshot.tag), snapshotKey(above));
  }

  const children = new Map<string, string[]>();
  const roots: string[] = [...deleted].map(deletedKey);
  for (const key of [...byTag.keys()].map(snapshotKey).concat([...byId.keys()].map(sandboxKey))) {
    const parent = leadsToItself(key, parents) ? undefined : parents.get(key);
    if (parent === undefined) {
      parents.delete(key);
      roots.push(key);
      continue;
    }
    const siblings = children.get(parent);
    if (siblings === undefined) children.set(parent, [key]);
    else siblings.push(key);
  }

  const node = (key: string): LineageNode => {
    const below = (children.get(key) ?? []).map(node).sort(byAge);
    const name = key.slice(2);
    const sandbox = key.startsWith('b') ? byId.get(name) : undefined;
    if (sandbox !== undefined) return sandboxNode(sandbox, below);
    return snapshotNode(name, key.startsWith('s') ? byTag.get(name) : undefined, below);
  };
  return roots
    .map(node)
    .filter((one) => one.kind === 'snapshot')
    .sort(byAge);
}

function snapshotKey(tag: string): string {
  return `s:${tag}`;
}

function deletedKey(tag: string): string {
  return `d:${tag}`;
}

function sandboxKey(id: string): string {
  return `b:${id}`;
}

/** Times have whole seconds and a disk may hold anything, so a circle is possible; its first snapshot becomes a root. */
function leadsToItself(key: string, parents: ReadonlyMap<string, string>): boolean {
  const seen = new Set<string>();
  for (let at = parents.get(key); at !== undefined && !seen.has(at); at = parents.get(at)) {
    if (at === key) return true;
    seen.add(at);
  }
  return false;
}

function sandboxNode(sandbox: Sandbox, children: readonly LineageNode[]): SandboxNode {
  return {
    kind: 'sandbox',
    name: sandbox.id,
    status: sandbox.status ?? 'running',
    created_at_unix: sandbox.created_at_unix,
    pid: sandbox.pid,
    snapshot_tag: sandbox.snapshot_tag,
    children,
  };
}

function snapshotNode(
  name: string,
  known: SnapshotWithParent | undefined,
  children: readonly LineageNode[],
): SnapshotNode {
  if (known === undefined) return { kind: 'snapshot', name, status: 'deleted', children };
  const { snapshot, parentTag, problem } = known;
  return {
    kind: 'snapshot',
    name,
    status: snapshot.status,
    created_at_unix: snapshot.created_at_unix,
    ...(parentTag === undefined ? {} : { parent_tag: parentTag }),
    ...(snapshot.branched_from === undefined ? {} : { branched_from: snapshot.branched_from }),
    ...(problem === undefined ? {} : { problem }),
    children,
  };
}

/** Oldest first, then by name. */
function byAge(a: LineageNode, b: LineageNode): number {
  const difference = (a.created_at_unix ?? 0) - (b.created_at_unix ?? 0);
  return difference !== 0 ? difference : a.name < b.name ? -1 : 1;
}
