import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import type { WorkspaceInfo } from '../../../src/modules/registry/domain/records';
import { SimulatedHost } from '../../support/simulated-host';
import { assertClear, type Scenario, sweep } from '../../support/simulated-engine/sweep';
import { until } from '../../support/until';

const REASON =
  /injected fault|registry|VM ended|VM of \S+ (has )?ended|control connection was closed|did not answer|is gone/;
const PATH = '/v1/workspaces/dev';
const STATE = 'ws-dev-state';

describe('a workspace that fails', () => {
  let host: SimulatedHost;
  /** What the guest counts; the state of every suspend is another. */
  let value = 0;
  /** What it counted to when it was suspended last. */
  let parked = 0;
  let diff = false;

  before(async () => {
    host = await SimulatedHost.start();
    await host.snapshot('py');
  });

  after(async () => {
    await host.stop();
  });

  beforeEach(async () => {
    await host.client.send('DELETE', PATH);
    assert.deepEqual(await host.traces(), []);
  });

  const get = (): Promise<WorkspaceInfo> => host.client.json(200, 'GET', PATH);
  const create = (): Promise<WorkspaceInfo> =>
    host.client.json(201, 'POST', '/v1/workspaces', { name: 'dev', snapshot_tag: 'py' });
  const resume = (): Promise<WorkspaceInfo> => host.client.json(200, 'POST', `${PATH}/resume`);
  const suspend = (): Promise<WorkspaceInfo> => host.client.json(200, 'POST', `${PATH}/suspend`, { diff });

  async function evaluate(code: string, at: string): Promise<string | null> {
    const path = `/v1/sandboxes/${(await get()).live_sandbox_id ?? 'none'}/eval`;
    const answer = await host.client.send('POST', path, { json: { code } });
    assert.equal(answer.status, 200, `${at}: ${answer.text}`);
    return (JSON.parse(answer.text) as { result: string | null }).result;
  }

  /** It runs, counts one further than its suspended state, and has such a state. */
  async function prepare(): Promise<string> {
    const found = await host.client.send('GET', PATH);
    if (found.status === 404) await create();
    else if ((await get()).status !== 'running') {
      await resume();
      parked = value;
    }
    if ((await get()).current_state_tag === undefined) {
      await evaluate(`set n ${value}`, 'before');
      await suspend();
      parked = value;
      await resume();
    }
    value += 1;
    diff = value % 2 === 0;
    await evaluate(`set n ${value}`, 'before');
    return '';
  }

  const suspending: Scenario = {
    prepare,
    request: ({ client }, _prepared, signal) =>
      client.send('POST', `${PATH}/suspend`, {
        json: { diff },
        ...(signal === undefined ? {} : { signal }),
      }),
  };

  /** Nothing half-done is left: a snapshot for the source and one for the state, a VM if it runs. */
  async function assertTidy(at: string): Promise<void> {
    const running = (await get()).status === 'running';
    const sandboxes = await host.client.json<{ id: string }[]>(200, 'GET', '/v1/sandboxes');
    assert.equal(sandboxes.length, running ? 1 : 0, at);
    const kept = (await host.traces()).filter((trace) => !trace.startsWith('snapshots/.origins'));
    assert.equal(kept.length, running ? 3 : 0, `${at}: ${kept.join()}`);
    assert.deepEqual((await host.snapshotDirectories()).sort(), ['py', STATE], at);
    const snapshots = await host.client.json<{ tag: string; status: string }[]>(200, 'GET', '/v1/snapshots');
    assert.deepEqual(
      snapshots.map(({ tag, status }) => `${tag} ${status}`),
      ['py ready', `${STATE} ready`],
      at,
    );
  }

  /** Either it runs on and the state before can be had, or it is suspended in its new state; never neither. */
  async function assertOldOrNew(at: string): Promise<void> {
    const workspace = await get();
    assert.match(workspace.status, /^(running|suspended)$/, at);
    await assertTidy(at);
    if (workspace.status === 'suspended') {
      await resume();
      assert.equal(await evaluate('get n', at), `'${value}'`, at);
      parked = value;
      return;
    }
    assert.equal(await evaluate('get n', at), `'${value}'`, at);
    await host.client.json(204, 'DELETE', `/v1/sandboxes/${workspace.live_sandbox_id ?? ''}`);
    const stale = await get();
    assert.deepEqual([stale.status, stale.live_sandbox_id], ['stale', undefined], at);
    await resume();
    assert.equal(await evaluate('get n', at), `'${parked}'`, `the state before is lost: ${at}`);
    await evaluate(`set n ${value}`, at);
  }

  it('to be suspended runs on, with the state before', async () => {
    const hits = await sweep(host, suspending, 'fail', async (visit) => {
      assertClear(visit, REASON);
      const failed = (visit.answer?.status ?? 0) >= 300;
      assert.equal((await get()).status, failed ? 'running' : 'suspended', visit.at);
      // What cannot be removed or resumed now is at the next start.
      if (/^(fs\.rm|fs\.rmdir|vm\.kill|vm\.resume)$/.test(visit.operation.name)) await host.restart();
      await assertOldOrNew(visit.at);
    });
    assert.ok(hits >= 30, `only ${hits} operations were seen`);
  });

  it('to be suspended as the daemon is killed has the old state and a VM, or the new one', async () => {
    await sweep(host, suspending, 'crash', async ({ at }) => {
      await assertOldOrNew(at);
    });
  });

  it('for the first time to be suspended as the daemon is killed has no state, or all of it', async () => {
    const first: Scenario = {
      ...suspending,
      prepare: async () => {
        await host.client.send('DELETE', PATH);
        await create();
        value += 1;
        await evaluate(`set n ${value}`, 'before');
        return '';
      },
    };
    await sweep(host, first, 'crash', async ({ at }) => {
      const { status, current_state_tag: tag } = await get();
      assert.deepEqual(
        [status, tag],
        status === 'running' ? ['running', undefined] : ['suspended', STATE],
        at,
      );
      const directories = (await host.snapshotDirectories()).sort();
      assert.deepEqual(directories, status === 'running' ? ['py'] : ['py', STATE], at);
      if (status === 'suspended') await resume();
      assert.equal(await evaluate('get n', at), `'${value}'`, at);
    });
  });

  it('to keep its client is suspended all the same', async () => {
    await sweep(host, suspending, 'hang', async ({ at }) => {
      await until(async () => (await get()).status === 'suspended' && (await host.traces()).length === 0);
      await assertOldOrNew(at);
    });
  });

  it('as its VM ends in the middle of a suspend is stale, with its last state', async () => {
    await sweep(host, suspending, 'end-vm', async (visit) => {
      assertClear(visit, REASON);
      const suspendedNow = (visit.answer?.status ?? 0) < 300;
      await until(async () => (await get()).status === (suspendedNow ? 'suspended' : 'stale'));
      for (const { id } of await host.client.json<{ id: string }[]>(200, 'GET', '/v1/sandboxes')) {
        await host.client.json(204, 'DELETE', `/v1/sandboxes/${id}`);
      }
      await assertTidy(visit.at);
      await resume();
      if (suspendedNow) parked = value;
      assert.equal(await evaluate('get n', visit.at), `'${parked}'`, visit.at);
      await evaluate(`set n ${value}`, visit.at);
    });
  });

  for (const action of ['fail', 'crash'] as const) {
    it(`to be resumed is as it was (${action})`, async () => {
      const resuming: Scenario = {
        prepare: async () => {
          await prepare();
          await suspend();
          return '';
        },
        request: ({ client }) => client.send('POST', `${PATH}/resume`),
      };
      await sweep(host, resuming, action, async (visit) => {
        assertClear(visit, REASON);
        if (/^(fs\.rm|vm\.kill)$/.test(visit.operation.name)) await host.restart();
        const { status } = await get();
        assert.match(status, /^(running|suspended)$/, visit.at);
        await assertTidy(visit.at);
        if (status !== 'running') await resume();
        assert.equal(await evaluate('get n', visit.at), `'${value}'`, visit.at);
      });
    });

    it(`to be created leaves nothing (${action})`, async () => {
      const creating: Scenario = {
        prepare: async () => {
          await host.client.send('DELETE', PATH);
          return '';
        },
        request: ({ client }) =>
          client.send('POST', '/v1/workspaces', { json: { name: 'dev', snapshot_tag: 'py' } }),
      };
      await sweep(host, creating, action, async (visit) => {
        assertClear(visit, REASON);
        if (/^(fs\.rm|vm\.kill)$/.test(visit.operation.name)) await host.restart();
        const { status } = await host.client.send('GET', PATH);
        if (status === 404) assert.deepEqual(await host.traces(), [], visit.at);
        else assert.equal(await evaluate('5', visit.at), '5', visit.at);
      });
    });

    it(`to be deleted can be deleted again (${action})`, async () => {
      const deleting: Scenario = { prepare, request: ({ client }) => client.send('DELETE', PATH) };
      await sweep(host, deleting, action, async (visit) => {
        assertClear(visit, REASON);
        if (/^(fs\.rm|vm\.kill)$/.test(visit.operation.name)) await host.restart();
        const { status, text } = await host.client.send('DELETE', PATH);
        assert.ok(status === 204 || status === 404, `${visit.at}: ${text}`);
        assert.deepEqual(await host.traces(), [], visit.at);
        assert.deepEqual(await host.snapshotDirectories(), ['py'], visit.at);
      });
    });
  }
});
