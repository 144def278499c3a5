import assert from 'node:assert/strict';
import type { Answer } from '../http';
import type { SimulatedHost } from '../simulated-host';
import type { Fault, Operation } from './faults';

/** A request, in a state of the host that it may be made in again and again. */
export interface Scenario {
  /** Makes that state; what it returns is told to the request. */
  readonly prepare?: (host: SimulatedHost) => Promise<string>;
  readonly request: (host: SimulatedHost, prepared: string, signal?: AbortSignal) => Promise<Answer>;
  /** The daemon works on after its answer, so the client may have that when a fault comes. */
  readonly goesOn?: true;
  /** Takes back what a request that went well has made. */
  readonly undo?: (host: SimulatedHost) => Promise<void>;
}

/** The operations of a request that goes well. */
export async function operationsOf(host: SimulatedHost, scenario: Scenario): Promise<readonly Operation[]> {
  const prepared = (await scenario.prepare?.(host)) ?? '';
  const operations = host.faults.record();
  const { status, text } = await scenario.request(host, prepared);
  host.faults.release();
  assert.ok(status < 300, `the request itself fails with ${status}: ${text}`);
  await scenario.undo?.(host);
  return [...operations];
}

export interface Visit {
  readonly operation: Operation;
  /** For messages: which operation. */
  readonly at: string;
  readonly prepared: string;
  /** Undefined when the daemon crashed, or the client left. */
  readonly answer?: Answer;
}

/**
 * Makes the request once for each operation of it, each time with the fault at the next operation; calls `check` after each.
 */
export async function sweep(
  host: SimulatedHost,
  scenario: Scenario,
  action: Fault['action'],
  check: (visit: Visit) => Promise<void>,
): Promise<number> {
  const { length } = await operationsOf(host, scenario);
  let hits = 0;
  for (let nth = 1; nth <= length; nth++) {
    const prepared = (await scenario.prepare?.(host)) ?? '';
    const hit = host.faults.inject({ action, nth });
    const leave = new AbortController();
    const asked = scenario.request(host, prepared, leave.signal);
    const first = await Promise.race([hit, asked.then(() => undefined)]);
    if (first === undefined) {
      // What a request does in parallel may end earlier this time.
      host.faults.release();
      await scenario.undo?.(host);
      continue;
    }
    hits += 1;
    const visit = { operation: first, at: `${action} at ${nth}, ${first.name} '${first.target}'`, prepared };
    if (action === 'crash') {
      const cut = cutOff(scenario, asked, visit.at);
      await host.crash();
      await cut;
      await check(visit);
    } else if (action === 'hang') {
      const cut = cutOff(scenario, asked, visit.at);
      leave.abort();
      await cut;
      host.faults.release();
      await check(visit);
    } else {
      const answer = await asked;
      host.faults.release();
      await check({ ...visit, answer });
    }
  }
  return hits;
}

/** What every error must be: JSON with one member, in words for people that tell what failed. */
export function assertClear({ at, answer }: Visit, reason: RegExp): void {
  if (answer === undefined || answer.status < 300) return;
  assert.ok(answer.status >= 400, at);
  const body = JSON.parse(answer.text) as Record<string, unknown>;
  assert.deepEqual(Object.keys(body), ['error'], at);
  assert.match(String(body['error']), reason, at);
  assert.doesNotMatch(String(body['error']), /undefined|\bat \w+ \(|TypeError|Cannot read/, at);
}

/** A request that is cut off gets no answer, unless it may have had one before. */
function cutOff({ goesOn }: Scenario, asked: Promise<Answer>, at: string): Promise<unknown> {
  return goesOn === true ? asked.catch(() => undefined) : assert.rejects(asked, at);
}
