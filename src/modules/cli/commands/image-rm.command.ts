import { SubCommand } from 'nest-commander';
import type { Session } from '../session';
import { ImageCommandBase, type ImageOptions } from './image-command-base';
import { removeEach } from './remove-each';

@SubCommand({
  name: 'rm',
  arguments: '<name...>',
  description: 'Delete images; snapshots made from them can no longer be forked',
})
export class ImageRmCommand extends ImageCommandBase {
  protected override async execute(
    session: Session,
    args: readonly string[],
    options: ImageOptions,
  ): Promise<void> {
    await removeEach(session, [...new Set(args)], async (name) => {
      await this.tool(session, ['rm', name], options);
    });
  }
}
