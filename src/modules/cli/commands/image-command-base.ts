import { Option } from 'nest-commander';
import { runImageTool } from '../image-tool';
import { age, bytes } from '../output/format';
import type { Column } from '../output/table';
import { imageRoot } from '../paths';
import type { Image } from '../image-tool';
import type { Session } from '../session';
import { ForkdCommand } from './forkd.command';

export interface ImageOptions {
  readonly imageRoot?: string;
}

export const imageColumns: readonly Column<Image>[] = [
  { title: 'NAME', cell: (image) => image.name },
  { title: 'DIGEST', cell: (image) => image.digest.slice(0, 12) },
  { title: 'SIZE', cell: (image) => bytes(image.sizeBytes), align: 'right' },
  { title: 'AGE', cell: (image) => age(image.createdAtUnix), align: 'right' },
  { title: 'KERNEL', cell: (image) => image.kernelVersion, minWidth: 6, optional: true },
  { title: 'RUNTIMES', cell: (image) => image.runtimes.join(',') || '-', minWidth: 8, optional: true },
];

/** Images are made on this machine, without the daemon. */
export abstract class ImageCommandBase extends ForkdCommand<ImageOptions> {
  @Option({
    flags: '--image-root <dir>',
    description: "where images are kept (FORKD_IMAGE_ROOT); must be the daemon's",
  })
  imageRoot(text: string): string {
    return text;
  }

  protected tool(
    session: Session,
    args: readonly string[],
    options: ImageOptions,
    onStep?: (text: string) => void,
  ): Promise<unknown> {
    const root = imageRoot(options.imageRoot, process.env);
    return runImageTool({
      entry: session.installation.imageToolEntry,
      args: [...args, '--image-root', root],
      ...(onStep === undefined ? {} : { onStep }),
    });
  }
}
