import { randomInt } from 'node:crypto';
import type { AddressPlan } from './address-plan';
import { netnsName, vethName } from './names';
import { DEFAULT_POLICY, type NetworkPolicy } from './policy';
import type { SlotRules } from './ruleset';

type State =
  /** A namespace is there, with the default policy, for whoever comes next. */
  | 'ready'
  | 'leased'
  /** Being made, cleaned or removed. */
  | 'busy';

interface Entry {
  state: State;
  rules: SlotRules;
}

/** Which of the plan's slots have a namespace of this daemon's, and what each is used for. */
export class SlotTable {
  private readonly entries = new Map<number, Entry>();

  constructor(readonly plan: AddressPlan) {}

  /** All slots that have a namespace, or are about to. */
  slots(): number[] {
    return [...this.entries.keys()];
  }

  count(state: State): number {
    return [...this.entries.values()].filter((entry) => entry.state === state).length;
  }

  rulesOf(slots: readonly number[]): SlotRules[] {
    return slots.flatMap((slot) => this.entries.get(slot)?.rules ?? []);
  }

  stateOf(slot: number): State | undefined {
    return this.entries.get(slot)?.state;
  }

  /** Leases at most `count` slots that are ready, lowest first. */
  lease(count: number): number[] {
    const ready = [...this.entries].filter(([, { state }]) => state === 'ready').map(([slot]) => slot);
    const taken = ready.sort((left, right) => left - right).slice(0, count);
    for (const slot of taken) this.move(slot, 'leased');
    return taken;
  }

  /**
   * Books `count` slots for namespaces to be made, lowest first; undefined when there are not as many.
   *
   * @param taken namespaces and devices that exist, whoever made them: their names are passed over.
   */
  book(count: number, taken: ReadonlySet<string>): number[] | undefined {
    const found: number[] = [];
    for (let slot = 1; slot <= this.plan.capacity && found.length < count; slot++) {
      if (this.entries.has(slot) || taken.has(netnsName(slot)) || taken.has(vethName(slot))) continue;
      found.push(slot);
    }
    if (found.length < count) return undefined;
    for (const slot of found) this.put(slot, 'busy', DEFAULT_POLICY, newGeneration());
    return found;
  }

  /** How many slots have neither a namespace nor a name that somebody else uses. */
  free(taken: ReadonlySet<string>): number {
    let free = 0;
    for (let slot = 1; slot <= this.plan.capacity; slot++) {
      if (!this.entries.has(slot) && !taken.has(netnsName(slot)) && !taken.has(vethName(slot))) free++;
    }
    return free;
  }

  /** Enters a slot that an earlier daemon leased; false for one outside the plan. */
  adopt(slot: number, policy: NetworkPolicy): boolean {
    if (slot > this.plan.capacity) return false;
    this.put(slot, 'leased', policy, newGeneration());
    return true;
  }

  /** Keeps a connection mark that the table on the host has already. */
  keepGeneration(slot: number, generation: number): void {
    const entry = this.entries.get(slot);
    if (entry) entry.rules = { ...entry.rules, generation };
  }

  /** Gives a slot a policy, under which all its connections are judged anew. */
  setPolicy(slot: number, policy: NetworkPolicy): void {
    const entry = this.entries.get(slot);
    if (entry) entry.rules = { slot, policy, generation: newGeneration() };
  }

  move(slot: number, state: State): void {
    const entry = this.entries.get(slot);
    if (entry) entry.state = state;
  }

  forget(slots: readonly number[]): void {
    for (const slot of slots) this.entries.delete(slot);
  }

  private put(slot: number, state: State, policy: NetworkPolicy, generation: number): void {
    this.entries.set(slot, { state, rules: { slot, policy, generation } });
  }
}

/** Never the one before, and not 0, which every new connection has. */
function newGeneration(): number {
  return randomInt(1, 0x7fff_ffff);
}
