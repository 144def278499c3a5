import { resolve } from 'node:path';
import { Option } from 'nest-commander';
import type { SnapshotRequest } from '../api/types';
import { CliError, ExitCode, withHint } from '../errors';
import { duration } from '../output/format';
import type { Session } from '../session';
import { ForkdCommand, wholeNumber } from './forkd.command';
import { snapshotColumns } from './snapshot-columns';

export interface BuildOptions {
  readonly image?: string;
  readonly kernel?: string;
  readonly rootfs?: string;
  readonly rw?: boolean;
  readonly tap?: string;
  readonly bootWaitSecs?: number;
  readonly memSizeMib?: number;
  readonly vcpus?: number;
}

/** What is common to the ways of writing "make a snapshot of a fresh VM". */
export abstract class SnapshotBuildBase<Options extends BuildOptions> extends ForkdCommand<Options> {
  @Option({ flags: '-i, --image <name>', description: 'a built image (`forkd image ls`)' })
  image(text: string): string {
    return text;
  }

  @Option({ flags: '--kernel <path>', description: "kernel on the daemon's host, in place of --image" })
  kernel(text: string): string {
    return resolve(text);
  }

  @Option({ flags: '--rootfs <path>', description: "root disk on the daemon's host, in place of --image" })
  rootfs(text: string): string {
    return resolve(text);
  }

  @Option({ flags: '--rw', description: 'boot the root disk writable' })
  rw(): boolean {
    return true;
  }

  @Option({ flags: '--tap <name>', description: "tap device for the guest's eth0" })
  tap(text: string): string {
    return text;
  }

  @Option({ flags: '--boot-wait-secs <seconds>', description: 'upper bound of the warm-up, 0 to 60' })
  bootWaitSecs(text: string): number {
    return wholeNumber(text, '--boot-wait-secs', 0, 60);
  }

  @Option({ flags: '--mem-size-mib <MiB>', description: 'memory of the guest, 64 to 65536' })
  memSizeMib(text: string): number {
    return wholeNumber(text, '--mem-size-mib', 64, 65_536);
  }

  @Option({ flags: '--vcpus <number>', description: 'virtual CPUs of the guest, 1 to 32' })
  vcpus(text: string): number {
    return wholeNumber(text, '--vcpus', 1, 32);
  }

  protected async build(session: Session, tag: string, options: BuildOptions): Promise<void> {
    const body = { tag, ...source(options), ...machine(options) };
    const api = await session.api();
    const started = performance.now();
    const snapshot = await session.output.during(`booting and warming the parent of ${tag}`, () =>
      api.createSnapshot(body).catch((error: unknown) => {
        throw imageHint(error, options.image);
      }),
    );
    if (session.output.options.json) {
      session.output.json(snapshot);
      return;
    }
    session.output.rows(snapshotColumns, [snapshot], (one) => one.tag);
    session.output.note(
      `made in ${duration(performance.now() - started)}; fork it: forkd fork --tag ${tag} -n 2`,
    );
  }
}

function source(options: BuildOptions): Partial<SnapshotRequest> {
  const { image, kernel, rootfs } = options;
  if (image !== undefined && kernel === undefined && rootfs === undefined) return { image };
  if (image === undefined && kernel !== undefined && rootfs !== undefined) return { kernel, rootfs };
  throw new CliError(
    ExitCode.usage,
    'give either --image, or --kernel and --rootfs',
    'For example: forkd snapshot create python --image python',
  );
}

function machine(options: BuildOptions): Partial<SnapshotRequest> {
  return {
    ...(options.rw === true ? { rw: true } : {}),
    ...(options.tap === undefined ? {} : { tap: options.tap }),
    ...(options.bootWaitSecs === undefined ? {} : { boot_wait_secs: options.bootWaitSecs }),
    ...(options.memSizeMib === undefined ? {} : { mem_size_mib: options.memSizeMib }),
    ...(options.vcpus === undefined ? {} : { vcpus: options.vcpus }),
  };
}

function imageHint(error: unknown, image: string | undefined): unknown {
  const unknown = error instanceof CliError && error.exitCode === ExitCode.notFound;
  if (!unknown || image === undefined || error.hint === undefined) return error;
  return withHint(error, `\`forkd image ls\` shows the images; \`forkd image build ${image}\` makes it.`);
}
