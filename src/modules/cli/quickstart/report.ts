import { relative } from 'node:path';
import { bytes, duration } from '../output/format';
import type { Output } from '../output/output';
import type { Column } from '../output/table';
import type { ChildResult } from './children';
import { TAG, type QuickstartContext } from './context';
import type { PhaseResult, Phases } from './phases';
import type { UpResult } from './up';

const phaseColumns: readonly Column<PhaseResult>[] = [
  { title: 'PHASE', cell: (phase) => phase.name },
  { title: 'TIME', cell: (phase) => duration(phase.ms), align: 'right' },
  { title: 'RESULT', cell: (phase) => phase.detail, minWidth: 12 },
];

const childColumns: readonly Column<ChildResult>[] = [
  { title: 'CHILD', cell: (child) => child.id },
  { title: 'ANSWERED AFTER', cell: (child) => duration(child.answerMs), align: 'right' },
  {
    title: 'PRIVATE MEMORY',
    cell: (child) => (child.privateBytes === undefined ? '-' : bytes(child.privateBytes)),
    align: 'right',
  },
  { title: 'ITS VARIABLE', cell: (child) => String(child.variable), align: 'right' },
  { title: 'ITS FILE', cell: (child) => child.file, minWidth: 12 },
];

/** The tables and the lines that say how to go on. */
export function showResult(
  output: Output,
  context: QuickstartContext,
  phases: readonly PhaseResult[],
  result: UpResult,
): void {
  output.line('');
  output.table(phaseColumns, phases);
  output.line('');
  output.table(childColumns, result.children);
  output.line('');
  output.line(`memory.bin is what it was before the fork: sha256 ${result.memorySha256}`);
  output.line('');
  output.line(nextSteps(context, result.daemon.port));
}

export function jsonResult(phases: readonly PhaseResult[], result: UpResult): object {
  return {
    ok: true,
    url: `http://127.0.0.1:${result.daemon.port}`,
    daemon_pid: result.daemon.pid,
    snapshot: result.snapshot.tag,
    memory: { path: result.memoryPath, sha256: result.memorySha256, unchanged: true },
    phases: phases.map(jsonPhase),
    children: result.children.map((child) => ({
      id: child.id,
      pid: child.pid,
      answer_ms: Math.round(child.answerMs * 10) / 10,
      private_bytes: child.privateBytes ?? null,
      variable: child.variable,
      draw: child.draw,
      file: child.file,
      warm_modules: child.warmModules,
    })),
  };
}

export function jsonFailure(phases: Phases, error: unknown): object {
  return {
    ok: false,
    failed_phase: phases.current,
    error: error instanceof Error ? error.message : String(error),
    phases: phases.results.map(jsonPhase),
  };
}

function jsonPhase({ name, ms, detail }: PhaseResult): object {
  return { name, ms: Math.round(ms), detail };
}

/** Commands that work when pasted into the shell this was started from. */
function nextSteps(context: QuickstartContext, port: number): string {
  const url = `http://127.0.0.1:${port}`;
  const forkd = `node ${shellWord(shortest(`${context.installation.root}/dist/cli.js`))}`;
  const environment = port === 8889 ? [] : [`  export FORKD_URL=${url}`];
  return [
    `The daemon answers at ${url} until you stop it. Go on with REST:`,
    `  curl -s ${url}/v1/sandboxes -H 'content-type: application/json' -d '{"snapshot_tag":"${TAG}","n":2}'`,
    `  curl -s ${url}/v1/sandboxes`,
    'or with the command line:',
    ...environment,
    `  id=$(${forkd} fork --tag ${TAG} --quiet)`,
    `  ${forkd} eval $id 'sum(range(10))'`,
    `  ${forkd} exec $id -- uname -a`,
    `  ${forkd} ls`,
    `  ${forkd} rm --all`,
    'Stop the daemon and its VMs; images and snapshots stay, unless you add --purge:',
    '  npm run quickstart -- --down',
  ].join('\n');
}

function shortest(path: string): string {
  const fromHere = relative(process.cwd(), path);
  return fromHere !== '' && fromHere.length < path.length ? fromHere : path;
}

function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
