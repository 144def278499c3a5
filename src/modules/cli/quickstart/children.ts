import type { ApiClient } from '../api/client';
import type { Sandbox } from '../api/types';
import { CliError, ExitCode } from '../errors';
import { privateMemory } from './process-identity';

/** What one child showed. */
export interface ChildResult {
  readonly id: string;
  readonly pid: number | null;
  /** From the fork's request to this child's answer. */
  readonly answerMs: number;
  readonly draw: number;
  /** Of the modules asked for, those the parent had loaded before it was frozen. */
  readonly warmModules: readonly string[];
  /** What the child finds in its variable and its file after all children have written theirs. */
  readonly variable: number;
  readonly file: string;
  readonly privateBytes: number | undefined;
}

const WARM_MODULES = ['json', 're', 'math', 'datetime', 'pathlib', 'subprocess'];
const FILE = '/tmp/forkd-quickstart';

/** Lets every child do something of its own, in parallel, and then look at what it has. */
export async function exercise(
  api: ApiClient,
  children: readonly Sandbox[],
  forkStarted: number,
  signal: AbortSignal,
): Promise<ChildResult[]> {
  const first = await Promise.all(
    children.map(async (child, index) => {
      const said = await evaluate(api, child.id, divergeCode(index + 1), signal);
      return { said, answerMs: performance.now() - forkStarted };
    }),
  );
  return Promise.all(
    children.map(async (child, index): Promise<ChildResult> => {
      const said = await evaluate(api, child.id, lookCode(), signal);
      const warm = first[index]?.said['warm'];
      return {
        id: child.id,
        pid: child.pid,
        answerMs: first[index]?.answerMs ?? 0,
        draw: Number(first[index]?.said['draw']),
        warmModules: Array.isArray(warm) ? warm.map(String) : [],
        variable: Number(said['variable']),
        file: String(said['file']),
        privateBytes: child.pid === null ? undefined : await privateMemory(child.pid),
      };
    }),
  );
}

/** @throws CliError when a child is not what it must be. */
export function requireDivergence(results: readonly ChildResult[]): void {
  results.forEach((result, index) => {
    if (result.variable !== index + 1 || result.file !== `child ${index + 1} drew ${result.draw}`) {
      throw wrong(
        `${result.id} holds what another child wrote: variable ${result.variable}, file "${result.file}"`,
      );
    }
    const cold = WARM_MODULES.filter((name) => !result.warmModules.includes(name));
    if (cold.length > 0) throw wrong(`${result.id} lacks the parent's modules ${cold.join(', ')}`);
  });
  if (new Set(results.map((result) => result.draw)).size !== results.length) {
    throw wrong('two children drew the same random number');
  }
}

function wrong(message: string): CliError {
  return new CliError(
    ExitCode.failed,
    message,
    "This is a defect of forkd: please report it with the daemon's log.",
  );
}

function divergeCode(number: number): string {
  return [
    'import sys',
    `warm = [name for name in ${JSON.stringify(WARM_MODULES)} if name in sys.modules]`,
    'import json, random',
    `quickstart_child = ${number}`,
    'draw = random.random()',
    `with open(${JSON.stringify(FILE)}, "w") as file: file.write(f"child {quickstart_child} drew {draw!r}")`,
    'json.dumps({"draw": draw, "warm": warm})',
  ].join('\n');
}

function lookCode(): string {
  return `json.dumps({"variable": quickstart_child, "file": open(${JSON.stringify(FILE)}).read()})`;
}

async function evaluate(
  api: ApiClient,
  id: string,
  code: string,
  signal: AbortSignal,
): Promise<Readonly<Record<string, unknown>>> {
  const answer = await api.eval(id, code, signal);
  // The result is Python's repr of a string of JSON, which here has no character that repr would escape.
  const json = /^'(.*)'$/s.exec(answer.result ?? '')?.[1];
  if (json === undefined) {
    throw wrong(`${id} answered ${answer.error ?? answer.result ?? 'nothing'} in place of a result`);
  }
  return JSON.parse(json) as Record<string, unknown>;
}
