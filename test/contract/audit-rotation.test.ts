import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readdir, readFile, rename, writeFile } from 'node:fs/promises';
import { Agent, request } from 'node:http';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { type DaemonProcess, DaemonProcesses } from '../support/daemon-process';
import { until } from '../support/until';

const run = promisify(execFile);
const CLIENTS = 8;
const ROTATIONS = 6;

let daemons: DaemonProcesses;
let daemon: DaemonProcess;
beforeEach(async () => {
  daemons = await DaemonProcesses.create();
  daemon = await daemons.serve();
});
afterEach(async () => {
  await daemons.close();
});

/** Every path that was asked for, each once, half of them mutations. */
class Load {
  readonly paths: string[] = [];
  private stopped = false;
  private readonly clients: Promise<void>[];

  constructor(private readonly url: string) {
    this.clients = Array.from({ length: CLIENTS }, (_, index) => this.client(index));
  }

  async stop(): Promise<void> {
    this.stopped = true;
    await Promise.all(this.clients);
  }

  private async client(index: number): Promise<void> {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    for (let turn = 0; !this.stopped; turn += 1) {
      const path = `/v1/sandboxes/sb-${index}-${turn}`;
      await new Promise<void>((resolve, reject) => {
        const call = request(`${this.url}${path}`, { method: turn % 2 === 0 ? 'GET' : 'DELETE', agent });
        call.once('error', reject);
        call.once('response', (response) => {
          response.resume();
          response.once('end', resolve);
        });
        call.end();
      });
      this.paths.push(path);
    }
    agent.destroy();
  }
}

const reopened = (): number => daemon.text.match(/SIGHUP received/g)?.length ?? 0;

/** Rotates under load, again and again, and compares the lines of all files with what was asked. */
async function noneLostOrDoubled(rotate: (round: number) => Promise<void>): Promise<void> {
  const load = new Load(daemon.url);
  for (let round = 1; round <= ROTATIONS; round += 1) {
    const { length } = load.paths;
    await rotate(round);
    // Requests before, between and after.
    await until(() => Promise.resolve(reopened() >= round && load.paths.length > length + 2 * CLIENTS));
  }
  await load.stop();
  assert.deepEqual(await daemon.end('SIGTERM'), [0, null]);
  const names = (await readdir(daemons.path('log'))).filter((name) => name.startsWith('audit.log'));
  assert.equal(names.length, ROTATIONS + 1);
  const texts = await Promise.all(names.map((name) => readFile(daemons.path(`log/${name}`), 'utf8')));
  const lines = texts.flatMap((text) => text.split('\n').filter((line) => line !== ''));
  const paths = lines.map((line) => (JSON.parse(line) as { path: string }).path);
  assert.deepEqual(paths.sort(), load.paths.sort());
}

describe('the audit log under load loses no line and doubles none', () => {
  it('while it is renamed and the daemon gets SIGHUP', async () => {
    const log = daemons.path('log/audit.log');
    await noneLostOrDoubled(async (round) => {
      await rename(log, `${log}.${round}`);
      daemon.child.kill('SIGHUP');
    });
  });

  it('while logrotate rotates it', async () => {
    const config = daemons.path('logrotate.conf');
    await writeFile(
      config,
      `${daemons.path('log/audit.log')} {
  rotate 100
  missingok
  postrotate
    kill -HUP ${daemon.child.pid ?? 0}
  endscript
}
`,
      { mode: 0o644 },
    );
    await noneLostOrDoubled(async () => {
      await run('logrotate', ['--force', '--state', daemons.path('logrotate.state'), config], {
        env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
      });
    });
  });
});
