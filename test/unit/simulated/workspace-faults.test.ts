import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { SimulatedHost } from '../../support/simulated-host';
import { assertClear, type Scenario, sweep } from '../../support/simulated-engine/sweep';

interface Workspace {
  readonly status: string;
  readonly live_sandbox_id?: string;
}

const PATH = '/v1/workspaces/w';
const REASON = /injected fault|registry|VM of \S+ (has )?ended|VM ended|control connection|did not answer/;

describe('a workspace', () => {
  let host: SimulatedHost;
  let value = 0;

  before(async () => {
    host = await SimulatedHost.start();
    await host.snapshot('py');
    await host.client.json(201, 'POST', '/v1/workspaces', { name: 'w', snapshot_tag: 'py' });
  });

  after(async () => {
    await host.stop();
  });

  const get = (): Promise<Workspace> => host.client.json<Workspace>(200, 'GET', PATH);

  async function evaluate(code: string, at: string): Promise<string | null> {
    const { live_sandbox_id: id = '' } = await get();
    const answer = await host.client.send('POST', `/v1/sandboxes/${id}/eval`, { json: { code } });
    assert.equal(answer.status, 200, `${at}: ${answer.text}`);
    return (JSON.parse(answer.text) as { result: string | null }).result;
  }

  async function makeRunning(): Promise<void> {
    if ((await get()).status !== 'running') await host.client.json(200, 'POST', `${PATH}/resume`, {});
  }

  /** Each time another state, so that an old one shows. */
  async function change(): Promise<string> {
    await makeRunning();
    value += 1;
    await evaluate(`set n ${value}`, 'before');
    return '';
  }

  /** It runs or is suspended, with the state it had, and nothing else is there. */
  async function assertKept(at: string): Promise<void> {
    const { status } = await get();
    assert.ok(status === 'running' || status === 'suspended', `${status} ${at}`);
    const own = status === 'running' ? 3 : 0;
    const traces = await host.traces();
    assert.equal(traces.filter((trace) => !trace.includes('.origins')).length, own, `${traces.join()} ${at}`);
    const directories = (await host.snapshotDirectories()).filter((tag) => tag !== 'ws-w-state');
    assert.deepEqual(directories, ['py'], at);
    for (const { status: each, tag } of await host.client.json<{ status: string; tag: string }[]>(
      200,
      'GET',
      '/v1/snapshots',
    )) {
      assert.equal(each, 'ready', `${tag} ${at}`);
    }
    await makeRunning();
    assert.equal(await evaluate('get n', at), `'${value}'`, at);
  }

  const suspendAs = (diff: boolean): Scenario => ({
    prepare: change,
    request: ({ client }) => client.send('POST', `${PATH}/suspend`, { json: { diff } }),
  });
  const resume: Scenario = {
    prepare: async () => {
      await change();
      await host.client.json(200, 'POST', `${PATH}/suspend`, { diff: true });
      return '';
    },
    request: ({ client }) => client.send('POST', `${PATH}/resume`, { json: {} }),
  };
  const scenarios: Record<string, Scenario> = {
    'suspended in full': suspendAs(false),
    'suspended by diff': suspendAs(true),
    resumed: resume,
  };

  for (const [what, scenario] of Object.entries(scenarios)) {
    it(`that is ${what} keeps its state wherever something fails`, async () => {
      const hits = await sweep(host, scenario, 'fail', async (visit) => {
        assertClear(visit, REASON);
        // What could not be removed, or let run on, is for the next start.
        if (/^(fs\.rm|vm\.(resume|kill))$/.test(visit.operation.name)) await host.restart();
        await assertKept(visit.at);
      });
      assert.ok(hits >= 15, `only ${hits} operations were seen`);
    });

    it(`that is ${what} keeps its state when the daemon is killed at any moment`, async () => {
      await sweep(host, scenario, 'crash', async ({ at }) => {
        await assertKept(at);
      });
    });
  }
});
