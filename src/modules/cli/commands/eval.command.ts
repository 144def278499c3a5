import { text as readText } from 'node:stream/consumers';
import { Command } from 'nest-commander';
import { ExitCode } from '../errors';
import type { Session } from '../session';
import { argument, ForkdCommand, sandboxId } from './forkd.command';

@Command({
  name: 'eval',
  arguments: '<id> <code>',
  description:
    'Evaluate code in a sandbox\'s warm runtime and print the result; "-" reads the code from stdin',
})
export class EvalCommand extends ForkdCommand {
  protected override async execute(session: Session, args: readonly string[]): Promise<void> {
    const id = sandboxId(argument(args, 0, '<id>'));
    const given = argument(args, 1, '<code>');
    const code = given === '-' ? await readText(process.stdin) : given;
    const api = await session.api();
    const answer = await api.eval(id, code);
    const { output } = session;
    if (output.options.json) {
      output.json(answer);
    } else {
      if (answer.result !== null) output.line(answer.result);
      if (answer.error !== null) output.errorData(`${answer.error}\n`);
    }
    if (answer.exit_code !== 0) process.exitCode = ExitCode.failed;
  }
}
