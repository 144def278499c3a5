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

/** One request as a compact JSON line with its line end. Never holds a query, a body or a secret. */
export function auditLine(finished: FinishedRequest, at: Date, detail?: AuditDetail): string {
  const entry = {
    latency_us: finished.latencyUs,
    method: finished.method,
    path: finished.path,
    status: finished.status,
    ts: `${at.toISOString().slice(0, 19)}Z`,
    ua: finished.userAgent,
    ...detail,
  };
  return `${JSON.stringify(entry)}\n`;
}
