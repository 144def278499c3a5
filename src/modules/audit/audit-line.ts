import type { FinishedRequest } from '../../common/http/request-pipeline';

/** What the line of a mutating route has in addition. */
export interface AuditDetail {
  /** Stable name of what was asked for, e.g. "sandbox.create". */
  readonly action: string;
  /** The client's IP address. */
  readonly remote: string;
  /** Id of the token that was presented; absent when the request was refused or needed none. */
  readonly token?: string;
  /** Ids or tags of what it was done to, and of what was made. */
  readonly targets: readonly string[];
  /** How many were asked for. */
  readonly n?: number;
  /** The tag in the request. */
  readonly tag?: string;
}

/** The second of the last line, and how it is written: most lines share it with the one before. */
let lastSecond = Number.NaN;
let lastStamp = '';

function stampOf(milliseconds: number): string {
  const second = Math.floor(milliseconds / 1000);
  if (second !== lastSecond) {
    lastSecond = second;
    lastStamp = `${new Date(second * 1000).toISOString().slice(0, 19)}Z`;
  }
  return lastStamp;
}

/**
 * One request as a compact JSON line with its line end. Never holds a query, a body or a secret. Put together by hand, as it is a
 * good part of what a small request costs.
 *
 * @param at unix time in milliseconds.
 */
export function auditLine(finished: FinishedRequest, at: number, detail?: AuditDetail): string {
  const { latencyUs, method, path, status, userAgent } = finished;
  const members =
    `"latency_us":${latencyUs},"method":"${method}","path":${JSON.stringify(path)},"status":${status},` +
    `"ts":"${stampOf(at)}","ua":${userAgent === '' ? '""' : JSON.stringify(userAgent)}`;
  return detail === undefined ? `{${members}}\n` : `{${members},${JSON.stringify(detail).slice(1)}\n`;
}
