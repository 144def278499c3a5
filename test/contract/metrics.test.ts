import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { MetricsService } from '../../src/modules/metrics/metrics.service';
import { TEST_TOKEN, TestApp } from '../support/app';
import { makeCertificate } from '../support/certificates';
import { familiesIn, samplesIn, valueOf } from '../support/exposition';
import { slow, ThingController } from '../support/thing.controller';

const authorization = `Bearer ${TEST_TOKEN}`;

describe('metrics of requests', () => {
  let app: TestApp;
  before(async () => {
    app = await TestApp.start({ token: TEST_TOKEN, controllers: [ThingController] });
  });
  after(async () => {
    await app.close();
  });
  const scrape = async () =>
    samplesIn((await app.send('GET', '/metrics', { headers: { authorization } })).text);

  it('have route, method and status of every request, and never a path that was sent', async () => {
    const headers = { authorization };
    await app.send('POST', '/t/things/a-secret-name/ping', { headers });
    await app.send('POST', '/t/things/another/ping', { headers });
    await app.send('POST', '/t/things/another/ping');
    await app.send('GET', '/nope/a-secret-name', { headers });
    await app.send('PROPFIND', '/nope', { headers });
    await app.send('PUT', '/version', { headers });
    await app.send('GET', '/%', { headers });
    await app.requestsOver(7);
    const { text } = await app.send('GET', '/metrics', { headers });
    assert.doesNotMatch(text, /a-secret-name|nope|PROPFIND|PUT/);
    const samples = samplesIn(text);
    const count = (method: string, route: string, status: string): number | undefined =>
      valueOf(samples, 'forkd_http_requests_total', { method, route, status });
    assert.equal(count('POST', '/t/things/:id/ping', '200'), 2);
    assert.equal(count('POST', '/t/things/:id/ping', '401'), 1);
    assert.equal(count('GET', '(unmatched)', '404'), 1);
    assert.equal(count('other', '(unmatched)', '404'), 1);
    assert.equal(count('other', '(unmatched)', '405'), 1);
    assert.equal(count('GET', '(unmatched)', '400'), 1);
    const route = { method: 'POST', route: '/t/things/:id/ping' };
    assert.equal(valueOf(samples, 'forkd_http_request_duration_seconds_count', route), 3);
    assert.equal(valueOf(samples, 'forkd_http_request_duration_seconds_bucket', { ...route, le: '+Inf' }), 3);
  });

  it('time a request to the end of its answer', async () => {
    slow.wait = () => new Promise((resolve) => setTimeout(resolve, 60));
    const sum = async (): Promise<number> =>
      valueOf(await scrape(), 'forkd_http_request_duration_seconds_sum', { route: '/t/slow' }) ?? 0;
    const begun = await sum();
    await app.send('GET', '/t/slow', { headers: { authorization } });
    assert.ok((await sum()) - begun >= 0.055);
  });
});

describe('metrics of the process', () => {
  it('are there, with the lag of the event loop, also with several applications in one process', async () => {
    const apps = [await TestApp.start(), await TestApp.start()];
    try {
      for (const app of apps) {
        const { text } = await app.send('GET', '/metrics');
        const families = familiesIn(text);
        for (const name of [
          'process_cpu_seconds_total',
          'process_resident_memory_bytes',
          'process_open_fds',
          'process_start_time_seconds',
          'nodejs_eventloop_lag_p99_seconds',
          'nodejs_heap_size_used_bytes',
        ]) {
          assert.ok(families.has(name), name);
          assert.ok((valueOf(samplesIn(text), name) ?? -1) >= 0, name);
        }
        assert.equal(text.match(/^# TYPE process_cpu_seconds_total/gm)?.length, 1);
      }
    } finally {
      for (const app of apps) await app.close();
    }
  });
});

describe('a scrape', () => {
  it('needs no token from a daemon on loopback without one', async () => {
    const app = await TestApp.start();
    try {
      assert.equal((await app.send('GET', '/metrics')).status, 200);
    } finally {
      await app.close();
    }
  });

  it('needs the token from a daemon that others can reach', async () => {
    const app = await TestApp.start({ token: TEST_TOKEN, settings: { bindHost: '0.0.0.0' } });
    try {
      assert.equal((await app.send('GET', '/metrics')).status, 401);
      const answer = await app.send('GET', '/metrics', { headers: { authorization } });
      assert.equal(answer.status, 200);
      assert.match(answer.text, /^forkd_build_info/m);
    } finally {
      await app.close();
    }
  });
});

describe('the text of /metrics', () => {
  it('is what Prometheus reads, its own checks find only the names that clients of forkd know', async () => {
    const app = await TestApp.start({ controllers: [ThingController] });
    try {
      await app.send('POST', '/t/things/x/ping');
      const { text } = await app.send('GET', '/metrics');
      const promtool = spawn('promtool', ['check', 'metrics'], {
        env: { PATH: `${join(process.cwd(), '.tools')}:/usr/bin:/usr/local/bin` },
      });
      let complaints = '';
      for (const stream of [promtool.stdout, promtool.stderr]) {
        stream.on('data', (chunk: Buffer) => {
          complaints += chunk.toString();
        });
      }
      promtool.stdin.end(text);
      await once(promtool, 'close');
      const lines = complaints.split('\n').filter((line) => line !== '' && !line.startsWith('nodejs_'));
      assert.deepEqual(lines, ['forkd_snapshots_total non-counter metrics should not have "_total" suffix']);
    } finally {
      await app.close();
    }
  });
});

describe('the certificate in /metrics', () => {
  it('is told by its end, and by nothing for plain HTTP', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'forkd-cert-'));
    const { cert, key } = await makeCertificate(directory, 'served');
    const secure = await TestApp.start({ settings: { tlsCert: cert, tlsKey: key } });
    const plain = await TestApp.start();
    const name = 'forkd_tls_certificate_expiry_timestamp_seconds';
    try {
      const text = await secure.nest.get(MetricsService).render();
      const end = valueOf(samplesIn(text), name) ?? 0;
      const validTo = new X509Certificate(await readFile(cert)).validTo;
      assert.equal(end * 1000, Date.parse(validTo));
      assert.equal(valueOf(samplesIn(await plain.nest.get(MetricsService).render()), name), undefined);
    } finally {
      await secure.close();
      await plain.close();
      await rm(directory, { recursive: true, force: true });
    }
  });
});
