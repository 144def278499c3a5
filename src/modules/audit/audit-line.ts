import type { FinishedRequest } from '../../common/http/request-pipeline';

/** What a mutating route adds to its line. */
export interface AuditDetail {
  /** Stable name of what was done, e.g. "sandbox.create". */
  readonly action: string;
  /** Ids or tags that it was done to. */
  readonly targets: readonly string[];
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
