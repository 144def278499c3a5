import { DomainError } from '../../../common/errors/domain-error';
import { requireExecRules } from './spawn-rules';

/** The subprotocol of the streamed exec; its number changes with what old clients would not understand. */
export const STREAM_PROTOCOL = 'forkd.exec.v1';

/** The first byte of a binary message: which of the program's pipes the rest is of. */
export const PIPE = { stdin: 0, stdout: 1, stderr: 2 } as const;

/** Standard input a client may have under way that was not given back by `window`. */
export const INPUT_WINDOW_BYTES = 262_144;

export interface Size {
  readonly rows: number;
  readonly cols: number;
}

/** `start`: what is to run. */
export interface StartMessage {
  readonly type: 'start';
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>> | undefined;
  readonly cwd: string | undefined;
  readonly user: string | undefined;
  readonly stdin: boolean;
  readonly tty: Size | undefined;
  readonly timeoutSecs: number | undefined;
}

export type ClientMessage =
  | StartMessage
  | { readonly type: 'stdin_end' }
  | { readonly type: 'signal'; readonly number: number }
  | ({ readonly type: 'resize' } & Size);

/** Signals by name, with the numbers of Linux on x86-64, arm64 and riscv64. */
const SIGNALS: Readonly<Record<string, number>> = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGQUIT: 3,
  SIGKILL: 9,
  SIGUSR1: 10,
  SIGUSR2: 12,
  SIGTERM: 15,
  SIGCONT: 18,
  SIGSTOP: 19,
  SIGTSTP: 20,
  SIGWINCH: 28,
};

const MAX_CELLS = 65_535;
const MAX_ARGS = 4096;

type Fields = Readonly<Record<string, unknown>>;

/**
 * Reads a text message of a client. Unknown members are ignored.
 *
 * @throws DomainError invalid, naming the member.
 */
export function readClientMessage(text: string): ClientMessage {
  const fields = parse(text);
  switch (fields['type']) {
    case 'start':
      return start(fields);
    case 'stdin_end':
      return { type: 'stdin_end' };
    case 'signal': {
      const name = fields['signal'];
      const number = typeof name === 'string' && Object.hasOwn(SIGNALS, name) ? SIGNALS[name] : undefined;
      if (number === undefined) throw invalid(`signal must be one of ${Object.keys(SIGNALS).join(', ')}`);
      return { type: 'signal', number };
    }
    case 'resize':
      return { type: 'resize', ...size(fields, '') };
    default:
      throw invalid('type must be start, stdin_end, signal or resize');
  }
}

function start(fields: Fields): StartMessage {
  const { args } = fields;
  if (!isTextArray(args) || args.length > MAX_ARGS) {
    throw invalid(`args must be an array of at most ${MAX_ARGS} strings`);
  }
  const timeoutSecs = optional(fields, 'timeout_secs', isNatural, 'an unsigned integer');
  requireExecRules(args, timeoutSecs ?? 0);
  const tty = optional(fields, 'tty', isObject, 'an object with rows and cols');
  return {
    type: 'start',
    args,
    env: optional(fields, 'env', isTextRecord, 'an object of strings'),
    cwd: optional(fields, 'cwd', isText, 'a string'),
    user: optional(fields, 'user', isText, 'a string'),
    stdin: optional(fields, 'stdin', isTruth, 'true or false') ?? false,
    tty: tty === undefined ? undefined : size(tty, 'tty.'),
    timeoutSecs,
  };
}

function parse(text: string): Fields {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw invalid('a text message must be JSON');
  }
  if (!isObject(value)) throw invalid('a text message must be a JSON object');
  return value;
}

function size(fields: Fields, prefix: string): Size {
  return { rows: cells(fields['rows'], `${prefix}rows`), cols: cells(fields['cols'], `${prefix}cols`) };
}

function cells(value: unknown, name: string): number {
  if (isNatural(value) && value <= MAX_CELLS) return value;
  throw invalid(`${name} must be a whole number from 0 to ${MAX_CELLS}`);
}

/** A member that may be absent or null. */
function optional<T>(
  fields: Fields,
  name: string,
  fits: (value: unknown) => value is T,
  expected: string,
): T | undefined {
  const value = fields[name] ?? undefined;
  if (value === undefined) return undefined;
  if (!fits(value)) throw invalid(`${name} must be ${expected}`);
  return value;
}

function isText(value: unknown): value is string {
  return typeof value === 'string';
}

function isTruth(value: unknown): value is boolean {
  return typeof value === 'boolean';
}

function isNatural(value: unknown): value is number {
  return Number.isInteger(value) && Number(value) >= 0;
}

function isObject(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isTextArray(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((each) => typeof each === 'string');
}

function isTextRecord(value: unknown): value is Record<string, string> {
  return isObject(value) && Object.values(value).every((each) => typeof each === 'string');
}

function invalid(text: string): DomainError {
  return new DomainError('invalid', text);
}
