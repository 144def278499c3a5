import { SubCommand } from 'nest-commander';
import { toImage } from '../image-tool';
import { duration } from '../output/format';
import type { Session } from '../session';
import { argument } from './forkd.command';
import { imageColumns, ImageCommandBase, type ImageOptions } from './image-command-base';

@SubCommand({
  name: 'build',
  arguments: '<name>',
  description: 'Build an image on this machine: forkd image build python',
})
export class ImageBuildCommand extends ImageCommandBase {
  protected override async execute(
    session: Session,
    args: readonly string[],
    options: ImageOptions,
  ): Promise<void> {
    const name = argument(args, 0, '<name>');
    const started = performance.now();
    const image = await session.output.during(`image ${name}`, async (step) =>
      toImage(await this.tool(session, ['build', name], options, step)),
    );
    if (session.output.options.json) {
      session.output.json(image);
      return;
    }
    session.output.rows(imageColumns, [image], (one) => one.name);
    session.output.note(`ready after ${duration(performance.now() - started)}`);
  }
}
