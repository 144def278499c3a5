import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { SandboxRecord } from '../../src/modules/registry/domain/records';
import { RealHost } from '../support/real-host';

interface ExecAnswer {
  stdout: string;
  stderr: string;
  exit_code: number;
}

interface EvalAnswer {
  result: string | null;
  error: string | null;
  exit_code: number;
}

describe('a snapshot and its children', () => {
  let host: RealHost;
  let memory: string;

  before(async () => {
    host = await RealHost.start();
    await host.snapshot('py');
    memory = join(host.config.snapshotRoot, 'py', 'memory.bin');
  });

  after(async () => {
    await host.stop();
  });

  const sha256 = async (): Promise<string> =>
    createHash('sha256')
      .update(await readFile(memory))
      .digest('hex');
  const spawn = (n: number): Promise<SandboxRecord[]> =>
    host.client.json(201, 'POST', '/v1/sandboxes', { snapshot_tag: 'py', n });
  const exec = (id: string, ...args: string[]): Promise<ExecAnswer> =>
    host.client.json(200, 'POST', `/v1/sandboxes/${id}/exec`, { args });
  const evaluate = (id: string, code: string): Promise<EvalAnswer> =>
    host.client.json(200, 'POST', `/v1/sandboxes/${id}/eval`, { code });

  it('lists the snapshot as ready, with paths that do not name this place', async () => {
    const [snapshot, ...rest] = await host.client.json<Record<string, unknown>[]>(
      200,
      'GET',
      '/v1/snapshots',
    );
    assert.deepEqual(rest, []);
    assert.deepEqual(Object.keys(snapshot ?? {}), ['tag', 'dir', 'created_at_unix', 'status', 'bootable']);
    assert.equal(snapshot?.['status'], 'ready');
    const manifest = await readFile(join(host.config.snapshotRoot, 'py', 'snapshot.json'), 'utf8');
    assert.ok(!manifest.includes(host.root), 'an absolute path in snapshot.json');
    assert.equal((await stat(memory)).size, 256 * 1024 * 1024);
    assert.deepEqual(await host.traces(), [], 'the build left something');
  });

  it('forks children that have all answered, diverge, and leave the snapshot as it was', async () => {
    const hash = await sha256();
    const children = await spawn(3);
    assert.equal(children.length, 3);
    for (const child of children) {
      assert.deepEqual(Object.keys(child).sort(), [
        'branch_count',
        'created_at_unix',
        'guest_addr',
        'has_branched',
        'id',
        'last_branch_memory_path',
        'memory_limit_mib',
        'netns',
        'pid',
        'snapshot_tag',
      ]);
    }
    const ids = children.map(({ id }) => id);
    await Promise.all(
      ids.map(async (id, index) => {
        assert.deepEqual(await evaluate(id, `mine = ${index}; mine`), {
          result: String(index),
          error: null,
          exit_code: 0,
        });
        assert.equal((await exec(id, 'sh', '-c', `echo ${index} > /root/mine`)).exit_code, 0);
      }),
    );
    for (const [index, id] of ids.entries()) {
      assert.equal((await evaluate(id, 'mine')).result, String(index));
      assert.equal((await exec(id, 'cat', '/root/mine')).stdout, `${index}\n`);
    }
    assert.equal(await sha256(), hash, 'memory.bin changed');
    await Promise.all(ids.map((id) => host.client.json(204, 'DELETE', `/v1/sandboxes/${id}`)));
    assert.deepEqual(await host.traces(), []);
  });

  it('gives every child an identity of its own', async () => {
    const children = await spawn(2);
    const seen = await Promise.all(
      children.map(async ({ id }) => {
        const random = await exec(id, 'sh', '-c', 'head -c 16 /dev/urandom | od -An -tx1');
        const python = await evaluate(id, 'import random; random.random()');
        const hostname = await exec(id, 'hostname');
        const clock = Number((await exec(id, 'date', '+%s')).stdout);
        assert.ok(Math.abs(clock - Date.now() / 1000) < 3, `the clock of ${id} is off: ${clock}`);
        assert.equal(hostname.stdout, `${id}\n`);
        return [random.stdout, python.result];
      }),
    );
    assert.notEqual(seen[0]?.[0], seen[1]?.[0], 'the kernels give the same random bytes');
    assert.notEqual(seen[0]?.[1], seen[1]?.[1], 'the interpreters give the same random numbers');
    await Promise.all(children.map(({ id }) => host.client.json(204, 'DELETE', `/v1/sandboxes/${id}`)));
  });

  it('answers ping, exec and eval as upstream’s clients expect', async () => {
    const [child] = await spawn(1);
    assert.ok(child);
    const { id } = child;
    const pong = await host.client.send('POST', `/v1/sandboxes/${id}/ping`, {
      headers: { 'content-type': 'application/json' },
    });
    assert.equal(pong.status, 200);
    const agent = JSON.parse(pong.text) as Record<string, unknown>;
    assert.equal(agent['pong'], true);
    assert.equal(agent['agent_lang'], 'python');
    assert.equal(agent['warmup_ready'], true);

    assert.deepEqual(await exec(id, 'sh', '-c', 'echo out; echo err >&2; exit 3'), {
      stdout: 'out\n',
      stderr: 'err\n',
      exit_code: 3,
    });
    const killed = await exec(id, 'sh', '-c', 'kill -9 $$');
    assert.equal(killed.exit_code, -9);
    const missing = await exec(id, 'no-such-program');
    assert.equal(missing.exit_code, 1);
    assert.match(missing.stderr, /no-such-program/);
    const late = await host.client.json<ExecAnswer>(200, 'POST', `/v1/sandboxes/${id}/exec`, {
      args: ['sh', '-c', 'echo begun; sleep 60'],
      timeout_secs: 1,
    });
    assert.equal(late.exit_code, 1);
    assert.match(late.stderr, /timeout_secs/);

    assert.deepEqual(await evaluate(id, '1+1'), { result: '2', error: null, exit_code: 0 });
    assert.deepEqual(await evaluate(id, 'x = 5'), { result: null, error: null, exit_code: 0 });
    const failed = await evaluate(id, 'nope');
    assert.deepEqual(failed, { result: null, error: "NameError: name 'nope' is not defined", exit_code: 1 });
    const died = await evaluate(id, 'import os; os._exit(1)');
    assert.equal(died.exit_code, 1);
    assert.equal((await evaluate(id, '2+2')).result, '4');
    assert.equal((await evaluate(id, 'json.dumps([1])')).result, "'[1]'", 'json is not warm');
    await host.client.json(204, 'DELETE', `/v1/sandboxes/${id}`);
    assert.equal(await host.client.error(404, 'DELETE', `/v1/sandboxes/${id}`), `sandbox ${id} not found`);
    assert.equal(await host.client.error(404, 'POST', `/v1/sandboxes/${id}/ping`), `sandbox ${id} not found`);
  });

  it('prewarms children on request', async () => {
    const body = { snapshot_tag: 'py', n: 2, prewarm: true, live_fork: true };
    const children = await host.client.json<SandboxRecord[]>(201, 'POST', '/v1/sandboxes', body);
    for (const { id } of children) {
      assert.equal((await evaluate(id, '1')).result, '1');
      await host.client.json(204, 'DELETE', `/v1/sandboxes/${id}`);
    }
  });

  it('keeps sandboxes over a restart of the daemon, with what they were doing', async () => {
    const [child] = await spawn(1);
    assert.ok(child);
    await evaluate(child.id, 'kept = 42');
    await host.restart();
    assert.deepEqual(await host.client.json(200, 'GET', `/v1/sandboxes/${child.id}`), child);
    assert.equal((await evaluate(child.id, 'kept')).result, '42');
    await host.client.json(204, 'DELETE', `/v1/sandboxes/${child.id}`);
    assert.deepEqual(await host.traces(), []);
  });

  it('shows a VM that ended by itself as dead, and lets it be deleted', async () => {
    const [child] = await spawn(1);
    assert.ok(child?.pid);
    process.kill(child.pid, 'SIGKILL');
    const reason = await host.client.error(500, 'POST', `/v1/sandboxes/${child.id}/exec`, { args: ['true'] });
    assert.match(reason, /^exec: /);
    let record = child;
    while (record.status !== 'dead') record = await host.client.json(200, 'GET', `/v1/sandboxes/${child.id}`);
    assert.equal(record.pid, null);
    await host.client.json(204, 'DELETE', `/v1/sandboxes/${child.id}`);
    assert.deepEqual(await host.traces(), []);
  });
});
