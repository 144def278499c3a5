import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { SandboxRecord } from '../../src/modules/registry/domain/records';
import { SimulatedHost } from '../support/simulated-host';

describe('a host that is full', () => {
  let host: SimulatedHost;
  const ask = (n: number): ReturnType<typeof host.client.send> =>
    host.client.send('POST', '/v1/sandboxes', { json: { snapshot_tag: 'py', n } });
  const list = (): Promise<SandboxRecord[]> => host.client.json(200, 'GET', '/v1/sandboxes');

  before(async () => {
    host = await SimulatedHost.start({ maxSandboxes: 4 });
    await host.snapshot('py');
  });
  after(() => host.stop());

  it('answers 503 with Retry-After, and nothing was started', async () => {
    assert.equal((await ask(3)).status, 201);
    const { status, headers, text } = await ask(2);
    assert.equal(status, 503);
    assert.equal(headers['retry-after'], '5');
    assert.match(text, /may have 4 sandboxes \(--max-sandboxes\): 3 run or are being started, and 2 more/);
    assert.equal((await host.vmProcesses()).length, 3);
  });

  it('takes new ones when others have gone', async () => {
    const [first] = await list();
    await host.client.json(204, 'DELETE', `/v1/sandboxes/${first?.id ?? ''}`);
    assert.equal((await ask(2)).status, 201);
    assert.equal((await ask(1)).status, 503);
  });

  it('counts what the daemon before it had started', async () => {
    await host.restart();
    assert.equal((await ask(1)).status, 503);
  });

  it('lets only as many in as it has room for, of many that ask at once', async () => {
    for (const { id } of await list()) await host.client.json(204, 'DELETE', `/v1/sandboxes/${id}`);
    const answers = await Promise.all(Array.from({ length: 8 }, () => ask(1)));
    assert.equal(answers.filter(({ status }) => status === 201).length, 4);
    assert.equal(answers.filter(({ status }) => status === 503).length, 4);
    assert.equal((await list()).length, 4);
    const metrics = (await host.client.send('GET', '/metrics')).text;
    assert.match(metrics, /^forkd_admission_refusals_total [1-9]/m);
  });
});
