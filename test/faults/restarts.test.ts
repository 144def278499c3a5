import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { isAlive } from '../../src/common/os/proc';
import type { SandboxRecord } from '../../src/modules/registry/domain/records';
import { assertAnswering, assertRealityIs, difference, listed, type State } from '../support/faults/estate';
import type { FaultOrder } from '../support/faults/fault-order';
import { MortalDaemon } from '../support/faults/mortal-daemon';
import { type Attempt, OPERATIONS } from '../support/faults/operations';
import { Random } from '../support/faults/random';
import { World } from '../support/faults/world';
import { pythonImage } from '../support/real-host';
import { until } from '../support/until';

/** `npm run test:faults` does 200; these are for every run of the tests. */
const ROUNDS = Number(process.env['FORKD_FAULT_ROUNDS'] ?? '40');
const SEED = Number(process.env['FORKD_FAULT_SEED'] ?? Math.floor(Math.random() * 2 ** 31));

interface Suffered {
  /** What happened when, for messages. */
  readonly at: string;
  /** VMs that were killed; undefined when none were. */
  readonly ended?: ReadonlySet<string>;
  /** Status of the answer, if there was one. */
  readonly status?: number;
}

class Suite {
  private readonly world: World;
  private readonly lengths = new Map<string, { events: number; ms: number }>();
  private readonly points = new Set<string>();
  private startEvents = 1;

  constructor(
    private readonly daemon: MortalDaemon,
    private readonly random: Random,
  ) {
    this.world = new World(daemon);
  }

  get pointsSeen(): number {
    return this.points.size;
  }

  /** Makes what the rounds need; each operation is done once without a fault, which tells how many events it has. */
  async prepare(): Promise<void> {
    await this.start();
    await this.world.build();
    for (const [name, operation] of Object.entries(OPERATIONS)) {
      const attempt = await operation(this.world);
      const { length } = (await this.daemon.trace()).events;
      const begun = performance.now();
      const answer = await attempt.request();
      const ms = performance.now() - begun;
      assert.ok(answer === undefined || answer.status < 300, `${name}: ${answer?.text ?? ''}`);
      const events = (await this.daemon.trace()).events.length - length;
      this.lengths.set(name, { events, ms });
      if (!this.daemon.isAlive) await this.start();
      await this.check(attempt, { at: `${name}, without a fault`, ...statusOf(answer) });
      await this.world.reset();
    }
  }

  async round(): Promise<string> {
    const name = this.random.pick(Object.keys(OPERATIONS));
    const operation = OPERATIONS[name];
    assert.ok(operation);
    const attempt = await operation(this.world);
    const suffered = await this.suffer(name, attempt);
    const restarted = await this.restart(suffered);
    await this.check(attempt, { ...suffered, at: `${suffered.at}${restarted}` });
    await this.assertUsable(`${suffered.at}${restarted}`);
    await this.world.reset();
    return `${suffered.at}${restarted}`;
  }

  async end(): Promise<void> {
    await this.world.reset();
    const { sandboxes, workspaces } = await listed(this.daemon.client);
    for (const { name } of workspaces) await this.daemon.client.json(204, 'DELETE', `/v1/workspaces/${name}`);
    const live = workspaces.map((each) => each.live_sandbox_id);
    for (const { id } of sandboxes) {
      if (!live.includes(id)) await this.daemon.client.json(204, 'DELETE', `/v1/sandboxes/${id}`);
    }
    await assertRealityIs(this.daemon, await listed(this.daemon.client));
  }

  /** One request, in which something is killed: at one of its events, or at any time. */
  private async suffer(name: string, attempt: Attempt): Promise<Suffered> {
    const { events, ms } = this.lengths.get(name) ?? { events: 1, ms: 1 };
    const action = this.random.pick(['kill', 'kill', 'kill', 'end-vms', 'both'] as const);
    if (action === 'kill' && this.random.chance(0.25)) return this.sufferAtAnyTime(name, attempt, ms);
    const nth = 1 + this.random.below(Math.max(1, events));
    const before = await listed(this.daemon.client);
    const spare = before.sandboxes.map(({ id }) => id).filter((id) => !attempt.victims.includes(id));
    const order: FaultOrder = { nth, action, spare };
    await this.daemon.order(order);
    const answer = await attempt.request().catch(() => undefined);
    const { hit } = await this.daemon.trace();
    const at = `${name}: ${action} ${hit ?? 'at its end'}`;
    if (hit !== undefined) this.points.add(`${name}: ${hit}`);
    else if (action === 'end-vms') await this.daemon.withdraw();
    // Also when it has killed itself: its end may not have been noticed yet.
    if (action !== 'end-vms') await this.daemon.end('SIGKILL');
    const ended = action === 'kill' || hit === undefined ? {} : { ended: new Set(attempt.victims) };
    return { at, ...ended, ...statusOf(answer) };
  }

  private async sufferAtAnyTime(name: string, attempt: Attempt, ms: number): Promise<Suffered> {
    const after = Math.round(this.random.next() * ms);
    const asked = attempt.request().catch(() => undefined);
    await delay(after);
    await this.daemon.end('SIGKILL');
    return { at: `${name}: kill after ${after} ms`, ...statusOf(await asked) };
  }

