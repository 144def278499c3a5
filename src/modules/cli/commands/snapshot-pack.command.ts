import { Command, Option, SubCommand } from 'nest-commander';
import { CliError, ExitCode } from '../errors';
import { bytes, duration } from '../output/format';
import { Meter } from '../output/meter';
import type { Session } from '../session';
import { savedFile, STANDARD } from '../transfer/saved-file';
import { untilInterrupted } from '../transfer/interrupt';
import { argument, ForkdCommand, snapshotTag } from './forkd.command';
import { withTagHint } from './tag-hint';

interface PackOptions {
  readonly out?: string;
  readonly force?: boolean;
}

abstract class SnapshotPack<Options extends PackOptions> extends ForkdCommand<Options> {
  @Option({
    flags: '-o, --out <file>',
    description: 'where the pack goes; - for standard output (TAG.forkd.tar.zst)',
  })
  out(text: string): string {
    if (text === '') throw new CliError(ExitCode.usage, '--out is empty');
    return text;
  }

  @Option({ flags: '--force', description: 'replace the file if there is one' })
  force(): boolean {
    return true;
  }

  protected async pack(session: Session, tag: string, options: PackOptions): Promise<void> {
    const file = options.out ?? `${tag}.forkd.tar.zst`;
    const api = await session.api();
    const { output } = session;
    const started = performance.now();
    const made = await untilInterrupted((signal) =>
      output.during(`packing ${tag}`, (step) =>
        withTagHint(session, tag, async () => {
          const { stream, contentBytes } = await api.pack(tag, signal);
          const meter = new Meter(`packing ${tag}`, step, undefined, contentBytes);
          const saved = await savedFile(file, options.force === true, stream, meter.counting(), signal);
          return { ...saved, contentBytes };
        }),
      ),
    );
    if (file === STANDARD) return;
    const seconds = (performance.now() - started) / 1000;
    const { sha256, contentBytes } = made;
    if (output.options.json) {
      output.json({ tag, file, bytes: made.bytes, content_bytes: contentBytes, sha256, seconds });
      return;
    }
    if (output.options.quiet) output.line(file);
    else {
      output.fields([
        ['tag', tag],
        ['file', file],
        ['size', `${bytes(made.bytes)}, ${bytes(contentBytes)} of content`],
        ['sha256', sha256],
      ]);
    }
    output.note(`made in ${duration(seconds * 1000)}, ${bytes(contentBytes / seconds)}/s`);
  }
}

@SubCommand({
  name: 'pack',
  arguments: '<tag>',
  description: 'Write a snapshot, and all it is stored on, into one file',
})
export class SnapshotPackCommand extends SnapshotPack<PackOptions> {
  protected override async execute(
    session: Session,
    args: readonly string[],
    options: PackOptions,
  ): Promise<void> {
    await this.pack(session, snapshotTag(argument(args, 0, '<tag>')), options);
  }
}

interface UpstreamOptions extends PackOptions {
  readonly tag: string;
}

@Command({ name: 'pack', description: '`forkd snapshot pack`', options: { hidden: true } })
export class UpstreamPackCommand extends SnapshotPack<UpstreamOptions> {
  @Option({ flags: '--tag <tag>', description: 'the snapshot', required: true })
  tag(text: string): string {
    return snapshotTag(text);
  }

  protected override async execute(
    session: Session,
    _args: readonly string[],
    options: UpstreamOptions,
  ): Promise<void> {
    await this.pack(session, options.tag, options);
  }
}
