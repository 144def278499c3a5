import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { RegistryService } from '../../../src/modules/registry/registry.service';
import { type Sample, samplesIn, valueOf } from '../../support/exposition';
import { SimulatedHost } from '../../support/simulated-host';
import { until } from '../../support/until';

let host: SimulatedHost;
beforeEach(async () => {
  host = await SimulatedHost.start();
});
afterEach(async () => {
  await host.stop();
});

const scrape = async (): Promise<Sample[]> => samplesIn((await host.client.send('GET', '/metrics')).text);
const spawn = (n: number): Promise<{ id: string }[]> =>
  host.client.json<{ id: string }[]>(201, 'POST', '/v1/sandboxes', { snapshot_tag: 'py', n, prewarm: true });

describe('the metrics of what sandboxes go through', () => {
  it('have each phase of spawn, branch, suspend and build', async () => {
    await host.snapshot('py');
    const [child] = await spawn(3);
    await host.client.json(201, 'POST', `/v1/sandboxes/${child?.id ?? ''}/branch`, { tag: 'b' });
    await host.client.json(201, 'POST', '/v1/workspaces', { name: 'dev', snapshot_tag: 'py' });
    await host.client.json(200, 'POST', '/v1/workspaces/dev/suspend', {});
    const samples = await scrape();
    const count = (operation: string, phase: string): number | undefined =>
      valueOf(samples, 'forkd_operation_phase_seconds_count', { operation, phase });
    // Per request, and per child: 3 asked for, 1 of the workspace.
    for (const phase of ['open', 'register']) assert.equal(count('spawn', phase), 2, phase);
    for (const phase of ['queue', 'engine_start', 'handshake']) assert.equal(count('spawn', phase), 4, phase);
    assert.equal(count('spawn', 'prewarm'), 3);
    for (const operation of ['build', 'branch', 'suspend']) {
      for (const phase of ['prepare', 'pause', 'finish']) assert.equal(count(operation, phase), 1, operation);
    }
    assert.equal(count('branch', 'nonsense'), undefined);
  });

  it('count sandboxes by state and snapshot, and deaths by cause', async () => {
    await host.snapshot('py');
    await spawn(3);
    assert.equal(valueOf(await scrape(), 'forkd_sandboxes', { state: 'running', snapshot: 'py' }), 3);
    const [first, second] = host.world.processes();
    first?.kill();
    second?.exit({ code: 0, signal: null, lastWords: '' });
    await until(async () => valueOf(await scrape(), 'forkd_sandboxes', { state: 'dead' }) === 2);
    const samples = await scrape();
    assert.equal(valueOf(samples, 'forkd_sandboxes', { state: 'running', snapshot: 'py' }), 1);
    assert.equal(valueOf(samples, 'forkd_sandbox_deaths_total', { cause: 'killed' }), 1);
    assert.equal(valueOf(samples, 'forkd_sandbox_deaths_total', { cause: 'exited' }), 1);
  });

  it('count no death for what was deleted', async () => {
    await host.snapshot('py');
    for (const { id } of await spawn(2)) await host.client.json(204, 'DELETE', `/v1/sandboxes/${id}`);
    assert.equal(valueOf(await scrape(), 'forkd_sandbox_deaths_total'), undefined);
  });

  it('tell what the start took over and what was lost', async () => {
    await host.snapshot('py');
    const [kept, lost] = await spawn(2);
    const process = host.world.processes().find(({ runDir }) => runDir.endsWith(lost?.id ?? ''));
    const restarted = host.crash();
    process?.kill();
    await restarted;
    const samples = await scrape();
    const result = (of: string): number | undefined =>
      valueOf(samples, 'forkd_adoption_results', { result: of });
    assert.deepEqual([result('adopted'), result('lost'), result('killed')], [1, 1, 0]);
    assert.ok((valueOf(samples, 'forkd_adoption_seconds') ?? 0) > 0);
    assert.equal(valueOf(samples, 'forkd_sandboxes_active'), 1);
    await host.client.json(204, 'DELETE', `/v1/sandboxes/${kept?.id ?? ''}`);
  });

  it('time calls to the guest: a program that fails is answered, a guest that is gone is not', async () => {
    await host.snapshot('py');
    const [child] = await spawn(1);
    const path = `/v1/sandboxes/${child?.id ?? ''}`;
    await host.client.send('POST', `${path}/exec`, { json: { args: ['false'] } });
    await host.client.send('POST', `${path}/eval`, { json: { code: '1+1' } });
    host.world.processes()[0]?.guest.disconnect();
    await host.client.send('POST', `${path}/ping`);
    const samples = await scrape();
    const count = (call: string): number =>
      samples
        .filter(
          ({ name, labels }) => name === 'forkd_guest_call_duration_seconds_count' && labels.call === call,
        )
        .reduce((sum, { value }) => sum + value, 0);
    assert.deepEqual([count('exec'), count('eval'), count('ping')], [1, 1, 1]);
    assert.equal(
      valueOf(samples, 'forkd_guest_call_duration_seconds_count', { call: 'exec', outcome: 'ok' }),
      1,
    );
  });

  it('tell what snapshots take on disk', async () => {
    await host.snapshot('py');
    const samples = await scrape();
    assert.ok((valueOf(samples, 'forkd_snapshot_disk_bytes', { snapshot: 'py' }) ?? 0) > 0);
    assert.ok((valueOf(samples, 'forkd_filesystem_avail_bytes', { place: 'snapshots' }) ?? 0) > 0);
    assert.equal(valueOf(samples, 'forkd_snapshots', { status: 'ready' }), 1);
  });

  it('count the writes of the registry, failed ones apart', async () => {
    await host.snapshot('py');
    const before = valueOf(await scrape(), 'forkd_registry_writes_total', { result: 'ok' }) ?? 0;
    const registry = host.app.get(RegistryService, { strict: false });
    await registry.mutate((draft) => draft.snapshots.delete('py'));
    const samples = await scrape();
    assert.equal(valueOf(samples, 'forkd_registry_writes_total', { result: 'ok' }), before + 1);
    assert.equal(valueOf(samples, 'forkd_registry_writes_total', { result: 'failed' }), 0);
    assert.equal(valueOf(samples, 'forkd_registry_write_duration_seconds_count'), before + 1);
  });

  it('stay bounded however many snapshots there are', async () => {
    const registry = host.app.get(RegistryService, { strict: false });
    await registry.mutate((draft) => {
      for (let index = 0; index < 300; index++) {
        const id = `sb-${index}`;
        draft.sandboxes.set(id, {
          id,
          snapshot_tag: `tag-${index}`,
          netns: null,
          guest_addr: '10.42.0.2:8888',
          created_at_unix: 1,
          pid: null,
          memory_limit_mib: null,
          has_branched: false,
          last_branch_memory_path: null,
          branch_count: 0,
        });
      }
    });
    const series = (await scrape()).filter(({ name }) => name === 'forkd_sandboxes');
    assert.equal(series.length, 51);
    assert.equal(
      series.reduce((sum, { value }) => sum + value, 0),
      300,
    );
    await registry.mutate((draft) => {
      draft.sandboxes.clear();
    });
  });
});
