import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { RegistryService } from '../../src/modules/registry/registry.service';
import { ApiDocument } from '../support/api-document';
import { type Answer, TestApp } from '../support/app';
import { errorOf } from '../support/thing.controller';

/** What clients of upstream's 0.5 rely on, by the section of docs/compatibility.md; here what needs no VM. */

const DEAD = 'sb-6657e0c0-00ff';

let app: TestApp;
let api: ApiDocument;
before(async () => {
  app = await TestApp.start();
  api = await ApiDocument.load();
  await app.nest.get(RegistryService).mutate((draft) => {
    draft.sandboxes.set(DEAD, {
      id: DEAD,
      snapshot_tag: 'py',
      netns: null,
      guest_addr: '10.42.0.2:8888',
      created_at_unix: 1,
      pid: null,
      memory_limit_mib: null,
      has_branched: false,
      last_branch_memory_path: null,
      branch_count: 0,
      status: 'dead',
      status_reason: 'it was killed',
    });
  });
});
after(async () => {
  await app.close();
});

const post = (path: string, body: unknown): Promise<Answer> => app.sendJson('POST', path, body);

/** The text of an error with this status. */
async function refused(status: number, method: string, path: string, body?: unknown): Promise<string> {
  const answer = body === undefined ? await app.send(method, path) : await app.sendJson(method, path, body);
  assert.equal(answer.status, status, `${method} ${path} ${JSON.stringify(body)}: ${answer.text}`);
  return errorOf(answer);
}

/** A snapshot directory with these files and, as snapshot.json, this parent. */
async function snapshotOnDisk(tag: string, files: readonly string[], parent?: string): Promise<void> {
  const dir = join(app.config.snapshotRoot, tag);
  await mkdir(dir, { recursive: true });
  for (const file of files) await writeFile(join(dir, file), 'x');
  if (parent === undefined) return;
  const metadata = { vmstate: 'vmstate', memory: 'memory.bin', parent_tag: parent };
  await writeFile(join(dir, 'snapshot.json'), JSON.stringify(metadata));
}

describe('2 HTTP conventions', () => {
  it('2.1 MUST: routes without a body take any content type and body, or none', async () => {
    for (const operation of api.operations) {
      if (operation.method === 'GET' || operation.requestBody !== undefined) continue;
      const path = api.pathOf(operation, { tag: 'gone', id: 'gone', name: 'gone' });
      const json = { 'content-type': 'application/json' };
      const framed = (body: string): Record<string, string> => ({
        ...json,
        'content-length': String(body.length),
      });
      const answers = [
        await app.send(operation.method, path),
        await app.send(operation.method, path, { headers: json }),
        await app.send(operation.method, path, { headers: framed(''), body: '' }),
        await app.send(operation.method, path, { headers: framed('{}'), body: '{}' }),
        await app.send(operation.method, path, { headers: framed('{broken'), body: '{broken' }),
        await app.send(operation.method, path, { headers: { 'content-type': 'text/plain' } }),
      ];
      for (const answer of answers) {
        assert.equal(answer.status, 404, `${operation.method} ${path}: ${answer.text}`);
        errorOf(answer);
      }
    }
    for (const path of ['/v1/snapshots', '/v1/sandboxes', '/version']) {
      const answer = await app.send('GET', path, { headers: { 'content-type': 'application/json' } });
      assert.equal(answer.status, 200);
    }
  });

  it('5: there is no GET of one snapshot', async () => {
    const answer = await app.send('GET', '/v1/snapshots/py');
    assert.deepEqual([answer.status, answer.headers.allow, answer.text], [405, 'DELETE', '']);
  });
});

