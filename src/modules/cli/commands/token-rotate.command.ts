import { SubCommand } from 'nest-commander';
import { CliError, ExitCode } from '../errors';
import type { Session } from '../session';
import { rotateToken } from '../token-file';
import { ForkdCommand } from './forkd.command';

@SubCommand({
  name: 'rotate',
  arguments: '[file]',
  description: "Put a new random token into the daemon's token file; it follows, without a restart",
})
export class TokenRotateCommand extends ForkdCommand {
  protected override async execute(session: Session, args: readonly string[]): Promise<void> {
    const path = args[0] ?? session.tokenFile;
    if (path === undefined || path === '') {
      throw new CliError(
        ExitCode.usage,
        'no token file was named',
        "Name the daemon's own: forkd token rotate /etc/forkd/token, or set FORKD_TOKEN_FILE.",
      );
    }
    const rotated = await rotateToken(path);
    const { output } = session;
    if (output.options.json) output.json(rotated);
    else if (output.options.quiet) output.line(rotated.token_id);
    else {
      output.fields([
        ['file', rotated.file],
        ['token id', rotated.token_id],
      ]);
    }
    output.note(
      'The old token works until the daemon has seen the new one and its grace (--token-grace) is over.',
    );
  }
}
