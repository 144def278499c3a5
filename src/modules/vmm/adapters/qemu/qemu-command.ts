import type { Accelerator, MachineSpec, NetworkPeer } from '../../domain/vm';

/** File descriptors handed to QEMU; 0 to 2 are the standard ones. */
export const VMSTATE_FD = 3;
export const CONTROL_FD = 4;

/** Socket and log names inside a VM's run directory; short, as a unix socket's path has at most 107 bytes. */
export const QMP_SOCKET = 'qmp';
export const AGENT_SOCKET = 'agent';
export const LOG_FILE = 'vmm.log';

/** QEMU's name of the guest's agent port. */
const AGENT_PORT = 'agent';

/** Bytes of guest console that QEMU keeps in memory; a power of two, as its ring buffer wants. */
export const CONSOLE_BYTES = 65_536;

export const MACHINE_TYPE = 'microvm';

/** The guest CPU: all that the accelerator offers, as a snapshot never leaves its kind of host anyway. */
export const CPU_MODEL: Record<Accelerator, string> = { kvm: 'host', tcg: 'max' };

export type QemuStart =
  | {
      readonly kind: 'boot';
      readonly kernelPath: string;
      readonly initramfsPath: string;
      readonly kernelArgs: readonly string[];
    }
  | { readonly kind: 'restore' };

export interface QemuCommand {
  readonly accelerator: Accelerator;
  readonly runDir: string;
  readonly machine: MachineSpec;
  readonly memoryPath: string;
  readonly start: QemuStart;
  readonly network?: NetworkPeer | undefined;
}

/** A value inside a QEMU option list, where a comma is written twice. */
function option(value: string): string {
  return value.replaceAll(',', ',,');
}

/**
 * QEMU's arguments. A parent and its children must get the same devices in the same order; only the way they start
 * differs. No argument may depend on the host beyond the paths given.
 */
export function qemuArguments(command: QemuCommand): string[] {
  const { machine, runDir, accelerator } = command;
  const args = [
    // rtc stays on (its absence costs the guest 2.5 s of boot); no timer but the local APIC's.
    '-M',
    `${MACHINE_TYPE},acpi=on,isa-serial=off,pic=off,pit=off,rtc=on,suppress-vmdesc=on,memory-backend=ram`,
    '-accel',
    accelerator === 'tcg' ? 'tcg,tb-size=64' : 'kvm',
    '-cpu',
    CPU_MODEL[accelerator],
    '-smp',
    String(machine.vcpus),
    '-m',
    `${machine.memSizeMib}M`,
    '-nodefaults',
    '-no-user-config',
    '-display',
    'none',
    '-no-reboot',
    '-sandbox',
    'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny',
    '-object',
    `memory-backend-file,id=ram,mem-path=${option(command.memoryPath)},size=${machine.memSizeMib}M,share=off`,
    // The monitor on an inherited socket is there at once; the one with a path is for a later daemon.
    '-chardev',
    `socket,id=control,fd=${CONTROL_FD}`,
    '-mon',
    'chardev=control,mode=control',
    '-chardev',
    `socket,id=qmp,path=${option(`${runDir}/${QMP_SOCKET}`)},server=on,wait=off`,
    '-mon',
    'chardev=qmp,mode=control',
    '-chardev',
    `socket,id=agent,path=${option(`${runDir}/${AGENT_SOCKET}`)},server=on,wait=off`,
    '-chardev',
    `ringbuf,id=console,size=${CONSOLE_BYTES}`,
    '-device',
    'virtio-serial-device,id=vser0,max_ports=4',
    '-device',
    'virtconsole,bus=vser0.0,nr=0,chardev=console',
    '-device',
    `virtserialport,bus=vser0.0,nr=1,chardev=agent,name=${AGENT_PORT}`,
    '-blockdev',
    // No lock: any number of children read the same file, and nobody writes it.
    `driver=raw,node-name=d0,read-only=on,file.driver=file,file.filename=${option(machine.rootfsPath)},file.locking=off`,
    '-device',
    'virtio-blk-device,drive=d0',
    ...(machine.mac === undefined ? [] : networkArguments(machine.mac, command.network)),
    // Children are loaded from bare device state, which lacks this section.
    '-global',
    'migration.send-configuration=off',
  ];
  if (command.start.kind === 'restore') args.push('-incoming', `fd:${VMSTATE_FD}`);
  else {
    const { kernelPath, initramfsPath, kernelArgs } = command.start;
    args.push('-kernel', kernelPath, '-initrd', initramfsPath, '-append', kernelArgs.join(' '));
  }
  return args;
}

/**
 * The device is the same whatever it is connected to: without vnet_hdr a tap offers the guest what the others offer, so
 * that a child can be connected otherwise than its parent was.
 */
function networkArguments(mac: string, peer: NetworkPeer = { kind: 'nothing' }): string[] {
  return ['-netdev', netdev(peer), '-device', `virtio-net-device,netdev=n0,mac=${mac}`];
}

function netdev(peer: NetworkPeer): string {
  switch (peer.kind) {
    case 'nothing':
      // A hub with a single port.
      return 'hubport,id=n0,hubid=0';
    case 'tap':
      return `tap,id=n0,ifname=${peer.tap},script=no,downscript=no,vnet_hdr=off`;
    case 'user':
      return `user,id=n0,ipv6=off,net=10.42.0.0/24,host=10.42.0.1,dns=10.42.0.3,dhcpstart=10.42.0.15,restrict=${peer.isolated ? 'on' : 'off'}`;
  }
}

/**
 * What QEMU is started with, before its own name, so that it runs in the namespace of its tap; the pid stays the same.
 */
export function launchPrefix(peer: NetworkPeer | undefined): string[] {
  if (peer?.kind !== 'tap' || peer.netns === undefined) return [];
  return ['nsenter', `--net=/run/netns/${peer.netns}`, '--'];
}

/**
 * The kernel command line of a parent.
 * @param tscKhz frequency of the guest's TSC; without it the calibration hangs at random under software emulation.
 */
export function kernelArguments(
  accelerator: Accelerator,
  tscKhz: number | undefined,
  extra: string | undefined,
): string[] {
  // hvc0 comes with a module, and /init must find some console before that.
  const args = ['quiet', 'reboot=t', 'panic=-1', 'console=tty0', 'console=hvc0'];
  if (accelerator === 'tcg') {
    args.push('nowatchdog', 'tsc=reliable');
    if (tscKhz !== undefined) args.push(`tsc_early_khz=${tscKhz}`);
  }
  if (extra !== undefined) args.push(extra);
  return args;
}

/** The TSC's frequency from /proc/cpuinfo: the kernel prints two bogomips per MHz of it. */
export function tscKhzFromCpuinfo(cpuinfo: string): number | undefined {
  const bogomips = /^bogomips\s*:\s*([\d.]+)$/m.exec(cpuinfo)?.[1];
  return bogomips === undefined ? undefined : Math.round(Number(bogomips) * 500);
}
