import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  kernelArguments,
  qemuArguments,
  tscKhzFromCpuinfo,
  type QemuCommand,
} from '../../../src/modules/vmm/adapters/qemu/qemu-command';

const base: QemuCommand = {
  accelerator: 'tcg',
  runDir: '/run/vm',
  machine: { vcpus: 1, memSizeMib: 256, rootfsPath: '/snap/rootfs.ext4' },
  memoryPath: '/snap/memory.bin',
  start: { kind: 'restore' },
};

describe('qemuArguments', () => {
  it('gives a child the devices of its parent, in the same order', () => {
    const boot = qemuArguments({
      ...base,
      start: { kind: 'boot', kernelPath: '/k', initramfsPath: '/i', kernelArgs: ['quiet'] },
    });
    const restore = qemuArguments(base);
    const devices = (args: string[]): string[] =>
      args.filter((_, index) =>
        ['-device', '-blockdev', '-global', '-M', '-cpu', '-m'].includes(args[index - 1] ?? ''),
      );
    assert.deepEqual(devices(restore), devices(boot));
    assert.deepEqual(restore.slice(-2), ['-incoming', 'fd:3']);
    assert.ok(!restore.includes('-kernel'));
  });

  it('maps the snapshot’s memory privately and its disk read-only', () => {
    const line = qemuArguments(base).join(' ');
    assert.match(line, /mem-path=\/snap\/memory\.bin,size=256M,share=off/);
    assert.match(line, /read-only=on,file\.driver=file,file\.filename=\/snap\/rootfs\.ext4/);
  });

  it('writes commas of paths twice, as option lists want', () => {
    const line = qemuArguments({ ...base, memoryPath: '/a,b/memory.bin', runDir: '/r,share=on' }).join(' ');
    assert.match(line, /mem-path=\/a,,b\/memory\.bin,size/);
    assert.match(line, /path=\/r,,share=on\/agent,server/);
  });
});

describe('kernelArguments', () => {
  it('tells an emulated guest its clock, which it would else measure and at times hang', () => {
    assert.ok(kernelArguments('tcg', 2_596_120, undefined).includes('tsc_early_khz=2596120'));
    assert.ok(!kernelArguments('kvm', 2_596_120, undefined).some((arg) => arg.startsWith('tsc')));
  });

  it('derives the frequency from bogomips', () => {
    assert.equal(tscKhzFromCpuinfo('processor\t: 0\nbogomips\t: 5192.24\n'), 2_596_120);
    assert.equal(tscKhzFromCpuinfo('nothing'), undefined);
  });
});
