import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { Duplex, type Readable } from 'node:stream';

/** Descriptor of the agent's connection in QEMU. */
const AGENT_FD = 3;
/** Characters of the console that are kept for the report of a failure. */
const CONSOLE_LENGTH = 16_384;

export interface MachineOptions {
  /** Directory with `vmlinux`, `initramfs` and `root.img`; not written to. */
  readonly directory: string;
  /** Directory that the host has at /mnt/exchange. */
  readonly exchange: string;
  readonly memoryMib: number;
  readonly cpus: number;
}

/** The QEMU process of a host. Its CPUs are emulated and have AMD's SVM, so that there is a KVM in the host. */
export class Machine {
  readonly port: Duplex;
  readonly ended: Promise<void>;
  private readonly process: ChildProcess;
  private text = '';

  constructor(options: MachineOptions) {
    // A test run that is killed must not leave it behind.
    const command = ['--pdeathsig', 'KILL', 'qemu-system-x86_64', ...machineArguments(options)];
    this.process = spawn('setpriv', command, { stdio: ['ignore', 'pipe', 'pipe', 'pipe'] });
    const port = this.process.stdio[AGENT_FD];
    if (!(port instanceof Duplex)) throw new Error('QEMU has no connection to its agent port');
    this.port = port;
    this.ended = new Promise((resolve) => {
      this.process.once('close', () => {
        resolve();
      });
      this.process.once('error', (error) => {
        this.text += error.message;
        resolve();
      });
    });
    this.keep(this.process.stdout);
    this.keep(this.process.stderr);
  }

  /** The last that the host's console, and QEMU itself, said. */
  get console(): string {
    return this.text;
  }

  kill(): void {
    this.process.kill('SIGKILL');
  }

  private keep(stream: Readable | null): void {
    stream?.setEncoding('utf8').on('data', (text: string) => {
      this.text = (this.text + text).slice(-CONSOLE_LENGTH);
    });
  }
}

function machineArguments({ directory, exchange, memoryMib, cpus }: MachineOptions): string[] {
  const kernelArguments = [
    ...['console=ttyS0', 'quiet', 'loglevel=4', 'panic=-1', 'mitigations=off', 'systemd.show_status=0'],
    // Under emulation the clock of a busy machine looks unstable, and hung tasks are only slow ones.
    ...['tsc=reliable', 'nowatchdog', 'no_timer_check'],
  ];
  return [
    ...['-name', 'forkd-test-host', '-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot'],
    ...['-M', 'q35', '-accel', 'tcg,thread=multi,tb-size=512', '-cpu', 'EPYC,+svm'],
    ...['-smp', String(cpus), '-m', `${memoryMib}M`],
    ...['-kernel', join(directory, 'vmlinux'), '-initrd', join(directory, 'initramfs')],
    ...['-append', kernelArguments.join(' '), '-serial', 'stdio'],
    // All writes go to a temporary file that is gone with QEMU.
    ...['-drive', `file=${join(directory, 'root.img')},if=none,id=root,format=raw,snapshot=on`],
    ...['-device', 'virtio-blk-pci,drive=root', '-device', 'virtio-rng-pci'],
    ...['-device', 'virtio-serial-pci', '-chardev', `socket,id=agent,fd=${AGENT_FD}`],
    ...['-device', 'virtserialport,chardev=agent,name=test-host'],
    ...['-fsdev', `local,id=exchange,path=${exchange},security_model=none,multidevs=remap`],
    ...['-device', 'virtio-9p-pci,fsdev=exchange,mount_tag=exchange'],
    // A network card, but no way out.
    ...['-netdev', 'user,id=net,restrict=on', '-device', 'virtio-net-pci,netdev=net,romfile='],
  ];
}
