import { Command, Option } from 'nest-commander';
import { ExitCode } from '../errors';
import { wrap } from '../output/format';
import { printable } from '../output/table';
import type { Color } from '../output/output';
import type { CheckResult, CheckStatus } from '../doctor/check';
import type { Session } from '../session';
import { ForkdCommand } from './forkd.command';

interface DoctorCommandOptions {
  readonly snapshotRoot?: string;
  readonly imageRoot?: string;
  readonly runDir?: string;
  readonly qemu?: string;
}

const COLORS: Readonly<Record<CheckStatus, Color>> = { pass: 'green', warn: 'yellow', fail: 'red' };

@Command({
  name: 'doctor',
  description: 'Check this machine and the daemon; what is wrong comes with a command that puts it right',
})
export class DoctorCommand extends ForkdCommand<DoctorCommandOptions> {
  @Option({ flags: '--snapshot-root <dir>', description: "in place of the running daemon's" })
  snapshotRoot(text: string): string {
    return text;
  }

  @Option({ flags: '--image-root <dir>', description: "in place of the running daemon's" })
  imageRoot(text: string): string {
    return text;
  }

  @Option({ flags: '--run-dir <dir>', description: "in place of the running daemon's" })
  runDir(text: string): string {
    return text;
  }

  @Option({ flags: '--qemu <path>', description: "in place of the running daemon's" })
  qemu(text: string): string {
    return text;
  }

  protected override async execute(
    session: Session,
    _args: readonly string[],
    options: DoctorCommandOptions,
  ): Promise<void> {
    const { examine } = await import('../doctor/run.js');
    const named = {
      'snapshot-root': options.snapshotRoot,
      'image-root': options.imageRoot,
      'run-dir': options.runDir,
      qemu: options.qemu,
    };
    const flags = Object.fromEntries(Object.entries(named).filter(([, value]) => value !== undefined));
    const { output } = session;
    const results = await output.during('examining this machine', () => examine(session, flags, process.env));
    const count = (status: CheckStatus): number => results.filter((one) => one.status === status).length;
    const healthy = count('fail') === 0;
    if (output.options.json) output.json({ ok: healthy, checks: results });
    else if (output.options.quiet) {
      for (const one of results) if (one.status !== 'pass') output.line(one.name);
    } else {
      print(session, results);
      output.note(`${count('pass')} passed, ${count('warn')} warnings, ${count('fail')} failed`);
    }
    if (!healthy) process.exitCode = ExitCode.failed;
  }
}

function print({ output }: Session, results: readonly CheckResult[]): void {
  const nameWidth = Math.max(...results.map(({ name }) => name.length));
  const indent = ' '.repeat(nameWidth + 8);
  const room = output.width === undefined ? undefined : Math.max(20, output.width - indent.length);
  for (const { name, status, detail, fix } of results) {
    const [first = '', ...rest] = wrap(printable(detail), room);
    output.line(`${output.paint(status, COLORS[status])}  ${name.padEnd(nameWidth)}  ${first}`);
    for (const line of rest) output.line(indent + line);
    // Never cut or broken, as it is there to be copied.
    if (fix !== undefined) output.line(`${indent}fix: ${printable(fix)}`);
  }
}
