import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { TEST_TOKEN, TestApp } from '../support/app';
import { RealHost } from '../support/real-host';

/** Runs a Python test module with the unchanged package; its report goes to this process's output. */
async function runModule(name: string, env: Record<string, string>): Promise<void> {
  const python = process.env['FORKD_CLIENTS_PYTHON'];
  assert.ok(python, 'start these tests with: npm run test:clients');
  const file = join(process.cwd(), 'test', 'clients', name);
  const child = spawn(python, ['-B', file, '--verbose'], {
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { PATH: process.env['PATH'], ...env },
  });
  const [code] = (await once(child, 'exit')) as [number | null];
  assert.equal(code, 0, `${name} failed; its report is above`);
}

describe('the Python package forkd', () => {
  let host: RealHost;

  before(async () => {
    host = await RealHost.start();
    await host.snapshot('py');
  });

  after(async () => {
    await host.stop();
  });

  it('drives snapshots, sandboxes and branches', async () => {
    await runModule('sdk_controller.py', { FORKD_URL: `http://127.0.0.1:${host.client.port}` });
    assert.deepEqual(await host.traces(), []);
  });

  it('shows who has no token', async () => {
    const app = await TestApp.start({ token: TEST_TOKEN });
    try {
      await runModule('sdk_token.py', {
        FORKD_URL: `http://127.0.0.1:${app.port}/`,
        FORKD_TOKEN: TEST_TOKEN,
      });
    } finally {
      await app.close();
    }
  });
});
