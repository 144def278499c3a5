import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join, resolve } from 'node:path';
import { TestClient } from '../support/http';
import { IMAGE_ROOT } from '../support/real-host';

const MAIN = resolve(__dirname, '..', '..', '..', 'dist', 'main.js');

/** The installed daemon as a process of its own. */
export class BenchDaemon {
  private constructor(
    readonly process: ChildProcess,
    readonly root: string,
    readonly client: TestClient,
    /** From the start of the process to its first answer, in ms. */
    readonly startMs: number,
  ) {}

  static async start(): Promise<BenchDaemon> {
    return this.startIn(await mkdtemp('/tmp/fkb-'));
  }

  /** Kills it as `kill -9`, and starts another over its directories and VMs. */
  async killAndStart(): Promise<BenchDaemon> {
    const ended = new Promise((resolve) => this.process.once('exit', resolve));
    this.process.kill('SIGKILL');
    await ended;
    return BenchDaemon.startIn(this.root);
  }

  private static async startIn(root: string): Promise<BenchDaemon> {
    const port = await freePort();
    const flags = {
      bind: `127.0.0.1:${port}`,
      state: join(root, 'state.json'),
      'snapshot-root': join(root, 'snapshots'),
      'audit-log': join(root, 'audit.log'),
      'run-dir': join(root, 'run'),
      'image-root': IMAGE_ROOT,
      engine: 'qemu',
    };
    const args = Object.entries(flags).flatMap(([name, value]) => [`--${name}`, value]);
    const begun = performance.now();
    const child = spawn(process.execPath, [MAIN, 'serve', ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
    await new Promise<void>((resolve, reject) => {
      child.stdout.on('data', (chunk: Buffer) => {
        if (chunk.includes('listening on')) resolve();
      });
      child.once('exit', (code) => {
        reject(new Error(`the daemon ended with code ${code ?? 'none'} before it listened`));
      });
    });
    const client = new TestClient(port);
    await client.json(200, 'GET', '/healthz');
    return new BenchDaemon(child, root, client, performance.now() - begun);
  }

  get pid(): number {
    if (this.process.pid === undefined) throw new Error('not started');
    return this.process.pid;
  }

  async stop(): Promise<void> {
    const sandboxes = await this.client.json<{ id: string }[]>(200, 'GET', '/v1/sandboxes');
    await Promise.all(sandboxes.map(({ id }) => this.client.send('DELETE', `/v1/sandboxes/${id}`)));
    const ended = new Promise((resolve) => this.process.once('exit', resolve));
    this.process.kill('SIGTERM');
    await ended;
    await rm(this.root, { recursive: true, force: true });
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (typeof address !== 'object' || address === null) throw new Error('no free port');
  return address.port;
}
