import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { ImageStore, type NewComponent } from '../../../src/modules/images/adapters/image-store';
import { thisProcess } from '../../../src/common/os/process-identity';

const KERNEL: NewComponent = { kind: 'kernel', inputs: { package: 'linux', version: '1' }, arch: 'x64' };

describe('image store', () => {
  let root = '';
  let store: ImageStore;
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'forkd-store-'));
    store = new ImageStore(root);
    await store.open();
  });
  afterEach(async () => {
    await rm(root, { recursive: true });
  });

  const add = (component: NewComponent, content: string): ReturnType<ImageStore['add']> =>
    store.add(component, async (outDir) => {
      await mkdir(join(outDir, 'modules'));
      await writeFile(join(outDir, 'vmlinux'), content);
      await writeFile(join(outDir, 'modules/virtio.ko'), 'module');
      return { kernelVersion: '6.1', modules: ['virtio'] };
    });
  const entries = (): Promise<string[]> => readdir(join(root, 'store'));

  it('keeps a component under its content, with what it was made of', async () => {
    const manifest = await add(KERNEL, 'kernel');
    assert.deepEqual(await entries(), [`kernel-${manifest.digest}`]);
    assert.deepEqual(await store.readComponent('kernel', manifest.digest), manifest);
    assert.deepEqual(
      manifest.files.map((file) => [file.path, file.sizeBytes]),
      [
        ['modules/virtio.ko', 6],
        ['vmlinux', 6],
      ],
    );
    assert.equal(manifest.kernelVersion, '6.1');
    assert.deepEqual(await store.findByInputs('kernel', { version: '1', package: 'linux' }), manifest);
    assert.equal(await store.findByInputs('kernel', { package: 'linux', version: '2' }), undefined);
  });

  it('stores the same content once', async () => {
    const first = await add(KERNEL, 'kernel');
    const second = await add({ ...KERNEL, inputs: { package: 'linux', version: '2' } }, 'kernel');
    assert.equal(second.digest, first.digest);
    assert.equal((await entries()).length, 1);
    assert.notEqual(await store.findByInputs('kernel', { package: 'linux', version: '2' }), undefined);
  });

  it('shows nothing of a build that fails, and cleans up', async () => {
    const failing = store.add(KERNEL, async (outDir, workDir) => {
      await writeFile(join(outDir, 'vmlinux'), 'half');
      await writeFile(join(workDir, 'scratch'), 'x');
      assert.equal((await entries()).length, 1);
      assert.equal(await store.findByInputs('kernel', KERNEL.inputs), undefined);
      throw new Error('cancelled');
    });
    await assert.rejects(failing, /cancelled/);
    assert.deepEqual(await entries(), []);
  });

  it('removes at the next start what dead builds left, and nothing of a build that runs', async () => {
    const left = {
      '.new-dead': { ...(await thisProcess()), startTime: '1' },
      '.new-alive': await thisProcess(),
    };
    for (const [name, owner] of Object.entries(left)) {
      await mkdir(join(root, 'store', name, 'out'), { recursive: true });
      await writeFile(join(root, 'store', name, 'owner.json'), JSON.stringify(owner));
    }
    await mkdir(join(root, 'store/.new-ownerless'));
    await mkdir(join(root, 'store/.removed-half'));
    const kept = await add(KERNEL, 'kernel');
    await store.open();
    assert.deepEqual((await entries()).sort(), ['.new-alive', `kernel-${kept.digest}`]);
  });

  it('notices files that are cut short, gone or changed', async () => {
    const manifest = await add(KERNEL, 'kernel');
    const path = join(store.pathOf('kernel', manifest.digest), 'vmlinux');
    assert.equal(await store.deepDamage(manifest, undefined), undefined);
    await writeFile(path, 'KERNEL');
    assert.equal(await store.damage(manifest), undefined);
    assert.match((await store.deepDamage(manifest, undefined)) ?? '', /vmlinux was changed/);
    await truncate(path, 3);
    assert.match((await store.damage(manifest)) ?? '', /vmlinux has 3 bytes instead of 6/);
    assert.equal(await store.findByInputs('kernel', KERNEL.inputs), undefined);
    await rm(path);
    assert.match((await store.damage(manifest)) ?? '', /vmlinux is missing/);
  });

  it('replaces a damaged component by a new build of it', async () => {
    const manifest = await add(KERNEL, 'kernel');
    await truncate(join(store.pathOf('kernel', manifest.digest), 'vmlinux'), 3);
    const again = await add(KERNEL, 'kernel');
    assert.equal(again.digest, manifest.digest);
    assert.equal(await store.deepDamage(again, undefined), undefined);
    assert.deepEqual(await entries(), [`kernel-${manifest.digest}`]);
  });
});
