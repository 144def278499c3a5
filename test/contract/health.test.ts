import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { MetricsService } from '../../src/modules/metrics/metrics.service';
import { RegistryService } from '../../src/modules/registry/registry.service';
import { TestApp } from '../support/app';

let app: TestApp;
before(async () => {
  app = await TestApp.start({ settings: { branchConcurrency: 7 } });
});
after(async () => {
  await app.close();
});

describe('GET /healthz', () => {
  it('says ok, with and without a trailing slash', async () => {
    for (const path of ['/healthz', '/healthz/']) {
      const answer = await app.send('GET', path);
      assert.deepEqual([answer.status, answer.text], [200, '{"ok":true}']);
      assert.equal(answer.headers['content-type'], 'application/json');
    }
  });
});

describe('GET /version', () => {
  it("gives the package's version and the API's", async () => {
    const manifest = JSON.parse(await readFile(join(process.cwd(), 'package.json'), 'utf8')) as {
      version: string;
    };
    assert.deepEqual((await app.send('GET', '/version')).json(), { version: manifest.version, api: 'v1' });
  });
});

describe('GET /metrics', () => {
  const samples = async (): Promise<string[]> => {
    const answer = await app.send('GET', '/metrics');
    assert.equal(answer.status, 200);
    assert.equal(answer.headers['content-type'], 'text/plain; version=0.0.4');
    return answer.text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  };

  it('gives the five stable gauges, the first four without labels', async () => {
    const { text } = await app.send('GET', '/metrics');
    const lines = await samples();
    for (const sample of [
      'forkd_snapshots_total 0',
      'forkd_sandboxes_active 0',
      'forkd_branches_in_flight 0',
      'forkd_branch_concurrency_cap 7',
      'forkd_build_info{version="0.5.3"} 1',
    ]) {
      const name = sample.replace(/[{ ].*/, '');
      assert.deepEqual(
        lines.filter((line) => line.startsWith(name)),
        [sample],
      );
      assert.match(text, new RegExp(`^# HELP ${name} .+\n# TYPE ${name} gauge\n${name}`, 'm'));
    }
  });

  it('counts audit lines that could not be written', async () => {
    const { text } = await app.send('GET', '/metrics');
    assert.match(text, /^# TYPE forkd_audit_failures_total counter\nforkd_audit_failures_total 0$/m);
  });

  it('counts what the registry holds and what others report', async () => {
    await app.nest.get(RegistryService).mutate((draft) => {
      draft.snapshots.set('a', {
        tag: 'a',
        dir: '/s/a',
        created_at_unix: 1,
        status: 'ready',
        bootable: true,
      });
    });
    app.nest.get(MetricsService).countBranchesWith(() => 2);
    const lines = await samples();
    assert.ok(lines.includes('forkd_snapshots_total 1'));
    assert.ok(lines.includes('forkd_branches_in_flight 2'));
  });
});
