import assert from 'node:assert/strict';
import type { SandboxRecord, WorkspaceInfo } from '../../../src/modules/registry/domain/records';
import type { TestClient } from '../http';
import { evaluate, type Listed, listed, type Mark, type State } from './estate';
import type { MortalDaemon } from './mortal-daemon';

export const BASE = 'base';
/** Stored on top of BASE. */
export const LINK = 'link';
export const WORKSPACE = 'dev';
export const WORKSPACE_STATE = `ws-${WORKSPACE}-state`;

/** What every round begins with: two snapshots, a sandbox of each, and a workspace that runs; and what comes beside. */
export class World {
  /** Of BASE. */
  source = '';
  /** Of LINK. */
  child = '';
  state: State = { snapshots: new Map(), sandboxes: new Map(), workspaces: new Map() };
  private lastMark = 0;

  constructor(readonly daemon: MortalDaemon) {}

  get client(): TestClient {
    return this.daemon.client;
  }

  /** Makes it from nothing. */
  async build(): Promise<void> {
    const body = { tag: BASE, image: 'python', mem_size_mib: 96, boot_wait_secs: 60 };
    await this.client.json(201, 'POST', '/v1/snapshots', body);
    this.note({ snapshots: [[BASE, null]] });
    await this.complete();
  }

  /** Brings about what every round begins with, from whatever is there now. */
  async reset(): Promise<void> {
    const found = await listed(this.client);
    for (const { name } of found.workspaces.filter((each) => each.name !== WORKSPACE))
      await this.client.json(204, 'DELETE', `/v1/workspaces/${name}`);
    await this.resetWorkspace(found);
    const live = (await listed(this.client)).workspaces.map((each) => each.live_sandbox_id);
    for (const { id } of found.sandboxes) {
      if (![this.source, this.child, ...live].includes(id)) await this.remove(id, found);
    }
    const keep = [BASE, LINK, WORKSPACE_STATE];
    for (const { tag } of (await listed(this.client)).snapshots) {
      if (!keep.includes(tag)) await this.client.send('DELETE', `/v1/snapshots/${tag}?cascade=true`);
    }
    await this.adopt();
    await this.complete();
  }

  /** Gives the guest's variable a value that it never had. */
  async mark(id: string): Promise<number> {
    const mark = ++this.lastMark;
    await evaluate(this.client, id, `n = ${mark}`);
    if (this.state.sandboxes.has(id)) this.note({ sandboxes: [[id, mark]] });
    return mark;
  }

  async fork(tag: string): Promise<string> {
    const [child] = await this.client.json<SandboxRecord[]>(201, 'POST', '/v1/sandboxes', {
      snapshot_tag: tag,
    });
    assert.ok(child);
    this.note({ sandboxes: [[child.id, this.state.snapshots.get(tag) ?? null]] });
    return child.id;
  }

  async branch(id: string, body: { tag: string; mode: string; parent_tag?: string }): Promise<void> {
    await this.client.json(201, 'POST', `/v1/sandboxes/${id}/branch`, body);
    this.note({ snapshots: [[body.tag, this.state.sandboxes.get(id) ?? null]] });
  }

  async workspace(name: string): Promise<WorkspaceInfo> {
    return this.client.json(200, 'GET', `/v1/workspaces/${name}`);
  }

  /** The workspace runs from here on with this mark. */
  noteWorkspace(name: string, status: WorkspaceInfo['status'], mark: Mark): void {
    this.state = { ...this.state, workspaces: new Map(this.state.workspaces).set(name, { status, mark }) };
  }

  note(more: { snapshots?: [string, Mark][]; sandboxes?: [string, Mark][] }): void {
    this.state = {
      ...this.state,
      snapshots: new Map([...this.state.snapshots, ...(more.snapshots ?? [])]),
      sandboxes: new Map([...this.state.sandboxes, ...(more.sandboxes ?? [])]),
    };
  }

  private async resetWorkspace(found: Listed): Promise<void> {
    const dev = found.workspaces.find(({ name }) => name === WORKSPACE);
    if (dev === undefined || dev.status === 'running') return;
    await this.client.json(200, 'POST', `/v1/workspaces/${WORKSPACE}/resume`);
  }

  /** What was lost with its VM is not there any more. */
  private async adopt(): Promise<void> {
    const found = await listed(this.client);
    const ids = new Set(found.sandboxes.map(({ id }) => id));
    const tags = new Set(found.snapshots.map(({ tag }) => tag));
    const { snapshots, sandboxes } = this.state;
    this.state = {
      snapshots: new Map([...snapshots].filter(([tag]) => tags.has(tag))),
      sandboxes: new Map([...sandboxes].filter(([id]) => ids.has(id))),
      workspaces: new Map(),
    };
    for (const { name, status, live_sandbox_id: id } of found.workspaces)
      this.noteWorkspace(name, status, id === undefined ? null : await this.mark(id));
    if (tags.has(WORKSPACE_STATE))
      this.note({ snapshots: [[WORKSPACE_STATE, snapshots.get(WORKSPACE_STATE) ?? null]] });
  }

  private async complete(): Promise<void> {
    const { sandboxes, snapshots, workspaces } = this.state;
    if (!sandboxes.has(this.source)) {
      this.source = await this.fork(BASE);
      await this.mark(this.source);
    }
    if (!snapshots.has(LINK)) await this.branch(this.source, { tag: LINK, mode: 'diff', parent_tag: BASE });
    if (!sandboxes.has(this.child)) this.child = await this.fork(LINK);
    if (!workspaces.has(WORKSPACE)) {
      const made = await this.client.json<WorkspaceInfo>(201, 'POST', '/v1/workspaces', {
        name: WORKSPACE,
        snapshot_tag: BASE,
      });
      this.noteWorkspace(WORKSPACE, 'running', await this.mark(made.live_sandbox_id ?? ''));
    }
  }

  private async remove(id: string, found: Listed): Promise<void> {
    // Those of workspaces went with them.
    if (found.workspaces.some((each) => each.live_sandbox_id === id)) return;
    await this.client.json(204, 'DELETE', `/v1/sandboxes/${id}`);
  }
}
