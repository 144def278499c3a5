/** A guest's variables. */
export type Variables = ReadonlyMap<string, string>;

export interface ModelSnapshot {
  readonly state: Variables;
  /** Of its memory, as its manifest has it. */
  readonly digest: string;
  /** What it is stored on top of. */
  readonly parent?: { readonly tag: string; readonly digest: string };
}

export interface ModelSandbox {
  readonly id: string;
  readonly tag: string;
  /** The snapshot that had the tag when it was forked. */
  readonly origin: ModelSnapshot;
  state: Map<string, string>;
  branches: number;
  dead: boolean;
}

export interface ModelWorkspace {
  readonly source: string;
  status: 'running' | 'suspended' | 'stale';
  stateTag?: string;
  sandboxId?: string;
}

/** The tags of all sequences. */
const TAGS = ['t0', 't1', 't2', 't3', 't4', 'ws-w0-state'];
/** Numbers that choose a tag are below {@link CHOICES}; those from here on choose any. */
const COMMON = 20;
export const CHOICES = 23;

function name(choice: number): string {
  return TAGS[choice % TAGS.length] ?? '';
}

/** What the host must look like; as simple as can be, and nothing of the product's code. */
export class Model {
  readonly snapshots = new Map<string, ModelSnapshot>();
  readonly sandboxes = new Map<string, ModelSandbox>();
  readonly workspaces = new Map<string, ModelWorkspace>();

  /** The sandbox that a number out of a random sequence means. */
  pick(index: number): ModelSandbox | undefined {
    const all = [...this.sandboxes.values()];
    return all[index % Math.max(1, all.length)];
  }

  /** The tag that a number means: mostly one that there is. */
  known(choice: number): string {
    const all = [...this.snapshots.keys()];
    return all.length > 0 && choice < COMMON ? (all[choice % all.length] ?? '') : name(choice);
  }

  /** The tag that a number means: mostly one that is free. */
  free(choice: number): string {
    const all = TAGS.filter((tag) => !this.snapshots.has(tag));
    return all.length > 0 && choice < COMMON ? (all[choice % all.length] ?? '') : name(choice);
  }

  dependentsOf(tag: string): string[] {
    return [...this.snapshots].filter(([, { parent }]) => parent?.tag === tag).map(([child]) => child);
  }

  /** The tag and all that is stored on top of it. */
  subtreeOf(tag: string, found = new Set<string>()): Set<string> {
    if (found.has(tag)) return found;
    found.add(tag);
    for (const child of this.dependentsOf(tag)) this.subtreeOf(child, found);
    return found;
  }

  /** Whether all ancestors of a snapshot are there; with `intact`, also whether they still are what it was stored on. */
  hasChain(tag: string, intact: boolean): boolean {
    const seen = new Set<string>();
    for (let at = this.snapshots.get(tag), name = tag; at?.parent;) {
      const parent = this.snapshots.get(at.parent.tag);
      if (seen.has(name) || !parent || (intact && parent.digest !== at.parent.digest)) return false;
      seen.add(name);
      name = at.parent.tag;
      at = parent;
    }
    return true;
  }

  forked(id: string, tag: string, origin: ModelSnapshot): void {
    this.sandboxes.set(id, { id, tag, origin, state: new Map(origin.state), branches: 0, dead: false });
  }

  /** A workspace that ran in it is stale. */
  lose(id: string, how: 'died' | 'removed'): void {
    const sandbox = this.sandboxes.get(id);
    if (how === 'removed') this.sandboxes.delete(id);
    else if (sandbox) sandbox.dead = true;
    for (const workspace of this.workspaces.values()) {
      if (workspace.sandboxId !== id) continue;
      workspace.status = 'stale';
      delete workspace.sandboxId;
    }
  }

  /** What a start of the daemon does to it. */
  restarted(): void {
    for (const { id, dead } of [...this.sandboxes.values()]) if (dead) this.lose(id, 'removed');
  }
}
