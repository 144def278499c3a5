import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { RegistryService } from '../../src/modules/registry/registry.service';
import { TestApp } from '../support/app';
import { errorOf } from '../support/thing.controller';

/** Chapter 6 of docs/compatibility.md; here what needs no VM. */

const workspace = (name: string, more: object = {}): object => ({
  id: `ws-sb-1-${name}`,
  name,
  source_snapshot_tag: 'py',
  status: 'suspended',
  created_at_unix: 1,
  last_active_unix: 2,
  current_state_tag: `ws-${name}-state`,
  ...more,
});

let app: TestApp;
before(async () => {
  const gone = workspace('gone', { status: 'running', live_sandbox_id: 'sb-1-0000' });
  app = await TestApp.start({
    state: JSON.stringify({ workspaces: { dev: workspace('dev'), gone }, sandboxes: {}, snapshots: {} }),
  });
});
after(async () => {
  await app.close();
});

async function refused(status: number, method: string, path: string, body?: unknown): Promise<string> {
  const answer = body === undefined ? await app.send(method, path) : await app.sendJson(method, path, body);
  assert.equal(answer.status, status, `${method} ${path} ${JSON.stringify(body)}: ${answer.text}`);
  return errorOf(answer);
}

const create = (status: number, name: string, snapshotTag = 'unknown'): Promise<string> =>
  refused(status, 'POST', '/v1/workspaces', { name, snapshot_tag: snapshotTag });

describe('6 workspaces', () => {
  it('are listed by name, and what is not set is absent', async () => {
    const listed = (await app.send('GET', '/v1/workspaces')).json() as { name: string }[];
    assert.deepEqual(
      listed.map(({ name }) => name),
      ['dev', 'gone'],
    );
    assert.deepEqual(listed[0], workspace('dev'));
    assert.deepEqual((await app.send('GET', '/v1/workspaces/dev')).json(), workspace('dev'));
  });

  it('are stale after a start without their VM, and name no sandbox then', async () => {
    const record = (await app.send('GET', '/v1/workspaces/gone')).json() as Record<string, unknown>;
    assert.equal(record['status'], 'stale');
    assert.ok(!('live_sandbox_id' in record));
  });

  it('are refused for a bad name or tag, in this order', async () => {
    for (const name of ['', 'a.b', '../x', 'ä', 'a'.repeat(65)]) {
      assert.match(await create(400, name, 'a.b'), /name/);
    }
    assert.match(await create(400, 'new', 'a.b'), /snapshot_tag/);
    assert.equal(await create(409, 'dev'), 'workspace dev already exists; DELETE first');
  });

  it('FIX: a name that could not be suspended later is refused at once', async () => {
    assert.match(await create(400, 'a'.repeat(56)), /name.*55/);
    await create(404, 'a'.repeat(55));
  });

  it('FIX: an unknown snapshot is 404, and no workspace is made', async () => {
    assert.match(await create(404, 'new', 'unknown'), /unknown/);
    await refused(404, 'GET', '/v1/workspaces/new');
  });

  it('that are unknown are 404 for every call', async () => {
    for (const [method, what, body] of [
      ['GET', '', undefined],
      ['DELETE', '', undefined],
      ['POST', '/suspend', {}],
      ['POST', '/suspend', { diff: true }],
      ['POST', '/resume', undefined],
      ['POST', '/resume', {}],
    ] as const) {
      assert.equal(
        await refused(404, method, `/v1/workspaces/nope${what}`, body),
        'workspace nope not found',
      );
    }
  });

  it('are suspended only while they run, and resumed only while they do not', async () => {
    assert.match(
      await refused(400, 'POST', '/v1/workspaces/dev/suspend', {}),
      /^workspace dev is Suspended, not Running/,
    );
    assert.match(
      await refused(400, 'POST', '/v1/workspaces/gone/suspend', {}),
      /^workspace gone is Stale, not Running/,
    );
    await app.nest.get(RegistryService).mutate((draft) => {
      const dev = draft.workspaces.get('dev');
      assert.ok(dev);
      draft.workspaces.set('dev', { ...dev, status: 'running', live_sandbox_id: 'sb-1-0001' });
    });
    assert.equal(
      await refused(400, 'POST', '/v1/workspaces/dev/resume'),
      'workspace dev is already Running (sandbox sb-1-0001)',
    );
  });

  it('whose state and snapshot are gone cannot be resumed, and are still there', async () => {
    await refused(404, 'POST', '/v1/workspaces/gone/resume');
    assert.equal((await app.send('GET', '/v1/workspaces/gone')).status, 200);
    assert.equal((await app.send('DELETE', '/v1/workspaces/gone')).status, 204);
    await refused(404, 'DELETE', '/v1/workspaces/gone');
  });
});
