import { Command } from 'nest-commander';
import { GroupCommand } from './forkd.command';
import { TokenRotateCommand } from './token-rotate.command';

@Command({
  name: 'token',
  description: "The daemon's bearer token",
  subCommands: [TokenRotateCommand],
})
export class TokenCommand extends GroupCommand {}
