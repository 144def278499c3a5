import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type {
  RegistryState,
  SandboxRecord,
  WorkspaceRecord,
} from '../../../src/modules/registry/domain/records';
import { forgetSandboxes, makeStale } from '../../../src/modules/registry/domain/sandbox-loss';
import { parseState } from '../../../src/modules/registry/domain/state-codec';
import { isTag } from '../../../src/modules/snapshots/domain/tag';
import {
  created,
  infoOf,
  requireName,
  requireNotRunning,
  requireRunning,
  resumed,
  stateTagOf,
  suspended,
  wishOf,
} from '../../../src/modules/workspaces/domain/workspace-rules';

const SANDBOX: SandboxRecord = {
  id: 'sb-6657e0c0-0000',
  snapshot_tag: 'py',
  netns: null,
  guest_addr: '10.42.0.2:8888',
  created_at_unix: 100,
  pid: 7,
  memory_limit_mib: null,
  has_branched: false,
  last_branch_memory_path: null,
  branch_count: 0,
};
const WISH = { name: 'dev', snapshotTag: 'py', perChildNetns: false, memoryLimitMib: null };
const RUNNING = created(WISH, SANDBOX);
const SUSPENDED = suspended(RUNNING, { memoryPath: '/s/ws-dev-state/memory.bin', unixSeconds: 200 });

describe('workspace names', () => {
  it('are 1 to 55 characters of the alphabet of tags', () => {
    for (const name of ['a', 'A-b_9', 'x'.repeat(55)]) {
      requireName(name);
      assert.ok(isTag(stateTagOf(name)), name);
    }
    for (const name of ['', 'a.b', 'a/b', '../x', 'ü', 'x'.repeat(65)]) {
      assert.throws(() => {
        requireName(name);
      }, /name must be 1-64 chars, ASCII alnum or dash\/underscore/);
    }
  });

  it('that could not be suspended later are refused with the reason', () => {
    for (const length of [56, 64]) {
      const name = 'x'.repeat(length);
      assert.ok(!isTag(stateTagOf(name)));
      assert.throws(
        () => {
          requireName(name);
        },
        new RegExp(`at most 55 chars.*ws-<name>-state.*${length}`),
      );
    }
  });
});

describe('a workspace', () => {
  it('is created running, with the members of the wire and no others', () => {
    assert.deepEqual(infoOf(RUNNING), {
      id: 'ws-sb-6657e0c0-0000',
      name: 'dev',
      source_snapshot_tag: 'py',
      status: 'running',
      created_at_unix: 100,
      last_active_unix: 100,
      live_sandbox_id: 'sb-6657e0c0-0000',
    });
    assert.equal(created(WISH, { ...SANDBOX, id: 'sb-6657e0c0-00001234' }).id, 'ws-sb-6657e0c0-0000');
  });

  it('is suspended without a sandbox, and resumed with another one', () => {
    assert.deepEqual(infoOf(SUSPENDED), {
      id: 'ws-sb-6657e0c0-0000',
      name: 'dev',
      source_snapshot_tag: 'py',
      status: 'suspended',
      created_at_unix: 100,
      last_active_unix: 200,
      current_state_tag: 'ws-dev-state',
      last_branch_memory_path: '/s/ws-dev-state/memory.bin',
    });
    const again = resumed(SUSPENDED, { ...SANDBOX, id: 'sb-2', created_at_unix: 300 });
    assert.deepEqual([again.status, again.live_sandbox_id, again.last_active_unix], ['running', 'sb-2', 300]);
    assert.equal(again.current_state_tag, 'ws-dev-state');
    assert.equal(again.created_at_unix, 100);
  });

  it('remembers what it was created with, without telling', () => {
    const made = created({ ...WISH, perChildNetns: true, memoryLimitMib: 512 }, SANDBOX);
    const parked = suspended(made, { memoryPath: '/m', unixSeconds: 200 });
    const text = JSON.stringify({ workspaces: { dev: parked } });
    const reread = parseState(text).workspaces.get('dev');
    assert.ok(reread);
    assert.deepEqual(wishOf(reread), {
      name: 'dev',
      snapshotTag: 'ws-dev-state',
      perChildNetns: true,
      memoryLimitMib: 512,
    });
    for (const member of ['per_child_netns', 'memory_limit_mib']) assert.ok(!(member in infoOf(reread)));
  });

  it('resumes from its source while it was never suspended', () => {
    assert.equal(wishOf(RUNNING).snapshotTag, 'py');
  });

  it('is suspended only when it runs, and resumed only when it does not', () => {
    assert.equal(requireRunning(RUNNING), SANDBOX.id);
    requireNotRunning(SUSPENDED);
    requireNotRunning({ ...SUSPENDED, status: 'stale' });
    assert.throws(
      () => requireRunning(SUSPENDED),
      /^DomainError: workspace dev is Suspended, not Running - /,
    );
    assert.throws(() => requireRunning({ ...SUSPENDED, status: 'stale' }), /is Stale, not Running - /);
    assert.throws(() => {
      requireNotRunning(RUNNING);
    }, /^DomainError: workspace dev is already Running \(sandbox sb-6657e0c0-0000\)$/);
  });
});

describe('the loss of a sandbox', () => {
  const stateWith = (...workspaces: WorkspaceRecord[]): RegistryState => ({
    snapshots: new Map(),
    sandboxes: new Map([[SANDBOX.id, SANDBOX]]),
    workspaces: new Map(workspaces.map((workspace) => [workspace.name, workspace])),
  });

  it('makes the workspace that ran in it stale, and no other', () => {
    const other = { ...RUNNING, name: 'other', live_sandbox_id: 'sb-other' };
    const draft = stateWith(RUNNING, other, { ...SUSPENDED, name: 'parked' });
    forgetSandboxes(draft, new Set([SANDBOX.id]));
    assert.equal(draft.sandboxes.size, 0);
    assert.deepEqual(draft.workspaces.get('dev'), {
      id: RUNNING.id,
      name: 'dev',
      source_snapshot_tag: 'py',
      status: 'stale',
      created_at_unix: 100,
      last_active_unix: 100,
    });
    assert.deepEqual(draft.workspaces.get('other'), other);
    assert.equal(draft.workspaces.get('parked')?.status, 'suspended');
  });

  it('is also that of a running workspace which names none', () => {
    const { live_sandbox_id: _none, ...lost } = RUNNING;
    assert.ok(_none);
    const draft = stateWith(lost);
    makeStale(draft, () => false);
    assert.equal(draft.workspaces.get('dev')?.status, 'stale');
  });
});