describe('4 identifiers and limits', () => {
  it('refuses tags outside their alphabet and length wherever there is one', async () => {
    const bad = ['', 'a.b', 'ä', 'a b', 'a/b', '..', 'a'.repeat(65), 'a\n'];
    for (const tag of bad) {
      await refused(400, 'POST', '/v1/sandboxes', { snapshot_tag: tag });
      await refused(400, 'POST', '/v1/snapshots', { tag, image: 'python' });
      await refused(400, 'POST', `/v1/sandboxes/${DEAD}/branch`, { tag });
      await refused(400, 'POST', '/v1/snapshots/py/compact', { to: tag });
      if (tag === '') continue;
      const path = `/v1/snapshots/${encodeURIComponent(tag)}`;
      await refused(400, 'DELETE', path);
      await refused(400, 'GET', `${path}/info`);
      await refused(400, 'POST', `${path}/compact`, { to: 'x' });
    }
    for (const tag of ['a', '-', 'A_z-0', 'a'.repeat(64)]) {
      await refused(404, 'POST', '/v1/sandboxes', { snapshot_tag: tag });
      await refused(404, 'DELETE', `/v1/snapshots/${tag}`);
    }
  });

  it('holds n to 1..1000, before it looks for the snapshot', async () => {
    const spawn = (n: unknown, status: number): Promise<string> =>
      refused(status, 'POST', '/v1/sandboxes', `{"snapshot_tag":"gone","n":${String(n)}}`);
    assert.equal(await spawn(0, 400), 'n must be ≥ 1');
    assert.match(await spawn(1001, 400), /^n must be/);
    assert.match(await spawn('18446744073709551615', 400), /^n must be/);
    await spawn(1, 404);
    await spawn(1000, 404);
    for (const n of ['18446744073709551616', '-1', '1.5', '1e3', '"1"', 'null']) await spawn(n, 422);
  });

  it('FIX: a time limit of an exec past its cap is refused, never a failure', async () => {
    const exec = (seconds: string, status: number): Promise<string> =>
      refused(status, 'POST', `/v1/sandboxes/${DEAD}/exec`, `{"args":["true"],"timeout_secs":${seconds}}`);
    for (const seconds of ['86401', '9007199254740993', '18446744073709551615']) {
      assert.match(await exec(seconds, 400), /timeout_secs must be/);
    }
    assert.match(await exec('86400', 500), /^exec: /);
    await exec('18446744073709551616', 422);
  });

  it('FIX: a memory limit of 0 is refused', async () => {
    const spawn = (limit: unknown): object => ({ snapshot_tag: 'gone', memory_limit_mib: limit });
    assert.match(await refused(400, 'POST', '/v1/sandboxes', spawn(0)), /memory_limit_mib/);
    await refused(404, 'POST', '/v1/sandboxes', spawn(1));
    await refused(404, 'POST', '/v1/sandboxes', spawn(null));
  });

  it('looks sandboxes up as their path says: unknown ones are 404, however odd', async () => {
    for (const id of ['gone', 'a%2Fb', '%20', 'x'.repeat(5000), '%F0%9F%90%8D']) {
      await refused(404, 'GET', `/v1/sandboxes/${id}`);
      await refused(404, 'DELETE', `/v1/sandboxes/${id}`);
    }
  });
});

