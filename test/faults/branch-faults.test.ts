import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { watch } from 'node:fs';
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, it } from 'node:test';
import type { SandboxRecord, SnapshotRecord } from '../../src/modules/registry/domain/records';
import { vmStatus } from '../support/faults/vm-status';
import { TestClient } from '../support/http';
import { IMAGE_ROOT, pythonImage, RealHost, tool } from '../support/real-host';
import { until } from '../support/until';

const MAIN = join(__dirname, '../../src/main.js');
const SNAPSHOT = { tag: 'py', image: 'python', mem_size_mib: 128, boot_wait_secs: 60 };

async function evaluate(client: TestClient, id: string, code: string): Promise<string | null> {
  const path = `/v1/sandboxes/${id}/eval`;
  const answer = await client.json<{ result: string | null; error: string | null }>(200, 'POST', path, {
    code,
  });
  assert.equal(answer.error, null);
  return answer.result;
}

async function fork(client: TestClient, tag: string): Promise<SandboxRecord> {
  const [child] = await client.json<SandboxRecord[]>(201, 'POST', '/v1/sandboxes', { snapshot_tag: tag });
  assert.ok(child);
  return child;
}

/** Settles when a file of this name appears in the staging directory of a tag. */
async function staged(snapshotRoot: string, tag: string, file: string): Promise<void> {
  const appeared = async (dir: string, isIt: (name: string) => boolean): Promise<string> => {
    const watcher = watch(dir);
    try {
      const seen = new Promise<string>((resolve) => {
        watcher.on('change', (_, name) => {
          if (isIt(String(name))) resolve(String(name));
        });
      });
      // It may have been there before it was watched for.
      const before = (await readdir(dir)).find(isIt);
      return before ?? (await seen);
    } finally {
      watcher.close();
    }
  };
  const name = await appeared(snapshotRoot, (each) => each.startsWith(`.new-${tag}-`));
  await appeared(join(snapshotRoot, name), (each) => each === file);
}

/** The daemon as a process that can be killed; its directories outlive it. */
class MortalDaemon {
  client = new TestClient(0);
  private child: ChildProcess | undefined;

  constructor(readonly root: string) {}

  get snapshotRoot(): string {
    return join(this.root, 'snapshots');
  }

