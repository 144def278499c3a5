import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { Command, Option, SubCommand } from 'nest-commander';
import { errorMessage } from '../../../common/errors/domain-error';
import { CliError, ExitCode } from '../errors';
import { bytes, duration } from '../output/format';
import { Meter } from '../output/meter';
import type { Session } from '../session';
import { STANDARD } from '../transfer/saved-file';
import { untilInterrupted } from '../transfer/interrupt';
import { argument, ForkdCommand, snapshotTag } from './forkd.command';

const READ_BYTES = 1024 * 1024;

abstract class SnapshotUnpack<Options extends object> extends ForkdCommand<Options> {
  protected async unpack(session: Session, file: string, as: string | undefined): Promise<void> {
    const size = file === STANDARD ? undefined : await sizeOf(file);
    const api = await session.api();
    const { output } = session;
    const started = performance.now();
    const made = await untilInterrupted((signal) =>
      output.during(`unpacking ${file}`, async (step) => {
        const source =
          file === STANDARD ? process.stdin : createReadStream(file, { highWaterMark: READ_BYTES });
        const meter = new Meter(`unpacking ${file}`, step, size);
        const counted = meter.counting();
        source.once('error', (error: Error) => counted.destroy(error));
        try {
          return await api.unpack(source.pipe(counted), size, as, signal);
        } finally {
          source.destroy();
        }
      }),
    );
    if (output.options.json) {
      output.json(made);
      return;
    }
    if (output.options.quiet) for (const tag of made.unpacked) output.line(tag);
    else {
      output.fields([
        ['tag', made.tag],
        ['new', made.unpacked.join(', ')],
        ...(made.reused.length === 0 ? [] : [['stored on', made.reused.join(', ')] as const]),
        ['content', bytes(made.bytes)],
      ]);
    }
    const ms = performance.now() - started;
    output.note(
      `unpacked in ${duration(ms)}, ${bytes(made.bytes / (ms / 1000))}/s; fork it: forkd fork --tag ${made.tag}`,
    );
  }
}

async function sizeOf(file: string): Promise<number> {
  const found = await stat(file).catch((error: unknown) => {
    throw new CliError(ExitCode.failed, `${file} cannot be read: ${errorMessage(error)}`, undefined, {
      cause: error,
    });
  });
  if (!found.isFile())
    throw new CliError(ExitCode.failed, `${file} is no file`, 'Write - to read from standard input.');
  return found.size;
}

interface UnpackOptions {
  readonly as?: string;
}

@SubCommand({
  name: 'unpack',
  arguments: '<file>',
  description: 'Make a snapshot of a pack; - reads standard input',
})
export class SnapshotUnpackCommand extends SnapshotUnpack<UnpackOptions> {
  @Option({ flags: '--as <tag>', description: 'its tag here, in place of its own' })
  as(text: string): string {
    return snapshotTag(text);
  }

  protected override async execute(
    session: Session,
    args: readonly string[],
    { as }: UnpackOptions,
  ): Promise<void> {
    await this.unpack(session, argument(args, 0, '<file>'), as);
  }
}

interface UpstreamOptions {
  readonly tag?: string;
}

@Command({
  name: 'unpack',
  arguments: '<file>',
  description: '`forkd snapshot unpack`',
  options: { hidden: true },
})
export class UpstreamUnpackCommand extends SnapshotUnpack<UpstreamOptions> {
  @Option({ flags: '--tag <tag>', description: 'its tag here, in place of its own' })
  tag(text: string): string {
    return snapshotTag(text);
  }

  protected override async execute(
    session: Session,
    args: readonly string[],
    { tag }: UpstreamOptions,
  ): Promise<void> {
    await this.unpack(session, argument(args, 0, '<file>'), tag);
  }
}
