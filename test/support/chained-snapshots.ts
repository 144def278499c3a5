import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { SandboxRecord, SnapshotRecord } from '../../src/modules/registry/domain/records';
import { RealHost } from './real-host';

export interface SnapshotDetail {
  readonly ancestors: string[];
  readonly dependents: string[];
  readonly chain_depth: number;
}

/** A real host with the chain py <- c1 <- c2 <- c3; a child of cN has the variable n = N. */
export class ChainedSnapshots {
  private constructor(readonly host: RealHost) {}

  static async start(): Promise<ChainedSnapshots> {
    const host = await RealHost.start();
    const chain = new ChainedSnapshots(host);
    const body = { tag: 'py', image: 'python', mem_size_mib: 128, boot_wait_secs: 60 };
    await host.client.json(201, 'POST', '/v1/snapshots', body);
    let parent = 'py';
    for (const n of [1, 2, 3]) {
      const id = await chain.fork(parent);
      await chain.evaluate(id, `n = ${n}`);
      await chain.branch(id, { tag: `c${n}`, mode: 'diff', parent_tag: parent });
      await chain.remove(id);
      parent = `c${n}`;
    }
    return chain;
  }

  get root(): string {
    return this.host.config.snapshotRoot;
  }

  async fork(tag: string): Promise<string> {
    const body = { snapshot_tag: tag };
    const [child] = await this.host.client.json<SandboxRecord[]>(201, 'POST', '/v1/sandboxes', body);
    return child?.id ?? '';
  }

  refusedFork(status: number, tag: string): Promise<string> {
    return this.host.client.error(status, 'POST', '/v1/sandboxes', { snapshot_tag: tag });
  }

  branch(id: string, body: object): Promise<SnapshotRecord> {
    return this.host.client.json(201, 'POST', `/v1/sandboxes/${id}/branch`, body);
  }

  async evaluate(id: string, code: string): Promise<string | null> {
    const path = `/v1/sandboxes/${id}/eval`;
    type Result = Record<'result' | 'error', string | null>;
    const { result, error } = await this.host.client.json<Result>(200, 'POST', path, { code });
    assert.equal(error, null);
    return result;
  }

  /** The variable n in a new child of the tag. */
  async counter(tag: string): Promise<string | null> {
    const id = await this.fork(tag);
    try {
      return await this.evaluate(id, 'n');
    } finally {
      await this.remove(id);
    }
  }

  remove(id: string): Promise<void> {
    return this.host.client.json(204, 'DELETE', `/v1/sandboxes/${id}`);
  }

  removeTag(tag: string, query = ''): Promise<void> {
    return this.host.client.json(204, 'DELETE', `/v1/snapshots/${tag}${query}`);
  }

  info(tag: string): Promise<SnapshotDetail> {
    return this.host.client.json(200, 'GET', `/v1/snapshots/${tag}/info`);
  }

  refusedCompact(status: number, tag: string, to: string): Promise<string> {
    return this.host.client.error(status, 'POST', `/v1/snapshots/${tag}/compact`, { to });
  }

  /** Digests of the whole images that are kept. */
  assembled(): Promise<string[]> {
    return readdir(join(this.root, '.assembled')).catch(() => []);
  }
}
