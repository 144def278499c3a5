import type { RegistryState } from './records';

/** One record before and after a change; undefined where it does not exist. */
export interface RecordChange {
  readonly map: keyof RegistryState;
  readonly key: string;
  readonly before: object | undefined;
  readonly after: object | undefined;
}

/**
 * A copy of a map that copies a record only when it is looked at, so that a change costs what it touches. Reads see earlier
 * changes; the base is never altered.
 */
class DraftMap<T extends object> extends Map<string, T> {
  /** Records handed out or set; undefined stands for deleted. */
  private readonly touched = new Map<string, T | undefined>();

  constructor(private readonly base: ReadonlyMap<string, T>) {
    super();
  }

  override get size(): number {
    let size = this.base.size;
    for (const [key, record] of this.touched) {
      size += Number(record !== undefined) - Number(this.base.has(key));
    }
    return size;
  }

  override has(key: string): boolean {
    return this.touched.has(key) ? this.touched.get(key) !== undefined : this.base.has(key);
  }

  override get(key: string): T | undefined {
    if (!this.touched.has(key)) {
      const record = this.base.get(key);
      if (record === undefined) return undefined;
      this.touched.set(key, { ...record });
    }
    return this.touched.get(key);
  }

  override set(key: string, record: T): this {
    this.touched.set(key, record);
    return this;
  }

  override delete(key: string): boolean {
    const existed = this.has(key);
    this.touched.set(key, undefined);
    return existed;
  }

  override clear(): void {
    for (const key of [...this.keys()]) this.delete(key);
  }

  override *keys(): MapIterator<string> {
    for (const key of this.base.keys()) if (this.has(key)) yield key;
    for (const [key, record] of this.touched) if (record !== undefined && !this.base.has(key)) yield key;
  }

  override *entries(): MapIterator<[string, T]> {
    for (const key of [...this.keys()]) {
      const record = this.get(key);
      if (record !== undefined) yield [key, record];
    }
  }

  override *values(): MapIterator<T> {
    for (const [, record] of this.entries()) yield record;
  }

  override [Symbol.iterator](): MapIterator<[string, T]> {
    return this.entries();
  }

  override forEach(callback: (record: T, key: string, map: Map<string, T>) => void): void {
    for (const [key, record] of this.entries()) callback(record, key, this);
  }

  changes(map: keyof RegistryState): RecordChange[] {
    const changes: RecordChange[] = [];
    for (const [key, record] of this.touched) {
      const before = this.base.get(key);
      if (isSame(before, record)) continue;
      // A copy, so that whoever set the record cannot alter it afterwards.
      const after = record === undefined ? undefined : Object.freeze({ ...record });
      changes.push({ map, key, before, after });
    }
    return changes;
  }
}

/** What `change` does to the state, as a list of replaced records; the state itself is left alone. */
export function changesOf(state: RegistryState, change: (draft: RegistryState) => void): RecordChange[] {
  const snapshots = new DraftMap(state.snapshots);
  const sandboxes = new DraftMap(state.sandboxes);
  const workspaces = new DraftMap(state.workspaces);
  change({ snapshots, sandboxes, workspaces });
  return [
    ...snapshots.changes('snapshots'),
    ...sandboxes.changes('sandboxes'),
    ...workspaces.changes('workspaces'),
  ];
}

function isSame(left: object | undefined, right: object | undefined): boolean {
  if (left === undefined || right === undefined) return left === right;
  const before = Object.entries(left);
  const after = new Map<string, unknown>(Object.entries(right));
  return (
    before.length === after.size && before.every(([key, value]) => after.has(key) && after.get(key) === value)
  );
}
