import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  kernelArguments,
  launchPrefix,
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

  it('gives the same network card whatever it is connected to, and the namespace to the whole of QEMU', () => {
    const machine = { ...base.machine, mac: 'aa:fc:00:00:00:01' };
    const peers = [
      undefined,
      { kind: 'user', isolated: true },
      { kind: 'tap', netns: 'forkd-child-7', tap: 'forkd-tap0' },
    ] as const;
    const lines = peers.map((network) => qemuArguments({ ...base, machine, network }).join(' '));
    for (const line of lines) assert.match(line, /-device virtio-net-device,netdev=n0,mac=aa:fc:00:00:00:01/);
    assert.match(lines[0] ?? '', /-netdev hubport,id=n0/);
    assert.match(lines[1] ?? '', /-netdev user,id=n0,.*restrict=on/);
    assert.match(lines[2] ?? '', /-netdev tap,id=n0,ifname=forkd-tap0,script=no,downscript=no,vnet_hdr=off/);
    assert.deepEqual(launchPrefix(peers[2]), ['nsenter', '--net=/run/netns/forkd-child-7', '--']);
    assert.deepEqual(launchPrefix(undefined), []);
    assert.ok(!qemuArguments(base).includes('-netdev'));
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
