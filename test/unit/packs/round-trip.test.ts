import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { promisify } from 'node:util';
import type { SnapshotManifest } from '../../../src/modules/snapshots/domain/manifest';
import { SnapshotIntegrityService } from '../../../src/modules/snapshots/snapshot-integrity.service';
import type { UnpackedSnapshot } from '../../../src/modules/packs/unpacking.service';
import { TestApp } from '../../support/app';
import { MEMORY_BYTES, membersOf, PackLab, type Sent } from '../../support/packs';

let here: PackLab;
let there: PackLab;

async function start(): Promise<PackLab> {
  return new PackLab(await TestApp.start());
}

async function stop(lab: PackLab): Promise<void> {
  await lab.close();
  await lab.app.close();
}

const answer = ({ status, body }: Sent): [number, unknown] => [status, JSON.parse(body.toString())];
const textOf = (sent: Sent): string => (JSON.parse(sent.body.toString()) as { error: string }).error;

async function sameFile(one: string, other: string): Promise<void> {
  const [a, b] = await Promise.all([readFile(one), readFile(other)]);
  assert.ok(a.equals(b), `${one} and ${other} differ`);
}

describe('a pack', () => {
  let py: Sent;
  let chained: Sent;

  before(async () => {
    here = await start();
    await here.snapshot('py', [0, 7, 300, 16_000]);
    await here.snapshot('c1', [7, 8], 'py');
    await here.snapshot('c2', [300, 9000], 'c1');
    py = await here.pack('py');
    chained = await here.pack('c2');
  });
  after(async () => {
    await stop(here);
  });
  beforeEach(async () => {
    there = await start();
  });
  afterEach(async () => {
    await stop(there);
  });

  it('gives the same snapshot elsewhere, with its holes, sound and ready', async () => {
    assert.equal(py.status, 200);
    const [status, made] = answer(await there.unpack(py.body));
    assert.deepEqual(
      [status, made],
      [201, { tag: 'py', dir: join(there.root, 'py'), bytes: py.contentBytes, unpacked: ['py'], reused: [] }],
    );
    for (const name of ['vmstate', 'memory.bin', 'memory.sums', 'rootfs.ext4']) {
      await sameFile(join(here.root, 'py', name), join(there.root, 'py', name));
    }
    const memory = await stat(join(there.root, 'py', 'memory.bin'));
    assert.equal(memory.size, MEMORY_BYTES);
    assert.ok(memory.blocks * 512 < 64 * 1024, `${memory.blocks} blocks`);
    const [listed] = JSON.parse((await there.request('GET', '/v1/snapshots')).body.toString()) as object[];
    assert.deepEqual(
      { ...listed, created_at_unix: 0 },
      {
        tag: 'py',
        dir: join(there.root, 'py'),
        created_at_unix: 0,
        status: 'ready',
        bootable: true,
      },
    );
    const inspection = await there.inspect('py');
    await there.app.nest.get(SnapshotIntegrityService, { strict: false }).requireSound('py', inspection);
  });

  it('has the manifest first, then each content once, and GNU tar unpacks it with its holes', async () => {
    const members = await membersOf(chained.body);
    assert.deepEqual(
      members.map(({ header }) => header.name),
      [
        'manifest.json',
        'py/vmstate',
        'py/memory.sums',
        'py/rootfs.ext4',
        'py/memory.bin',
        'c1/vmstate',
        'c1/memory.sums',
        'c1/memory.diff',
        'c2/vmstate',
        'c2/memory.sums',
        'c2/memory.diff',
      ],
    );
    const directory = await mkdtemp(join(tmpdir(), 'forkd-tar-'));
    try {
      await writeFile(join(directory, 'pack'), chained.body);
      await promisify(execFile)('tar', ['--zstd', '-xf', 'pack'], { cwd: directory });
      await sameFile(join(directory, 'py/memory.bin'), join(here.root, 'py/memory.bin'));
      await sameFile(join(directory, 'py/rootfs.ext4'), join(here.root, 'py/rootfs.ext4'));
      assert.ok((await stat(join(directory, 'py/memory.bin'))).blocks * 512 < 512 * 1024);
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  });

  it('brings the whole chain along, under another tag where that is asked for', async () => {
    const [status, made] = answer(await there.unpack(chained.body, '?as=mine'));
    const { unpacked, reused } = made as UnpackedSnapshot;
    assert.deepEqual([status, unpacked, reused], [201, ['py', 'c1', 'mine'], []]);
    const info = JSON.parse(
      (await there.request('GET', '/v1/snapshots/mine/info')).body.toString(),
    ) as object;
    assert.deepEqual('ancestors' in info && info.ancestors, ['py', 'c1']);
    await sameFile(join(there.root, 'mine/memory.diff'), join(here.root, 'c2/memory.diff'));
    await there.requireImage('mine', here.imageOf('c2'));
    await there.requireImage('c1', here.imageOf('c1'));
    assert.equal(
      (await stat(join(there.root, 'c1/rootfs.ext4'))).ino,
      (await stat(join(there.root, 'py/rootfs.ext4'))).ino,
    );
  });

  it('uses the ancestors that are there with the same content, however they are stored', async () => {
    await there.unpack((await here.pack('c1')).body);
    await there.request('DELETE', '/v1/snapshots/py?force=true');
    assert.match(textOf(await there.unpack(chained.body)), /py is missing/);
    await there.unpack(py.body);
    const [status, made] = answer(await there.unpack(chained.body));
    const { unpacked, reused } = made as UnpackedSnapshot;
    assert.deepEqual([status, unpacked, reused], [201, ['c2'], ['c1']]);
    await there.requireImage('c2', here.imageOf('c2'));
  });

  it('is a conflict when its tag is taken, or an ancestor is another one here', async () => {
    await there.snapshot('py', [1]);
    const before = await there.everything();
    const taken = await there.unpack(py.body);
    assert.deepEqual(
      [taken.status, textOf(taken)],
      [409, 'snapshot py already exists; DELETE first, or unpack it under another tag'],
    );
    const other = await there.unpack(chained.body);
    assert.equal(other.status, 409);
    assert.match(
      textOf(other),
      /^snapshot py already exists and is another one than the ancestor in the pack/,
    );
    assert.match(textOf(await there.unpack(chained.body, '?as=py')), /ancestor with the tag py/);
    const bad = await there.unpack(py.body, '?as=..%2Fx');
    assert.deepEqual(
      [bad.status, textOf(bad)],
      [400, 'as must be 1-64 chars, ASCII alnum or dash/underscore'],
    );
    assert.deepEqual(await there.everything(), before);
  });

  it('of a snapshot that this host cannot restore is refused with both sides', async () => {
    const path = join(here.root, 'py', 'snapshot.json');
    const kept = await readFile(path, 'utf8');
    const manifest = JSON.parse(kept) as SnapshotManifest;
    const changed = { ...manifest, engine: { ...manifest.engine, version: '5.0.1' } };
    await writeFile(path, JSON.stringify(changed));
    try {
      const foreign = await here.pack('py');
      assert.equal(foreign.status, 200);
      const refused = await there.unpack(foreign.body);
      assert.equal(refused.status, 409);
      assert.equal(
        textOf(refused),
        `snapshot py of the pack cannot be restored here: it was made with qemu version 5.0.1, and this host has ${manifest.engine.version}; make the snapshot again on this host`,
      );
      assert.deepEqual(
        await readdir(there.root).then((names) => names.filter((name) => name !== '.daemon.lock')),
        [],
      );
    } finally {
      await writeFile(path, kept);
    }
  });
});
