import { CliError } from '../errors';
import type { Session } from '../session';
import type { QuickstartContext } from './context';
import { down } from './down';
import { quickstartLayout } from './layout';
import { Phases } from './phases';
import { takeLock } from './record-file';
import { jsonFailure, jsonResult, showResult } from './report';
import { up, type UpOptions } from './up';

const INTERRUPTED = 130;
const PHASES = 8;

export interface QuickstartOptions extends UpOptions {
  readonly down: boolean;
  /** With `down`: remove what the quickstart made as well. */
  readonly purge: boolean;
}

/** The only export with a value: Node finds no more than one in a compiled module that is imported late. */
export async function runQuickstart(session: Session, options: QuickstartOptions): Promise<void> {
  if (options.down) await runDown(session, options.purge);
  else await runUp(session, options);
}

async function runUp(session: Session, options: UpOptions): Promise<void> {
  await guarded(session, async (context) => {
    const prepared = Number(context.env['FORKD_PREPARED_MS'] ?? Number.NaN);
    const known = Number.isFinite(prepared);
    const phases = new Phases(context.output, known ? PHASES + 1 : PHASES, context.signal);
    if (known) phases.add('prerequisites', prepared, 'all there');
    try {
      const result = await up(context, phases, options);
      if (context.output.options.json) context.output.json(jsonResult(phases.results, result));
      else showResult(context.output, context, phases.results, result);
    } catch (error) {
      const failure = context.signal.aborted ? interruption(phases.current) : error;
      if (context.output.options.json) context.output.json(jsonFailure(phases, failure));
      throw failure;
    }
  });
}

async function runDown(session: Session, purge: boolean): Promise<void> {
  await guarded(session, async (context) => {
    const { output } = context;
    const result = await output.during('stopping', () => down(context, purge));
    if (output.options.json) {
      output.json({
        ok: true,
        daemon_stopped: result.daemonStopped,
        sandboxes_deleted: result.sandboxesDeleted,
        purged: result.purged,
      });
      return;
    }
    const vms = result.sandboxesDeleted === 1 ? '1 VM' : `${result.sandboxesDeleted} VMs`;
    output.line(result.daemonStopped ? `The daemon and ${vms} are gone.` : 'Nothing was running.');
    if (purge) for (const name of result.purged) output.line(`removed: ${name}`);
    else output.line('Images and snapshots are kept; the next start takes seconds.');
  });
}

/** One at a time, and an interrupt ends the work in order instead of the process at once. */
async function guarded(session: Session, work: (context: QuickstartContext) => Promise<void>): Promise<void> {
  const layout = quickstartLayout(process.env);
  const interrupt = new AbortController();
  const onSignal = (): void => {
    interrupt.abort(new CliError(INTERRUPTED, 'interrupted'));
  };
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const name of signals) process.on(name, onSignal);
  const unlock = await takeLock(layout.lock);
  try {
    await work({
      layout,
      installation: session.installation,
      output: session.output,
      env: process.env,
      signal: interrupt.signal,
    });
  } finally {
    await unlock();
    for (const name of signals) process.off(name, onSignal);
  }
}

function interruption(phase: string): CliError {
  return new CliError(
    INTERRUPTED,
    `interrupted during: ${phase}`,
    'Nothing half was left. Run it again to go on, or stop the daemon: npm run quickstart -- --down',
  );
}
