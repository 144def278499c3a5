import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, describe, it } from 'node:test';
import { type CgroupSubtree, openSubtree } from '../../../src/modules/quotas/cgroup-subtree';
import type { MemoryEvents } from '../../../src/modules/quotas/domain/usage';
import { Enclosure } from '../../../src/modules/quotas/enclosure';
import { PlayingCgroupFs } from '../../support/cgroup/playing-cgroup-fs';

const ALL = ['cpuset', 'cpu', 'io', 'memory', 'pids'];
const PID = 4711;

let root: string;
let mounts = 0;
before(async () => {
  root = await mkdtemp(join(tmpdir(), 'cgroup-'));
});
after(() => rm(root, { recursive: true, force: true }));

function playing(controllers: readonly string[] = ALL): Promise<PlayingCgroupFs> {
  mounts += 1;
  return PlayingCgroupFs.make(join(root, String(mounts)), controllers);
}

function open(fs: PlayingCgroupFs, at?: string): Promise<CgroupSubtree | string> {
  return openSubtree(fs, {
    root: at === undefined ? undefined : join(fs.root, at),
    realm: 'realm',
    pid: PID,
  });
}

async function opened(fs: PlayingCgroupFs, at?: string): Promise<CgroupSubtree> {
  const subtree = await open(fs, at);
  assert.ok(typeof subtree !== 'string');
  return subtree;
}

describe("the daemon's cgroup", () => {
  it('is made below the mount point, with the controllers handed down all the way', async () => {
    const fs = await playing();
    const { dir, controllers, missing } = await opened(fs);
    assert.equal(dir, join(fs.root, 'forkd/realm'));
    assert.deepEqual([...controllers].sort(), ['cpu', 'io', 'memory', 'pids']);
    assert.equal(missing.size, 0);
    await fs.create(join(dir, 'sb-1'));
    assert.equal(await readFile(join(dir, 'sb-1/memory.max'), 'utf8'), 'max\n');
  });

  it('is found again by the next daemon', async () => {
    const fs = await playing();
    await opened(fs);
    const writes = fs.written.length;
    assert.equal((await opened(fs)).controllers.size, 4);
    assert.equal(fs.written.length, writes);
  });

  it('does without controllers that the host lacks or that may not be enabled, and tells why', async () => {
    const fs = await playing(['cpu', 'pids']);
    const { controllers, missing } = await opened(fs);
    assert.deepEqual([...controllers].sort(), ['cpu', 'pids']);
    assert.match(missing.get('memory') ?? '', /has no memory controller/);
    const closed = await playing();
    closed.refuses.set(`${closed.root}/cgroup.subtree_control`, 'EACCES');
    const found = await opened(closed);
    assert.equal(found.controllers.size, 0);
    assert.match(found.missing.get('io') ?? '', /io controller cannot be enabled in .*subtree_control/);
  });

  it('moves the daemon aside where it was started in the very group, but nobody else', async () => {
    const fs = await playing();
    const unit = join(fs.root, 'unit');
    await fs.write(join(fs.root, 'cgroup.subtree_control'), '+memory');
    await fs.create(unit);
    await fs.place(unit, PID);
    assert.equal((await opened(fs, 'unit')).controllers.size, 4);
    assert.equal(await readFile(join(unit, 'daemon/cgroup.procs'), 'utf8'), `${PID}\n`);
    const other = await playing();
    const shared = join(other.root, 'unit');
    await other.write(join(other.root, 'cgroup.subtree_control'), '+memory');
    await other.create(shared);
    await other.place(shared, 1);
    assert.equal((await opened(other, 'unit')).controllers.size, 0);
    assert.equal(await readFile(join(shared, 'cgroup.procs'), 'utf8'), '1\n');
  });

  it('that may not be made is told, with what to do', async () => {
    const fs = await playing();
    fs.refuses.set('/forkd', 'EROFS');
    const found = await open(fs);
    assert.ok(typeof found === 'string');
    assert.match(found, /may not make groups there; .*--cgroup-root/);
  });

  it('must lie where cgroup v2 is mounted', async () => {
    const fs = await playing();
    for (const at of ['..', '.', '../elsewhere']) {
      await assert.rejects(open(fs, at), {
        code: 'invalid',
        message: /--cgroup-root is .* must be a directory below/,
      });
    }
  });
});

describe("a sandbox's cgroup", () => {
  let fs: PlayingCgroupFs;
  let dir: string;
  let changes: { before: MemoryEvents; after: MemoryEvents }[];
  let changed: () => void;
  const enclosure = (): Enclosure =>
    new Enclosure(fs, dir, '/opt/forkd-launch', (was, is) => {
      changes.push({ before: was, after: is });
      changed();
    });

  beforeEach(async () => {
    fs = await playing();
    dir = join((await opened(fs)).dir, 'sb-1');
    changes = [];
    changed = (): void => undefined;
  });

  it('has its limits before anything is started in it, and is removed when all is gone', async () => {
    const made = enclosure();
    await made.create([{ file: 'memory.max', value: '1024' }]);
    assert.equal(await readFile(join(dir, 'memory.max'), 'utf8'), '1024\n');
    assert.deepEqual(made.launch.prefix, ['/opt/forkd-launch', dir]);
    await fs.place(dir, 99);
    assert.equal(await made.launch.findPid(), 99);
    const removed = made.remove();
    await made.kill();
    await removed;
    assert.deepEqual(await made.pids(), []);
  });

  it('that cannot be set up leaves nothing, and names the file', async () => {
    fs.refuses.set('sb-1/io.max', 'ENODEV');
    await assert.rejects(
      enclosure().create([{ file: 'io.max', value: '8:0 rbps=1' }]),
      /io\.max cannot be set/,
    );
    assert.ok(!(await fs.children(join(dir, '..'))).includes('sb-1'));
  });

  it('does without what not every kernel has', async () => {
    await enclosure().create([{ file: 'memory.nothing', value: '1', optional: true }]);
  });

  it('tells of a process that was killed for its memory, once', async () => {
    const made = enclosure();
    await made.create([]);
    const noticed = new Promise<void>((resolve) => {
      changed = resolve;
    });
    await writeFile(join(dir, 'memory.events'), 'low 0\nhigh 3\nmax 9\noom 1\noom_kill 1\n');
    await noticed;
    assert.equal((await made.settle()).oomKills, 1);
    const kills = changes.reduce((sum, each) => sum + each.after.oomKills - each.before.oomKills, 0);
    assert.equal(kills, 1);
    await made.remove();
  });

  it('of an earlier daemon counts only what happens from now on', async () => {
    await enclosure().create([]);
    await writeFile(join(dir, 'memory.events'), 'high 3\nmax 9\noom_kill 1\n');
    const adopted = enclosure();
    await adopted.adopt();
    changes = [];
    assert.equal((await adopted.settle()).oomKills, 1);
    assert.ok(changes.every((each) => each.before.oomKills === each.after.oomKills));
    await adopted.remove();
  });
});
