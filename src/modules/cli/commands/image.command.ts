import { Command } from 'nest-commander';
import { GroupCommand } from './forkd.command';
import { ImageBuildCommand } from './image-build.command';
import { ImageLsCommand } from './image-ls.command';
import { ImageRmCommand } from './image-rm.command';

@Command({
  name: 'image',
  description: 'Build, list and delete images on this machine',
  subCommands: [ImageBuildCommand, ImageLsCommand, ImageRmCommand],
})
export class ImageCommand extends GroupCommand {}
