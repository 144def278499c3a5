import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import { identify, isAlive } from '../../../src/modules/cli/quickstart/process-identity';

/** Its first thread ends, and another says so as soon as the kernel does. */
const HEADLESS = `
import ctypes, threading, time
def other():
    while open('/proc/self/stat').read().rpartition(') ')[2][0] != 'Z':
        time.sleep(0.001)
    print('headless', flush=True)
    time.sleep(600)
threading.Thread(target=other).start()
ctypes.CDLL(None).pthread_exit(None)
`;

describe('the identity of a process', () => {
  it('is that of a live one while any of its threads holds its files', async () => {
    const child = spawn('python3', ['-c', HEADLESS], { stdio: ['ignore', 'pipe', 'inherit'] });
    try {
      const [said] = (await once(child.stdout, 'data')) as [Buffer];
      assert.match(said.toString(), /headless/);
      const identity = await identify(child.pid ?? 0);
      assert.ok(identity);
      assert.equal(await isAlive(identity), true);
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
      assert.equal(await isAlive(identity), false);
    } finally {
      child.kill('SIGKILL');
    }
  });
});