describe('5 routes', () => {
  it('5.2 MUST: a directory with only vmstate is failed, not bootable, and the missing file is named', async () => {
    await snapshotOnDisk('half', ['vmstate']);
    const listed = (await app.send('GET', '/v1/snapshots')).json() as Record<string, unknown>[];
    const half = listed.find(({ tag }) => tag === 'half');
    assert.deepEqual([half?.['status'], half?.['bootable']], ['failed', false]);
    assert.match(String(half?.['warning']), /memory.*memory\.bin/);
    assert.match(await refused(409, 'POST', '/v1/sandboxes', { snapshot_tag: 'half' }), /half.*memory\.bin/);
    assert.equal((await app.send('DELETE', '/v1/snapshots/half')).status, 204);
  });

  it('5.4 MUST: a snapshot with dependents stays, and the refusal names them and the two ways out', async () => {
    await snapshotOnDisk('base', ['vmstate', 'memory.bin']);
    await snapshotOnDisk('child-b', ['vmstate', 'memory.bin'], 'base');
    await snapshotOnDisk('child-a', ['vmstate', 'memory.bin'], 'base');
    await snapshotOnDisk('leaf', ['vmstate', 'memory.bin'], 'child-a');
    const error = await refused(409, 'DELETE', '/v1/snapshots/base');
    for (const word of ['child-a', 'child-b', '?cascade=true', '?force=true'])
      assert.ok(error.includes(word), `${word} is missing: ${error}`);
    const tags = async (): Promise<unknown[]> =>
      ((await app.send('GET', '/v1/snapshots')).json() as { tag: string }[]).map(({ tag }) => tag);
    assert.deepEqual(await tags(), ['base', 'child-a', 'child-b', 'leaf']);
    await refused(400, 'DELETE', '/v1/snapshots/base?cascade=true&force=true');
    assert.deepEqual(await tags(), ['base', 'child-a', 'child-b', 'leaf']);
    assert.equal((await app.send('DELETE', '/v1/snapshots/child-a?force=true')).status, 204);
    assert.deepEqual(await tags(), ['base', 'child-b', 'leaf']);
    assert.equal((await app.send('DELETE', '/v1/snapshots/base?cascade=true')).status, 204);
    assert.deepEqual(await tags(), ['leaf']);
    assert.equal((await app.send('DELETE', '/v1/snapshots/leaf')).status, 204);
  });

  it('5.5: a parent that is missing, or a circle, is 500', async () => {
    await snapshotOnDisk('orphan', ['vmstate', 'memory.bin'], 'nobody');
    await snapshotOnDisk('yin', ['vmstate', 'memory.bin'], 'yang');
    await snapshotOnDisk('yang', ['vmstate', 'memory.bin'], 'yin');
    assert.match(await refused(500, 'GET', '/v1/snapshots/orphan/info'), /nobody/);
    await refused(500, 'GET', '/v1/snapshots/yin/info');
    await refused(404, 'GET', '/v1/snapshots/gone/info');
    assert.equal((await app.send('DELETE', '/v1/snapshots/yin?cascade=true')).status, 204);
    assert.equal((await app.send('DELETE', '/v1/snapshots/orphan')).status, 204);
  });

  it('5.6 FIX: compaction checks both tags in order, and an unknown source is 404', async () => {
    const compact = (tag: string, to: string, status: number): Promise<string> =>
      refused(status, 'POST', `/v1/snapshots/${tag}/compact`, { to });
    assert.match(await compact('a.b', 'a.b', 400), /^tag must be/);
    assert.match(await compact('gone', 'a.b', 400), /^to must be/);
    assert.equal(await compact('gone', 'gone', 400), 'compact target tag must differ from source tag');
    await snapshotOnDisk('there', ['vmstate']);
    await compact('gone', 'there', 409);
    assert.match(await compact('gone', 'new', 404), /gone/);
    assert.equal((await app.send('DELETE', '/v1/snapshots/there')).status, 204);
  });

  it('5.7 MUST: an unreachable guest is a 5xx, never a 4xx, so that clients go on polling', async () => {
    assert.match(await refused(500, 'POST', `/v1/sandboxes/${DEAD}/ping`), /^ping: /);
    assert.match(await refused(500, 'POST', `/v1/sandboxes/${DEAD}/exec`, { args: ['true'] }), /^exec: /);
    assert.match(await refused(500, 'POST', `/v1/sandboxes/${DEAD}/eval`, { code: '1' }), /^eval: /);
  });

  it('5.8 FIX: a sandbox whose VM died is shown with its ten members, and as dead', async () => {
    const record = (await app.send('GET', `/v1/sandboxes/${DEAD}`)).json() as Record<string, unknown>;
    const { status, status_reason: reason, ...ten } = record;
    assert.deepEqual([status, reason, ten['pid']], ['dead', 'it was killed', null]);
    assert.equal(Object.keys(ten).length, 10);
  });

  it('5.10: an unknown sandbox comes before an empty args', async () => {
    assert.equal(
      await refused(404, 'POST', '/v1/sandboxes/gone/exec', { args: [] }),
      'sandbox gone not found',
    );
    assert.equal(
      await refused(400, 'POST', `/v1/sandboxes/${DEAD}/exec`, { args: [] }),
      'args must contain at least one element',
    );
  });
});

