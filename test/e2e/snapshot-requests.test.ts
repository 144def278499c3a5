import assert from 'node:assert/strict';
import { mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { IMAGE_ROOT, imagesService, pythonImage, RealHost } from '../support/real-host';

describe('POST and DELETE /v1/snapshots', () => {
  let host: RealHost;

  before(async () => {
    host = await RealHost.start();
  });

  after(async () => {
    await host.stop();
  });

  const tags = async (): Promise<string[]> =>
    (await readdir(host.config.snapshotRoot)).filter((name) => !name.startsWith('.'));
  const refused = (status: number, body: object): Promise<string> =>
    host.client.error(status, 'POST', '/v1/snapshots', body);

  it('refuses bad requests in the documented order, and makes nothing', async () => {
    const image = await pythonImage();
    const paths = { kernel: image.kernelPath, rootfs: image.rootfsPath };
    assert.match(await refused(400, { tag: '../x', image: 'nope' }), /tag must be 1-64 chars/);
    assert.equal(
      await refused(400, { tag: 'a', kernel: '/nope', rootfs: '/nope' }),
      'kernel not found: /nope',
    );
    assert.equal(await refused(400, { tag: 'a', ...paths, rootfs: '/nope' }), 'rootfs not found: /nope');
    assert.match(
      await refused(400, { tag: 'a', ...paths, boot_wait_secs: 61 }),
      /boot_wait_secs must be ≤ 60/,
    );
    assert.match(await refused(400, { tag: 'a', ...paths, mem_size_mib: 63 }), /mem_size_mib must be 64 to/);
    assert.match(await refused(400, { tag: 'a', ...paths, vcpus: 0 }), /vcpus must be 1 to/);
    assert.match(await refused(400, { tag: 'a', ...paths, tap: 'tap0' }), /tap not found: tap0/);
    assert.match(await refused(422, { tag: 'a' }), /`kernel` is missing/);
    assert.match(await refused(422, { tag: 'a', kernel: '/k' }), /`rootfs` is missing/);
    assert.match(await refused(422, { tag: 'a', image: 'python', ...paths }), /not both/);
    assert.match(await refused(422, { tag: 'a', image: 'python', vcpus: 1.5 }), /vcpus/);
    assert.match(await refused(404, { tag: 'a', image: 'nope' }), /forkd image build nope/);
    assert.deepEqual(await host.client.json(200, 'GET', '/v1/snapshots'), []);
    assert.deepEqual(await host.traces(), []);
  });

  it('boots a kernel and a root file system by path, and refuses a tag that exists or is being made', async () => {
    const image = await pythonImage();
    const body = {
      tag: 'paths',
      kernel: image.kernelPath,
      rootfs: image.rootfsPath,
      rw: true,
      boot_wait_secs: 60,
      mem_size_mib: 256,
    };
    const making = host.client.json<Record<string, unknown>>(201, 'POST', '/v1/snapshots', body);
    let writing: Record<string, unknown> | undefined;
    while (writing === undefined) {
      [writing] = await host.client.json<Record<string, unknown>[]>(200, 'GET', '/v1/snapshots');
    }
    assert.deepEqual([writing['tag'], writing['status'], writing['bootable']], ['paths', 'writing', false]);
    assert.match(await refused(409, body), /being written/);
    assert.match(await host.client.error(409, 'POST', '/v1/sandboxes', { snapshot_tag: 'paths' }), /Writing/);
    await making;
    assert.match(await refused(400, body), /snapshot paths already exists; DELETE first/);
    const [child] = await host.client.json<{ id: string }[]>(201, 'POST', '/v1/sandboxes', {
      snapshot_tag: 'paths',
    });
    const path = `/v1/sandboxes/${child?.id ?? ''}`;
    assert.equal(
      (await host.client.json<{ result: string }>(200, 'POST', `${path}/eval`, { code: '6*7' })).result,
      '42',
    );
    const written = await host.client.json<{ exit_code: number }>(200, 'POST', `${path}/exec`, {
      args: ['sh', '-c', 'echo x > /etc/forkd-test && cat /etc/forkd-test'],
    });
    assert.equal(written.exit_code, 0);
    await host.client.json(204, 'DELETE', path);
  });

  it('keeps running what was forked from a deleted snapshot', async () => {
    const [child] = await host.client.json<{ id: string }[]>(201, 'POST', '/v1/sandboxes', {
      snapshot_tag: 'paths',
    });
    await host.client.json(204, 'DELETE', '/v1/snapshots/paths');
    assert.deepEqual(await tags(), []);
    const path = `/v1/sandboxes/${child?.id ?? ''}`;
    // Reads pages and disk blocks it has not touched yet.
    const code = "import decimal; str(decimal.Decimal('0.1') + 1)";
    const answer = await host.client.json<{ result: string }>(200, 'POST', `${path}/eval`, { code });
    assert.equal(answer.result, "'1.1'");
    await host.client.json(204, 'DELETE', path);
    assert.equal(await host.client.error(404, 'DELETE', '/v1/snapshots/paths'), 'snapshot paths not found');
    assert.equal(
      await host.client.error(404, 'POST', '/v1/sandboxes', { snapshot_tag: 'paths' }),
      'snapshot paths not found',
    );
  });

  it('names the dependents of a snapshot and the two ways to delete it all the same', async () => {
    const put = async (tag: string, parent?: string): Promise<void> => {
      const dir = join(host.config.snapshotRoot, tag);
      await mkdir(dir);
      const metadata = {
        vmstate: 'vmstate',
        memory: 'memory.bin',
        ...(parent === undefined ? {} : { parent_tag: parent }),
      };
      await writeFile(join(dir, 'snapshot.json'), JSON.stringify(metadata));
    };
    await put('base');
    await put('child', 'base');
    await put('grandchild', 'child');
    const error = await host.client.error(409, 'DELETE', '/v1/snapshots/base');
    for (const word of ['child', 'cascade', 'force'])
      assert.ok(error.includes(word), `${word} is missing: ${error}`);
    assert.match(
      await host.client.error(400, 'DELETE', '/v1/snapshots/base?cascade=true&force=true'),
      /mutually exclusive/,
    );
    assert.equal((await host.client.send('DELETE', '/v1/snapshots/base?cascade=1')).status, 400);
    await host.client.json(204, 'DELETE', '/v1/snapshots/child?force=true');
    await put('child', 'base');
    await host.client.json(204, 'DELETE', '/v1/snapshots/base?cascade=true');
    assert.deepEqual(await tags(), []);
  });
});

describe('an image for another architecture', () => {
  it('is refused with the way to build one for this host', async () => {
    await pythonImage();
    const host = await RealHost.start({});
    try {
      const imageRoot = join(host.root, 'images');
      await mkdir(join(imageRoot, 'names'), { recursive: true });
      await symlink(join(IMAGE_ROOT, 'store'), join(imageRoot, 'store'));
      const record = JSON.parse(await readFile(join(IMAGE_ROOT, 'names', 'python.json'), 'utf8')) as Record<
        string,
        unknown
      >;
      await writeFile(join(imageRoot, 'names', 'python.json'), JSON.stringify({ ...record, arch: 'arm64' }));
      await assert.rejects(
        imagesService(imageRoot).get('python'),
        /for arm64, this machine is .*forkd image build python/,
      );
      const other = await RealHost.start({ imageRoot });
      try {
        const error = await other.client.error(409, 'POST', '/v1/snapshots', { tag: 'a', image: 'python' });
        assert.match(error, /for arm64, this machine is/);
        assert.deepEqual(await other.traces(), []);
      } finally {
        await other.stop();
      }
    } finally {
      await host.stop();
    }
  });
});
