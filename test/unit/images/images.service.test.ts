import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { DomainError } from '../../../src/common/errors/domain-error';
import { ImageBuilder } from '../../../src/modules/images/adapters/image-builder';
import { ImageStore } from '../../../src/modules/images/adapters/image-store';
import { FORMAT_VERSION, imageDigest, type ComponentKind } from '../../../src/modules/images/domain/manifest';
import { recipeOf } from '../../../src/modules/images/domain/recipes';
import type { ImageOptions } from '../../../src/modules/images/image-options';
import { ImagesService } from '../../../src/modules/images/images.service';

const FILES: Record<ComponentKind, string> = {
  kernel: 'vmlinux',
  initramfs: 'initramfs.cpio.gz',
  rootfs: 'rootfs.ext4',
};

function failsWith(code: string, text: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof DomainError);
    assert.equal(error.code, code);
    assert.match(error.message, text);
    return true;
  };
}

describe('images service', () => {
  let root = '';
  let options: ImageOptions;
  let store: ImageStore;
  let service: ImagesService;
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'forkd-images-'));
    options = {
      imageRoot: join(root, 'images'),
      agentPath: join(root, 'agent'),
      runtimesPath: join(root, 'runtimes'),
    };
    await writeFile(options.agentPath, 'agent');
    await mkdir(join(options.runtimesPath, 'python'), { recursive: true });
    await writeFile(join(options.runtimesPath, 'python/driver.py'), 'driver');
    store = new ImageStore(options.imageRoot);
    await store.open();
    service = new ImagesService(options);
  });
  afterEach(async () => {
    await rm(root, { recursive: true });
  });

  /** Puts an image into the store as a build would have left it. */
  async function put(name: string, rootfs: string, arch: string = process.arch): Promise<string> {
    const contents: Record<ComponentKind, string> = { kernel: 'kernel', initramfs: 'initramfs', rootfs };
    const digests = {} as Record<ComponentKind, string>;
    for (const kind of ['kernel', 'initramfs', 'rootfs'] as const) {
      const manifest = await store.add(
        { kind, inputs: { content: contents[kind] }, arch },
        async (outDir) => {
          await writeFile(join(outDir, FILES[kind]), contents[kind]);
          return kind === 'kernel' ? { kernelVersion: '6.1' } : {};
        },
      );
      digests[kind] = manifest.digest;
    }
    const { buildKey } = await new ImageBuilder(store, options, process.arch).localInputs(recipeOf(name));
    await store.writeRecord({
      formatVersion: FORMAT_VERSION,
      name,
      digest: imageDigest(digests.kernel, digests.initramfs, digests.rootfs),
      buildKey,
      arch,
      ...digests,
      runtimes: ['python'],
      createdAtUnix: 1,
      superseded: [],
    });
    return join(store.pathOf('rootfs', digests.rootfs), FILES.rootfs);
  }

  it('gives paths, versions and sizes of an image', async () => {
    const rootfsPath = await put('python', 'root');
    const image = await service.get('python');
    assert.equal(image.rootfsPath, rootfsPath);
    assert.equal(image.kernelVersion, '6.1');
    assert.equal(image.sizeBytes, 'kernel'.length + 'initramfs'.length + 'root'.length);
    assert.deepEqual(image.runtimes, ['python']);
    assert.deepEqual(await service.list(), [image]);
    assert.deepEqual(await service.verify('python'), image);
  });

  it('names what is built, and the command, for an image that is not', async () => {
    await assert.rejects(
      service.get('python'),
      failsWith('not_found', /none is built.*`forkd image build python`/),
    );
    await put('python', 'root');
    await assert.rejects(
      service.get('numpy'),
      failsWith('not_found', /built are: python.*`forkd image build numpy`/),
    );
    await assert.rejects(service.get('../python'), failsWith('not_found', /no image \.\.\/python/));
    await assert.rejects(service.build('ruby'), failsWith('invalid', /there are: python, numpy/));
  });

  it('refuses an image whose files are cut short, and finds changed ones', async () => {
    const path = await put('python', 'root');
    await writeFile(path, 'ROOT');
    await assert.rejects(
      service.verify('python'),
      failsWith('conflict', /was changed.*`forkd image build python`/),
    );
    await truncate(path, 1);
    await assert.rejects(service.get('python'), failsWith('conflict', /1 bytes instead of 4/));
    assert.deepEqual(await service.list(), []);
    await rm(join(path, '..'), { recursive: true });
    await assert.rejects(service.get('python'), failsWith('conflict', /is missing/));
  });

  it('refuses an image of another architecture', async () => {
    await put('python', 'root', 'riscv64');
    await assert.rejects(service.get('python'), failsWith('conflict', /is for riscv64, this machine is/));
  });

  it('has nothing to build when nothing has changed', { skip: process.arch !== 'x64' }, async () => {
    await put('python', 'root');
    const steps: string[] = [];
    const image = await service.build('python', { onProgress: ({ step }) => steps.push(step) });
    assert.deepEqual(image, await service.get('python'));
    assert.deepEqual(steps, []);
  });

  it('says how to get an agent or a driver that is not built', { skip: process.arch !== 'x64' }, async () => {
    await rm(options.runtimesPath, { recursive: true });
    await assert.rejects(
      service.build('python'),
      failsWith('unavailable', /python driver is missing.*npm run build:agent/),
    );
    await rm(options.agentPath);
    await assert.rejects(
      service.build('python'),
      failsWith('unavailable', /agent is not built.*npm run build:agent/),
    );
  });

  it('does not start a build that was cancelled before', { skip: process.arch !== 'x64' }, async () => {
    const signal = AbortSignal.abort(new Error('enough'));
    await assert.rejects(service.build('python', { signal }), /enough/);
    assert.deepEqual(await readdir(join(options.imageRoot, 'store')), []);
  });

  it('removes an image, but not what another one uses', async () => {
    await put('python', 'root');
    const kept = await put('numpy', 'root with numpy');
    await service.remove('python');
    assert.deepEqual(
      (await service.list()).map((image) => image.name),
      ['numpy'],
    );
    assert.equal((await service.verify('numpy')).rootfsPath, kept);
    assert.equal((await readdir(join(options.imageRoot, 'store'))).length, 3);
    await service.remove('numpy');
    assert.deepEqual(await readdir(join(options.imageRoot, 'store')), []);
    await assert.rejects(service.remove('numpy'), failsWith('not_found', /no image numpy/));
  });
});
