import { SubCommand } from 'nest-commander';
import { toList } from '../api/types';
import { toImage } from '../image-tool';
import type { Session } from '../session';
import { imageColumns, ImageCommandBase, type ImageOptions } from './image-command-base';

@SubCommand({ name: 'ls', aliases: ['list'], description: 'List the images built on this machine' })
export class ImageLsCommand extends ImageCommandBase {
  protected override async execute(
    session: Session,
    _args: readonly string[],
    options: ImageOptions,
  ): Promise<void> {
    const images = toList(await this.tool(session, ['ls'], options), toImage);
    session.output.rows(imageColumns, images, (image) => image.name);
    if (images.length === 0 && !session.output.options.json) {
      session.output.note('No images. `forkd image build python` makes one.');
    }
  }
}
