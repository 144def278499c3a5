import { Command } from 'nest-commander';
import type { Session } from '../session';
import { ForkdCommand } from './forkd.command';

@Command({ name: 'version', description: "Show the version of this program (`status` shows the daemon's)" })
export class VersionCommand extends ForkdCommand {
  protected override execute(session: Session): Promise<void> {
    const { version } = session.installation;
    if (session.output.options.json) session.output.json({ version });
    else session.output.line(session.output.options.quiet ? version : `forkd ${version}`);
    return Promise.resolve();
  }
}
