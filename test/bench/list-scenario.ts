import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { TestClient } from '../support/http';
import { atMost } from './scenarios';
import type { Measurement } from './types';

/** GET /v1/sandboxes with 1,000 entries, asked from another process than the daemon's. */
export async function listScenario(): Promise<Measurement> {
  const server = spawn(process.execPath, [join(__dirname, 'list-server.js')], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const [line] = (await once(server.stdout, 'data')) as [Buffer];
  const client = new TestClient(Number(line.toString()));
  const times: number[] = [];
  for (let round = 0; round < 60; round++) {
    const begun = performance.now();
    const answer = await client.send('GET', '/v1/sandboxes');
    // The first ones warm up the compiler.
    if (round >= 10) times.push(performance.now() - begun);
    if (answer.status !== 200) throw new Error(`status ${answer.status}`);
  }
  const ended = once(server, 'exit');
  server.stdin.end();
  await ended;
  return atMost('GET /v1/sandboxes with 1,000 entries', 'ms', times, 10);
}
