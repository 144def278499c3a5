import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { SandboxRecord } from '../../src/modules/registry/domain/records';
import { SimulatedHost } from '../support/simulated-host';

/** What clients of upstream's 0.5 rely on, where a guest answers; the VMs are simulated, the wire is not. */
describe('answers of a guest', () => {
  let host: SimulatedHost;
  let id: string;

  before(async () => {
    host = await SimulatedHost.start();
    await host.snapshot('py');
    [id = ''] = (await spawn({})).map((child) => child.id);
  });

  after(async () => {
    await host.stop();
  });

  const spawn = (body: object): Promise<SandboxRecord[]> =>
    host.client.json(201, 'POST', '/v1/sandboxes', { snapshot_tag: 'py', ...body });
  const ask = (what: string, body?: object, of = id): Promise<Record<string, unknown>> =>
    host.client.json(200, 'POST', `/v1/sandboxes/${of}/${what}`, body);

  it('3.5: exec and eval have exactly their three members, whatever happens', async () => {
    assert.deepEqual(await ask('exec', { args: ['echo', 'a', 'b'] }), {
      stdout: 'a b\n',
      stderr: '',
      exit_code: 0,
    });
    assert.deepEqual(await ask('eval', { code: '4' }), { result: '4', error: null, exit_code: 0 });
    assert.deepEqual(await ask('eval', { code: 'nonsense' }), {
      result: null,
      error: 'SyntaxError: nonsense',
      exit_code: 1,
    });
  });

  it('5.10 FIX: why a program could not run is in stderr', async () => {
    assert.deepEqual(await ask('exec', { args: ['no-such-program'] }), {
      stdout: '',
      stderr: 'no-such-program: no such program\n',
      exit_code: 1,
    });
  });

  it('5.11 FIX: the text that a runtime gives for its result is in `result`, JSON as well', async () => {
    await ask('eval', { code: 'set a b' });
    const { result, error } = await ask('eval', { code: 'list' });
    assert.deepEqual([JSON.parse(String(result)), error], [[['a', 'b']], null]);
  });

  it('5.9: a ping is the agent’s own object', async () => {
    assert.deepEqual(await ask('ping'), {
      pong: true,
      pid: 1,
      agent_lang: 'python',
      numpy_version: 'not-installed',
      warmup_ready: true,
    });
  });

  it('8.4 FIX: prewarmed batches at the same moment do not mix', async () => {
    const batches = await Promise.all([0, 1, 2].map(() => spawn({ n: 3, prewarm: true })));
    const children = batches.flat();
    assert.equal(new Set(children.map((child) => child.id)).size, 9);
    for (const child of children) {
      const { stdout } = await ask('exec', { args: ['hostname'] }, child.id);
      assert.equal(stdout, `${child.id}\n`);
    }
    for (const child of children) await host.client.json(204, 'DELETE', `/v1/sandboxes/${child.id}`);
  });
});
