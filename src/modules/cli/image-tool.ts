import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { toFields } from './api/types';
import { CliError, ExitCode } from './errors';
import { bytes } from './output/format';

export interface Image {
  readonly name: string;
  readonly digest: string;
  readonly arch: string;
  readonly kernelVersion: string;
  readonly runtimes: readonly string[];
  readonly sizeBytes: number;
  readonly createdAtUnix: number;
}

export interface ImageToolRun {
  /** dist/image-tool.js */
  readonly entry: string;
  readonly args: readonly string[];
  /** Told what the tool does, in words. */
  readonly onStep?: (text: string) => void;
  /** Ends the tool, which cleans up before it exits. */
  readonly signal?: AbortSignal;
}

const EXIT_CODES: Readonly<Record<string, number>> = {
  invalid: ExitCode.failed,
  not_found: ExitCode.notFound,
  conflict: ExitCode.conflict,
};

/** Runs the image tool, a process of its own that speaks one JSON object a line, and gives its result. */
export async function runImageTool(run: ImageToolRun): Promise<unknown> {
  const child = spawn(process.execPath, [run.entry, ...run.args], { stdio: ['ignore', 'pipe', 'inherit'] });
  const stop = (): void => {
    child.kill('SIGTERM');
  };
  // Ctrl-C reaches the tool as well: it cleans up, and this process waits for it.
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);
  run.signal?.addEventListener('abort', stop, { once: true });
  if (run.signal?.aborted === true) stop();
  try {
    const ended = new Promise<string>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code, signal) => {
        resolve(signal ?? String(code));
      });
    });
    const outcome = readOutcome(createInterface({ input: child.stdout }), run.onStep);
    const [end, result] = await Promise.all([ended, outcome]);
    if (result instanceof CliError) throw result;
    if (result === undefined || end !== '0') {
      throw new CliError(ExitCode.failed, `the image tool ended without a result (${end})`);
    }
    return result.value;
  } finally {
    process.off('SIGINT', stop);
    process.off('SIGTERM', stop);
    run.signal?.removeEventListener('abort', stop);
  }
}

async function readOutcome(
  lines: AsyncIterable<string>,
  onStep: ((text: string) => void) | undefined,
): Promise<{ value: unknown } | CliError | undefined> {
  let outcome: { value: unknown } | CliError | undefined;
  for await (const line of lines) {
    const event = toFields(JSON.parse(line));
    if (event['type'] === 'progress') onStep?.(describeStep(event));
    else if (event['type'] === 'result') outcome = { value: event['value'] };
    else if (event['type'] === 'error') {
      const code = typeof event['code'] === 'string' ? EXIT_CODES[event['code']] : undefined;
      outcome = new CliError(code ?? ExitCode.failed, String(event['message']));
    }
  }
  return outcome;
}

function describeStep(event: Readonly<Record<string, unknown>>): string {
  const { step, done, total, unit } = event;
  const text = typeof step === 'string' ? step : '';
  if (typeof done !== 'number') return text;
  const amount = (count: number): string => (unit === 'bytes' ? bytes(count) : String(count));
  const suffix = typeof unit === 'string' && unit !== 'bytes' ? ` ${unit}` : '';
  return typeof total === 'number'
    ? `${text}: ${amount(done)} of ${amount(total)}${suffix}`
    : `${text}: ${amount(done)}${suffix}`;
}

export function toImage(value: unknown): Image {
  const fields = toFields(value);
  const text = (name: string): string => (typeof fields[name] === 'string' ? fields[name] : '');
  const count = (name: string): number => (typeof fields[name] === 'number' ? fields[name] : 0);
  const runtimes = fields['runtimes'];
  return {
    name: text('name'),
    digest: text('digest'),
    arch: text('arch'),
    kernelVersion: text('kernelVersion'),
    runtimes: Array.isArray(runtimes)
      ? runtimes.filter((name): name is string => typeof name === 'string')
      : [],
    sizeBytes: count('sizeBytes'),
    createdAtUnix: count('createdAtUnix'),
  };
}
