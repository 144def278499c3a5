import { Injectable, type OnApplicationShutdown } from '@nestjs/common';
import { DomainError, errorMessage } from '../../common/errors/domain-error';
import { changesOf, type RecordChange } from './domain/draft';
import type { RegistryState, SandboxRecord, SnapshotRecord, WorkspaceRecord } from './domain/records';
import { byKey, formatState, parseState } from './domain/state-codec';
import { StateFile } from './ports/state-file';

/** The registry as others see it; its records are frozen. */
export interface RegistryView {
  readonly snapshots: ReadonlyMap<string, Readonly<SnapshotRecord>>;
  readonly sandboxes: ReadonlyMap<string, Readonly<SandboxRecord>>;
  readonly workspaces: ReadonlyMap<string, Readonly<WorkspaceRecord>>;
}

/** An attempt to write the file. */
export interface RegistryWrite {
  readonly seconds: number;
  readonly failed: boolean;
}

/** Mutations that become durable, or are taken back, together. */
class Batch {
  readonly changes: RecordChange[] = [];
  readonly done: Promise<void>;
  resolve!: () => void;
  reject!: (error: Error) => void;

  constructor() {
    this.done = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
  }
}

/**
 * The durable truth about snapshots, sandboxes and workspaces. Reads come from memory; a mutation is acknowledged when it is
 * on disk. Mutations of the same moment, and those that arrive during a write, share one write.
 */
@Injectable()
export class RegistryService implements OnApplicationShutdown {
  private readonly sorted = new Map<keyof RegistryState, readonly unknown[]>();
  private collecting: Batch | undefined;
  private writing: Batch | undefined;
  private draining: Promise<void> | undefined;
  private readonly writeListeners: ((write: RegistryWrite) => void)[] = [];

  private constructor(
    private readonly file: StateFile,
    private readonly records: RegistryState,
  ) {}

  /**
   * Loads the registry; an absent file is an empty one. Writes nothing.
   *
   * @throws DomainError when the file cannot be read or understood.
   */
  static async load(file: StateFile): Promise<RegistryService> {
    let text: string | undefined;
    try {
      text = await file.read();
    } catch (error) {
      throw new DomainError('invalid', `state file ${file.path} cannot be read: ${errorMessage(error)}`);
    }
    try {
      return new RegistryService(file, parseState(text ?? '{}'));
    } catch (error) {
      throw new DomainError(
        'invalid',
        `state file ${file.path} cannot be understood and was left as it is: ${errorMessage(error)}. ` +
          'Repair it, or move it away to start empty',
      );
    }
  }

  /** The live view; it shows mutations at once, before they are durable. */
  get state(): RegistryView {
    return this.records;
  }

  /** All snapshots, ordered by tag. */
  snapshots(): readonly Readonly<SnapshotRecord>[] {
    return this.list('snapshots', this.records.snapshots);
  }

  /** All sandboxes, ordered by id. */
  sandboxes(): readonly Readonly<SandboxRecord>[] {
    return this.list('sandboxes', this.records.sandboxes);
  }

  /** All workspaces, ordered by name. */
  workspaces(): readonly Readonly<WorkspaceRecord>[] {
    return this.list('workspaces', this.records.workspaces);
  }

  getSnapshot(tag: string): Readonly<SnapshotRecord> | undefined {
    return this.records.snapshots.get(tag);
  }

  getSandbox(id: string): Readonly<SandboxRecord> | undefined {
    return this.records.sandboxes.get(id);
  }

  getWorkspace(name: string): Readonly<WorkspaceRecord> | undefined {
    return this.records.workspaces.get(name);
  }

  /**
   * Changes the registry: at once in memory, durable when the promise settles. `change` must be synchronous; it gets a draft
   * whose records it may alter in place (values inside a record are replaced, not altered). When it throws, nothing happens.
   *
   * A failed write takes back, in memory, all mutations that are not on disk: its own and the later ones that built on
   * them. All of them are rejected, so each caller undoes what it did outside the registry.
   *
   * @throws what `change` throws; DomainError `internal` when the file could not be written.
   */
  async mutate(change: (draft: RegistryState) => void): Promise<void> {
    const changes = changesOf(this.records, change);
    if (changes.length === 0) {
      // What the caller has seen may still be on its way to the disk.
      await (this.collecting ?? this.writing)?.done;
      return;
    }
    for (const { map, key, after } of changes) this.put(map, key, after);
    this.collecting ??= new Batch();
    for (const made of changes) this.collecting.changes.push(made);
    const { done } = this.collecting;
    this.draining ??= this.drain();
    await done;
  }

  /** Adds a listener that is told of each attempt to write the file. It must not throw. */
  onWrite(listener: (write: RegistryWrite) => void): void {
    this.writeListeners.push(listener);
  }

  /** Settles when no write is under way or needed; never rejects. */
  async flush(): Promise<void> {
    await this.draining;
  }

  async onApplicationShutdown(): Promise<void> {
    await this.flush();
  }

  private async drain(): Promise<void> {
    // Lets the other mutations of this moment join the first write.
    await new Promise((resolve) => setImmediate(resolve));
    while (this.collecting !== undefined) {
      const batch = this.collecting;
      this.writing = batch;
      this.collecting = undefined;
      const begun = performance.now();
      let failed = false;
      try {
        await this.file.replace(formatState(this.records));
        batch.resolve();
      } catch (cause) {
        failed = true;
        this.takeBack(batch, cause);
      }
      this.writing = undefined;
      const seconds = (performance.now() - begun) / 1000;
      for (const listener of this.writeListeners) listener({ seconds, failed });
    }
    this.draining = undefined;
  }

  private takeBack(batch: Batch, cause: unknown): void {
    const failed = [batch, ...(this.collecting === undefined ? [] : [this.collecting])];
    this.collecting = undefined;
    const changes = failed.flatMap(({ changes: made }) => made);
    for (const { map, key, before } of changes.reverse()) this.put(map, key, before);
    const error = new DomainError('internal', `the registry could not be written to ${this.file.path}`, {
      cause,
    });
    for (const { reject } of failed) reject(error);
  }

  private put(map: keyof RegistryState, key: string, record: object | undefined): void {
    const records: Map<string, object> = this.records[map];
    if (record === undefined) records.delete(key);
    else records.set(key, record);
    this.sorted.delete(map);
  }

  private list<T>(name: keyof RegistryState, records: ReadonlyMap<string, T>): readonly T[] {
    const known = this.sorted.get(name);
    if (known !== undefined) return known as readonly T[];
    const list = [...records].sort(byKey).map(([, record]) => record);
    this.sorted.set(name, list);
    return list;
  }
}
