import { ProtocolError } from './domain/protocol-error';
import { AgentHello, EvalResult, ExecResult } from './guest-agent.types';
import { GuestError } from './guest-error';

/** The lowest protocol version this daemon can work with. */
export const PROTOCOL_VERSION = 1;

const MAX_NAMES = 128;
const NAME = /^[\w.+:-]{1,64}$/;
const MAX_MESSAGE_CHARS = 4096;
const MAX_PING_DEPTH = 8;
const MAX_PING_VALUES = 512;
/** Exit statuses are 0 to 255, signals 1 to 64. */
const MIN_EXIT_CODE = -64;
const MAX_EXIT_CODE = 255;

export type JsonObject = Record<string, unknown>;
export type ExecStatus = Omit<ExecResult, 'stdout' | 'stderr'>;

/** Reads HELLO. Throws ProtocolError on any other shape, or a version this daemon cannot work with. */
export function readHello(payload: Buffer): AgentHello {
  const hello = parseObject(payload, 'HELLO');
  const protocol = integer(hello['protocol'], 0, 0xffff, 'protocol in HELLO');
  if (protocol < PROTOCOL_VERSION) {
    throw new ProtocolError(
      `it speaks version ${protocol}, and this daemon needs ${PROTOCOL_VERSION} or later`,
    );
  }
  const agent = hello['agent'];
  if (typeof agent !== 'string' || !NAME.test(agent)) throw malformed('agent in HELLO');
  return {
    protocol,
    agent,
    capabilities: names(hello['capabilities'], 'capabilities in HELLO'),
    runtimes: names(hello['runtimes'], 'runtimes in HELLO'),
  };
}

/** Reads RESPONSE: the result, or the guest's refusal. Throws ProtocolError on any other shape. */
export function readResponse(payload: Buffer): JsonObject | GuestError {
  const response = parseObject(payload, 'RESPONSE');
  const { result, error } = response;
  if ((result === undefined) === (error === undefined)) throw malformed('RESPONSE');
  if (error === undefined) {
    if (!isObject(result)) throw malformed('result in RESPONSE');
    return result;
  }
  if (!isObject(error)) throw malformed('error in RESPONSE');
  const { code, message } = error;
  if (typeof code !== 'string' || !NAME.test(code) || typeof message !== 'string') {
    throw malformed('error in RESPONSE');
  }
  return new GuestError(code, message.slice(0, MAX_MESSAGE_CHARS));
}

/** The guest's object as it is, when it is small and flat enough to be handed on. Throws ProtocolError otherwise. */
export function readPing(result: JsonObject): JsonObject {
  let values = 0;
  const visit = (value: unknown, depth: number): void => {
    values += 1;
    if (values > MAX_PING_VALUES || depth > MAX_PING_DEPTH)
      throw new ProtocolError('an answer to ping that is too large');
    if (typeof value !== 'object' || value === null) return;
    // A member of this name would set the prototype of whatever it is assigned to.
    if (Object.hasOwn(value, '__proto__')) throw malformed('answer to ping');
    for (const member of Object.values(value)) visit(member, depth + 1);
  };
  visit(result, 0);
  return result;
}

/** How far the guest's clock was moved, in nanoseconds. Throws ProtocolError on any other shape. */
export function readIdentity(result: JsonObject): bigint {
  const step = result['clock_step_ns'];
  if (typeof step !== 'string' || !/^-?\d{1,20}$/.test(step)) throw malformed('clock_step_ns');
  return BigInt(step);
}

/** Throws ProtocolError on any other shape. */
export function readExecStatus(result: JsonObject): ExecStatus {
  const signal = result['signal'];
  if (signal !== undefined && (typeof signal !== 'string' || !NAME.test(signal))) throw malformed('signal');
  return {
    exitCode: integer(result['exit_code'], MIN_EXIT_CODE, MAX_EXIT_CODE, 'exit_code'),
    ...(signal !== undefined && { signal }),
    timedOut: flag(result, 'timed_out'),
    stdoutTruncated: flag(result, 'stdout_truncated'),
    stderrTruncated: flag(result, 'stderr_truncated'),
  };
}

/** Throws ProtocolError on any other shape. */
export function readEvalResult(value: JsonObject): EvalResult {
  const { result, error, traceback, stdout, stderr } = value;
  if (!isStringOrNull(result)) throw malformed('result of eval');
  if (!isStringOrNull(error)) throw malformed('error of eval');
  if (traceback !== undefined && typeof traceback !== 'string') throw malformed('traceback of eval');
  if (typeof stdout !== 'string' || typeof stderr !== 'string') throw malformed('output of eval');
  const exitCode = integer(value['exit_code'], 0, 1, 'exit_code of eval');
  return { result, error, ...(traceback !== undefined && { traceback }), stdout, stderr, exitCode };
}

function parseObject(payload: Buffer, what: string): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(payload.toString('utf8'));
  } catch {
    throw malformed(what);
  }
  if (!isObject(value)) throw malformed(what);
  return value;
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isStringOrNull(value: unknown): value is string | null {
  return value === null || typeof value === 'string';
}

function integer(value: unknown, min: number, max: number, what: string): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < min || value > max)
    throw malformed(what);
  return value;
}

function flag(object: JsonObject, name: string): boolean {
  const value = object[name];
  if (typeof value !== 'boolean') throw malformed(name);
  return value;
}

function names(value: unknown, what: string): readonly string[] {
  if (!Array.isArray(value) || value.length > MAX_NAMES) throw malformed(what);
  return value.map((name: unknown) => {
    if (typeof name !== 'string' || !NAME.test(name)) throw malformed(what);
    return name;
  });
}

function malformed(what: string): ProtocolError {
  return new ProtocolError(`${what} is malformed`);
}