  /** The next daemon; at times one before it is killed in its start. */
  private async restart({ ended }: Suffered): Promise<string> {
    if (this.daemon.isAlive) {
      if (ended !== undefined && this.random.chance(0.5)) return '';
      await this.daemon.end('SIGKILL');
    }
    let told = '; restart';
    if (this.random.chance(0.25)) {
      const order = { nth: 1 + this.random.below(this.startEvents), action: 'kill' as const };
      if (await this.daemon.start(order)) await this.daemon.end('SIGKILL');
      const { hit } = await this.daemon.trace();
      if (hit !== undefined) this.points.add(`start: ${hit}`);
      told += `, killed ${hit ?? 'after it'}, restart`;
    }
    await this.start();
    return told;
  }

  private async start(): Promise<void> {
    await this.daemon.start();
    // One after a crash has more to do than one that finds nothing.
    this.startEvents = Math.max(this.startEvents, (await this.daemon.trace()).events.length);
  }

  /** What is there is one of the outcomes, it answers, and the host has nothing else. */
  private async check({ outcomes }: Attempt, { at, ended, status }: Suffered): Promise<void> {
    try {
      if (ended !== undefined) await this.buryDead(ended);
      const found = await listed(this.daemon.client);
      const allowed = ended !== undefined ? outcomes : this.allowedOf(outcomes, status);
      const fits = allowed.find((outcome) => difference(found, outcome, ended) === undefined);
      assert.ok(fits, allowed.map((outcome) => difference(found, outcome, ended)).join('; or '));
      this.world.state = fits;
      await assertAnswering(this.daemon.client, found, fits);
      const untold = (tag: string): boolean => status === undefined && !outcomes[0].snapshots.has(tag);
      await assertRealityIs(this.daemon, found, untold);
    } catch (error) {
      throw new Error(`${at} (status ${status ?? 'none'}): ${String(error)}\n${this.daemon.log}`, {
        cause: error,
      });
    }
  }

  private allowedOf(outcomes: readonly State[], status: number | undefined): readonly State[] {
    if (status === undefined) return outcomes;
    return status < 300 ? outcomes.slice(-1) : outcomes.slice(0, 1);
  }

  /** VMs that were killed show as dead, or were dropped; then their entries can be deleted. */
  private async buryDead(ended: ReadonlySet<string>): Promise<void> {
    const { client } = this.daemon;
    let dead: SandboxRecord[] = [];
    await until(async () => {
      const { sandboxes } = await listed(client);
      dead = sandboxes.filter(({ status }) => status === 'dead');
      const living = sandboxes.filter(({ status }) => status !== 'dead');
      // One that was started meanwhile may have been killed, too, right before it was registered.
      const runs = await Promise.all(living.map(({ pid }) => isAlive(pid ?? 0)));
      return living.every(({ id }) => !ended.has(id)) && runs.every(Boolean);
    });
    for (const { id } of dead) await client.json(204, 'DELETE', `/v1/sandboxes/${id}`);
  }

  /** Any sandbox can be branched, and any snapshot forked. */
  private async assertUsable(at: string): Promise<void> {
    try {
      const { client, random } = { client: this.daemon.client, random: this.random };
      const { sandboxes, snapshots } = await listed(client);
      const source = random.pick(sandboxes);
      const tag = random.pick(snapshots).tag;
      await client.json(201, 'POST', `/v1/sandboxes/${source.id}/branch`, { tag: 'probe', mode: 'diff' });
      for (const each of ['probe', tag]) {
        const [child] = await client.json<SandboxRecord[]>(201, 'POST', '/v1/sandboxes', {
          snapshot_tag: each,
        });
        await client.json(200, 'POST', `/v1/sandboxes/${child?.id ?? ''}/exec`, { args: ['true'] });
        await client.json(204, 'DELETE', `/v1/sandboxes/${child?.id ?? ''}`);
      }
      await client.json(204, 'DELETE', '/v1/snapshots/probe');
    } catch (error) {
      throw new Error(`${at}: then not usable: ${String(error)}\n${this.daemon.log}`, { cause: error });
    }
  }
}

function statusOf(answer: { status: number } | undefined): { status?: number } {
  return answer === undefined ? {} : { status: answer.status };
}

describe('whatever is killed, a daemon or VMs, at whatever moment', () => {
  let daemon: MortalDaemon;
  let suite: Suite;

  before(async () => {
    await pythonImage();
    daemon = await MortalDaemon.create();
    suite = new Suite(daemon, new Random(SEED));
    await suite.prepare();
  });

  after(async () => {
    await daemon.close();
  });

  it(`loses nothing that was acknowledged and leaves nothing behind, ${ROUNDS} times`, async (t) => {
    t.diagnostic(`seed ${SEED}; FORKD_FAULT_SEED=${SEED} repeats the choices`);
    let clean = 0;
    try {
      for (; clean < ROUNDS; clean++) {
        const told = await suite.round();
        if (process.env['FORKD_FAULT_VERBOSE'] !== undefined) process.stderr.write(`${clean + 1}: ${told}\n`);
      }
      await suite.end();
    } finally {
      t.diagnostic(`${clean} of ${ROUNDS} clean, at ${suite.pointsSeen} different points`);
    }
  });
});