  async start(): Promise<void> {
    const port = await freePort();
    const flags = {
      bind: `127.0.0.1:${port}`,
      state: join(this.root, 'state.json'),
      'snapshot-root': this.snapshotRoot,
      'audit-log': join(this.root, 'audit.log'),
      'run-dir': join(this.root, 'run'),
      'image-root': IMAGE_ROOT,
      engine: 'qemu',
    };
    const args = Object.entries(flags).flatMap(([name, value]) => [`--${name}`, value]);
    const child = spawn(process.execPath, [MAIN, 'serve', ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
    this.child = child;
    for await (const line of createInterface({ input: child.stdout }))
      if (line.includes('listening on')) break;
    child.stdout.resume();
    this.client = new TestClient(port);
  }

  async kill(): Promise<void> {
    if (!this.child) return;
    const ended = once(this.child, 'exit');
    this.child.kill('SIGKILL');
    await ended;
    this.child = undefined;
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  assert.ok(typeof address === 'object' && address !== null);
  return address.port;
}

describe('a daemon that is killed in the middle of a BRANCH', () => {
  let daemon: MortalDaemon;
  let source: SandboxRecord;

  before(async () => {
    await pythonImage();
    daemon = new MortalDaemon(await mkdtemp('/tmp/fkm-'));
    await daemon.start();
    await daemon.client.json(201, 'POST', '/v1/snapshots', SNAPSHOT);
    source = await fork(daemon.client, 'py');
    await evaluate(daemon.client, source.id, 'n = 7');
  });

  after(async () => {
    await daemon.client.json(204, 'DELETE', `/v1/sandboxes/${source.id}`);
    await daemon.kill();
    await rm(daemon.root, { recursive: true, force: true });
  });

  /** Kills the daemon when the branch has written the file; tells whether the guest stood still then. */
  async function killedAt(body: { tag: string; mode: string }, file: string): Promise<string> {
    const reached = staged(daemon.snapshotRoot, body.tag, file);
    const path = `/v1/sandboxes/${source.id}/branch`;
    const asked = daemon.client.send('POST', path, { json: body }).catch(() => undefined);
    await reached;
    await daemon.kill();
    await asked;
    const state = await vmStatus(join(daemon.root, 'run', source.id));
    await daemon.start();
    return state;
  }

  /** The source runs on with its state; the tag is there whole, or not at all; and it can be branched again. */
  async function assertWholeOrNothing(tag: string): Promise<void> {
    const { client, snapshotRoot } = daemon;
    assert.equal(await evaluate(client, source.id, 'n'), '7');
    const listed = await client.json<SnapshotRecord[]>(200, 'GET', '/v1/snapshots');
    const made = listed.filter((each) => each.tag === tag);
    const hidden = (await readdir(snapshotRoot)).filter((name) => /^\.(new|trash)-/.test(name));
    assert.deepEqual(hidden, []);
    if (made.length === 0)
      await client.json(201, 'POST', `/v1/sandboxes/${source.id}/branch`, { tag, mode: 'diff' });
    const child = await fork(client, tag);
    assert.equal(await evaluate(client, child.id, 'n'), '7');
    await client.json(204, 'DELETE', `/v1/sandboxes/${child.id}`);
    await client.json(204, 'DELETE', `/v1/snapshots/${tag}`);
    assert.deepEqual(
      (await readdir(join(daemon.root, 'run'))).filter((name) => !name.startsWith('.')),
      [source.id],
    );
  }

  for (const [moment, mode, file] of [
    ['while it copies the base', 'diff', 'memory.bin'],
    ['when the memory is captured', 'diff', 'memory.sums'],
    ['when the snapshot is described', 'diff', 'snapshot.json'],
    ['when all pages are captured', 'full', 'memory.sums'],
  ] as const) {
    it(`leaves no half tag, and the source runs on: ${moment}`, async () => {
      await killedAt({ tag: 'cut', mode }, file);
      await assertWholeOrNothing('cut');
    });
  }

  it('leaves the source paused at worst, and the next daemon lets it run', async () => {
    // Copying all pages takes long enough to hit the pause, mostly at the first try.
    let state = '';
    while (state !== 'paused') {
      state = await killedAt({ tag: 'cut', mode: 'full' }, 'vmstate');
      assert.equal(await evaluate(daemon.client, source.id, 'n'), '7');
    }
    await assertWholeOrNothing('cut');
  });
});

describe('a BRANCH that cannot be made', () => {
  const skip = process.getuid?.() === 0 ? false : 'mounting needs root';

  /** A host whose snapshots are on a small file system of their own, with room for one snapshot. */
  async function onSmallDisk(
    options: string,
    work: (host: RealHost, mount: string) => Promise<void>,
  ): Promise<void> {
    const host = await RealHost.start();
    const mount = host.config.snapshotRoot;
    await mkdir(mount, { recursive: true });
    await tool('mount', '-t', 'tmpfs', '-o', options, 'tmpfs', mount);
    try {
      await host.client.json(201, 'POST', '/v1/snapshots', SNAPSHOT);
      await work(host, mount);
      for (const { id } of await host.client.json<SandboxRecord[]>(200, 'GET', '/v1/sandboxes')) {
        await host.client.json(204, 'DELETE', `/v1/sandboxes/${id}`);
      }
      assert.deepEqual(await host.traces(), []);
    } finally {
      await tool('umount', '-l', mount);
      await host.stop();
    }
  }

  async function assertUndone(host: RealHost, id: string): Promise<void> {
    assert.deepEqual(await readdir(host.config.snapshotRoot), ['py']);
    assert.equal(await evaluate(host.client, id, 'n'), '7');
    const { branch_count: count } = await host.client.json<SandboxRecord>(200, 'GET', `/v1/sandboxes/${id}`);
    assert.equal(count, 0);
  }

  for (const mode of ['diff', 'full'] as const) {
    it(`for a full disk says so, in mode ${mode}; the source runs on`, { skip }, async () => {
      await onSmallDisk('size=330m', async (host, mount) => {
        const { id } = await fork(host.client, 'py');
        await evaluate(host.client, id, 'n = 7');
        // What is left would hold the state of the devices, but not the memory.
        const kib = Number((await tool('df', '--output=avail', mount)).split('\n')[1]);
        await tool('fallocate', '-l', `${kib - 20_000}KiB`, join(host.root, 'snapshots', '.filler'));
        const path = `/v1/sandboxes/${id}/branch`;
        const error = await host.client.error(500, 'POST', path, { tag: 'big', mode });
        assert.match(error, /^branch: .*no space left/i);
        await rm(join(mount, '.filler'));
        await assertUndone(host, id);
        await host.client.json(201, 'POST', path, { tag: 'big', mode });
      });
    });
  }

  it('as the state of the devices cannot be saved: the source runs on', { skip }, async () => {
    await onSmallDisk('size=600m', async (host, mount) => {
      const { id } = await fork(host.client, 'py');
      await evaluate(host.client, id, 'n = 7');
      // For the staging directory, the link to the root file system and the memory; none is left for QEMU's file.
      const used = Number((await tool('df', '--output=iused', mount)).split('\n')[1]);
      await tool('mount', '-o', `remount,nr_inodes=${used + 3}`, mount);
      const path = `/v1/sandboxes/${id}/branch`;
      const error = await host.client.error(500, 'POST', path, { tag: 'big', mode: 'full' });
      assert.match(error, /^branch: xen-save-devices-state: .*vmstate.*No space left/);
      await tool('mount', '-o', 'remount,nr_inodes=1000', mount);
      await assertUndone(host, id);
    });
  });

  it('as its VM is killed meanwhile: it says so, and nothing is left', async () => {
    const host = await RealHost.start();
    try {
      await host.client.json(201, 'POST', '/v1/snapshots', SNAPSHOT);
      for (const mode of ['diff', 'full']) {
        const { id, pid } = await fork(host.client, 'py');
        const reached = staged(host.config.snapshotRoot, 'dead', mode === 'diff' ? 'memory.bin' : 'vmstate');
        const path = `/v1/sandboxes/${id}/branch`;
        const asked = host.client.send('POST', path, { json: { tag: 'dead', mode } });
        await reached;
        process.kill(pid ?? 0, 'SIGKILL');
        const answer = await asked;
        if (answer.status === 201) {
          // All was captured when it was killed: then the snapshot is whole.
          await fork(host.client, 'dead').then((child) =>
            host.client.json(204, 'DELETE', `/v1/sandboxes/${child.id}`),
          );
          await host.client.json(204, 'DELETE', '/v1/snapshots/dead');
        } else assert.match(answer.text, /"branch: the VM ended: it was ended by SIGKILL/);
        await until(async () => {
          const record = await host.client.json<SandboxRecord>(200, 'GET', `/v1/sandboxes/${id}`);
          return record.status === 'dead';
        });
        assert.match(
          await host.client.error(500, 'POST', path, { tag: 'dead' }),
          /^branch: the VM of .* has ended/,
        );
        await host.client.json(204, 'DELETE', `/v1/sandboxes/${id}`);
        assert.deepEqual(await host.traces(), []);
        assert.deepEqual(await readdir(host.config.snapshotRoot), ['py']);
      }
    } finally {
      await host.stop();
    }
  });
});
