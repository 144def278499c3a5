import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { it } from 'node:test';
import { pythonImage } from './real-host';

const INSIDE = 'FORKD_TEST_OWN_NETWORK';

/** What the network of the tests begins as: loopback, and an empty /run for the names of namespaces. */
const PREPARE = 'mount -t tmpfs tmpfs /run; mkdir /run/netns; ip link set lo up; exec "$@"';

/**
 * Runs the tests of a file in network and mount namespaces of its own, in a process of its own: they may change addresses,
 * forwarding and filters, and nothing of that reaches the machine or other tests.
 *
 * @param file the test's own `__filename`.
 */
export function inOwnNetwork(file: string, define: () => void): void {
  if (process.env[INSIDE] !== undefined) {
    define();
    return;
  }
  it('passes in a network of its own', async () => {
    // There, nothing could be downloaded for it.
    await pythonImage();
    // Without the variable of Node's test runner, as the output is for people.
    const env: NodeJS.ProcessEnv = { ...process.env, [INSIDE]: '1' };
    delete env['NODE_TEST_CONTEXT'];
    const node = [process.execPath, '--enable-source-maps', '--test-reporter=spec', file];
    const child = spawn('unshare', ['--net', '--mount', '--', 'sh', '-ec', PREPARE, 'sh', ...node], {
      env,
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    const [code, signal] = (await once(child, 'exit')) as [number | null, string | null];
    assert.deepEqual({ code, signal }, { code: 0, signal: null });
  });
}