describe('5.12 BRANCH', () => {
  const branch = (id: string, body: unknown): Promise<Answer> => post(`/v1/sandboxes/${id}/branch`, body);

  it('contradictions are 400 for an unknown sandbox, and what is right is 404', async () => {
    const contradictions = [
      { mode: 'full', diff: true },
      { mode: 'diff', live: true },
      { diff: true, live: true },
      { measure_diff: true, diff: true },
      { measure_diff: true, mode: 'live' },
      { wait: false },
      { wait: false, mode: 'diff' },
    ];
    for (const body of contradictions) {
      const answer = await branch('gone', body);
      assert.equal(answer.status, 400, JSON.stringify(body));
      errorOf(answer);
    }
    const right = [
      {},
      { mode: 'full' },
      { mode: 'diff' },
      { mode: 'live' },
      { mode: null, tag: null, parent_tag: null },
      { live: true, wait: false },
      { mode: 'live', wait: false },
      { measure_diff: true },
      { mode: 'full', diff: false, live: false },
    ];
    for (const body of right) {
      const answer = await branch('gone', body);
      assert.equal(answer.status, 404, JSON.stringify(body));
      assert.equal(errorOf(answer), 'sandbox gone not found');
    }
  });

  it('an odd or long id without a tag is 400, as no tag can be made of it', async () => {
    for (const id of ['a%2Fb', 'x'.repeat(65), '%20']) assert.equal((await branch(id, {})).status, 400);
  });

  it('a tag that is taken comes before an unknown sandbox', async () => {
    await snapshotOnDisk('taken', ['vmstate']);
    const error = await refused(409, 'POST', '/v1/sandboxes/gone/branch', { tag: 'taken' });
    assert.match(error, /snapshot taken already exists; DELETE first/);
    assert.equal((await app.send('DELETE', '/v1/snapshots/taken')).status, 204);
  });

  it('parent_tag must be what the sandbox was forked from, and needs diff', async () => {
    const other = await refused(400, 'POST', `/v1/sandboxes/${DEAD}/branch`, {
      mode: 'diff',
      parent_tag: 'other',
    });
    assert.ok(other.includes('other') && other.includes('py'), other);
    const full = await refused(400, 'POST', `/v1/sandboxes/${DEAD}/branch`, { parent_tag: 'py' });
    assert.match(full, /parent_tag.*diff/);
  });

  it('3.1 FIX: one that fails does not count, and leaves nothing', async () => {
    const error = await refused(500, 'POST', `/v1/sandboxes/${DEAD}/branch`, { tag: 'never' });
    assert.match(error, /^branch: /);
    const record = (await app.send('GET', `/v1/sandboxes/${DEAD}`)).json() as Record<string, unknown>;
    assert.deepEqual([record['has_branched'], record['branch_count']], [false, 0]);
    assert.deepEqual((await app.send('GET', '/v1/snapshots')).json(), []);
  });
});

describe('8.3 reconciliation', () => {
  it('FIX: a pid that belongs to another process now is no sandbox, and that process is left alone', async () => {
    const sandbox = {
      id: 'sb-1-0000',
      snapshot_tag: 'py',
      netns: null,
      guest_addr: '10.42.0.2:8888',
      created_at_unix: 1,
      pid: process.pid,
      memory_limit_mib: null,
    };
    const later = await TestApp.start({
      state: JSON.stringify({ snapshots: {}, sandboxes: { [sandbox.id]: sandbox }, workspaces: {} }),
    });
    try {
      assert.deepEqual((await later.send('GET', '/v1/sandboxes')).json(), []);
      assert.equal((await later.send('DELETE', `/v1/sandboxes/${sandbox.id}`)).status, 404);
    } finally {
      await later.close();
    }
  });
});
