import { Logger } from '@nestjs/common';
import { DomainError, errorMessage } from '../../common/errors/domain-error';
import type { AddressPlan } from './domain/address-plan';
import { netnsName, slotOfVeth, vethName } from './domain/names';
import { exhausted } from './domain/network-error';
import { DEFAULT_POLICY, type NetworkPolicy } from './domain/policy';
import { addScript, deleteScript, TABLE, tableScript } from './domain/ruleset';
import { SlotTable } from './domain/slot-table';
import type { NamespaceJournal } from './ports/namespace-journal';
import type { HostNames, NetworkHost } from './ports/network-host';

/** The daemon's own namespaces: made in batches, lent out, cleaned and lent out again, and removed. */
export class NamespacePool {
  private readonly logger = new Logger(NamespacePool.name);
  private readonly table: SlotTable;
  private opening: Promise<void> | undefined;
  private unclaim: (() => Promise<void>) | undefined;
  /** Changes of the host's network, one after the other. */
  private tail: Promise<unknown> = Promise.resolve();
  private closed = false;

  /** @param size namespaces kept ready for the next sandboxes; twice as many are kept when they come back. */
  constructor(
    private readonly host: NetworkHost,
    private readonly journal: NamespaceJournal,
    private readonly plan: AddressPlan,
    private readonly size: number,
  ) {
    this.table = new SlotTable(plan);
  }

  /** Enters what an earlier daemon leased, and removes what else it left; nothing happens where it left nothing. */
  async adopt(leased: ReadonlyMap<number, NetworkPolicy>): Promise<void> {
    for (const [slot, policy] of leased) this.table.adopt(slot, policy);
    const names = await this.host.names();
    if (leased.size > 0 || (await this.ownSlots(names)).length > 0) await this.open();
  }

  /** Whether a namespace is this daemon's. */
  owns(slot: number): boolean {
    return this.table.stateOf(slot) !== undefined;
  }

  /**
   * Leases namespaces, from those that are ready where there are as many.
   *
   * @throws DomainError invalid when this host cannot have them, unavailable when there are no more, internal.
   */
  async lease(count: number, policy: NetworkPolicy): Promise<number[]> {
    await this.open();
    const slots = this.table.lease(count);
    try {
      if (slots.length < count) slots.push(...(await this.inTurn(() => this.make(count - slots.length))));
      if (policy !== DEFAULT_POLICY) await this.setPolicy(slots, policy);
    } catch (error) {
      void this.release(slots);
      throw error;
    }
    this.refill();
    return slots;
  }

  /** Has other rules hold for slots that are leased, for all their connections and at once. */
  async setPolicy(slots: readonly number[], policy: NetworkPolicy): Promise<void> {
    await this.inTurn(() => this.replaceRules(slots, policy));
  }

  /** Takes namespaces back whose VM is gone. Never rejects; what fails is removed at the next start at the latest. */
  async release(slots: readonly number[]): Promise<void> {
    for (const slot of slots) this.table.move(slot, 'busy');
    await this.inTurn(async () => {
      const names = await this.host.names();
      const room = Math.max(0, 2 * this.size - this.table.count('ready'));
      const whole = slots.filter((slot) => isWhole(slot, names));
      const kept = this.closed ? [] : whole.slice(0, room);
      const doomed = slots.filter((slot) => !kept.includes(slot));
      if (kept.length > 0) {
        await this.replaceRules(kept, DEFAULT_POLICY);
        for (const slot of kept) this.table.move(slot, 'ready');
      }
      await this.remove(doomed);
    }).catch((error: unknown) => {
      this.logger.error(`network namespaces are removed at the next start: ${errorMessage(error)}`);
    });
  }

  /** Waits for what is under way and removes what nobody uses; leased namespaces and their rules stay. */
  async close(): Promise<void> {
    this.closed = true;
    await this.opening?.catch(() => undefined);
    await this.inTurn(async () => {
      if (this.unclaim === undefined) return;
      const spare = this.table.slots().filter((slot) => this.table.stateOf(slot) !== 'leased');
      await this.remove(spare);
      if (this.table.slots().length === 0) await this.host.filter(`delete table ${TABLE}\n`);
    }).catch((error: unknown) => {
      this.logger.error(`network namespaces are removed at the next start: ${errorMessage(error)}`);
    });
    await this.unclaim?.();
  }

  private open(): Promise<void> {
    this.opening ??= this.inTurn(() => this.begin()).catch((error: unknown) => {
      this.opening = undefined;
      throw error;
    });
    return this.opening;
  }

  private async begin(): Promise<void> {
    if (this.closed) throw new DomainError('unavailable', 'the daemon is shutting down');
    const unclaim = await this.host.claim();
    try {
      for (const warning of await this.host.prepare(this.plan)) this.logger.warn(warning);
      const names = await this.host.names();
      const stray = (await this.ownSlots(names)).filter((slot) => this.table.stateOf(slot) === undefined);
      const generations = await this.host.generations();
      for (const slot of this.table.slots()) {
        const generation = generations.get(vethName(slot));
        if (generation !== undefined) this.table.keepGeneration(slot, generation);
      }
      await this.host.filter(tableScript(this.plan, this.table.rulesOf(this.table.slots())));
      await this.host.remove(stray);
      await this.journal.write(this.table.slots());
      if (stray.length > 0) this.logger.log(`removed ${stray.length} network namespaces that nobody uses`);
      this.unclaim = unclaim;
    } catch (error) {
      await unclaim();
      throw error;
    }
  }

  /** What an earlier daemon has recorded as its own, or made: nobody else's devices have such names. */
  private async ownSlots({ devices }: HostNames): Promise<number[]> {
    const made = [...devices.keys()].flatMap((name) => slotOfVeth(name) ?? []);
    return [...new Set([...(await this.journal.read()), ...made])];
  }

  /** Makes namespaces and leases them. */
  private async make(count: number): Promise<number[]> {
    const names = await this.host.names();
    const taken = new Set([...names.netns, ...names.devices.keys()]);
    const slots = this.table.book(count, taken);
    if (slots === undefined) throw exhausted(this.plan, count, this.table.free(taken));
    try {
      await this.journal.write(this.table.slots());
      await this.host.create(this.plan, slots);
      try {
        await this.apply(addScript(this.plan, this.table.rulesOf(slots)));
      } catch (error) {
        await this.host.remove(slots);
        throw error;
      }
    } catch (error) {
      this.table.forget(slots);
      await this.journal.write(this.table.slots());
      throw error;
    }
    for (const slot of slots) this.table.move(slot, 'leased');
    return slots;
  }

  /** Removes slots from the table of rules and the host. */
  private async remove(slots: readonly number[]): Promise<void> {
    if (slots.length === 0) return;
    const forget = deleteScript(this.plan, this.table.rulesOf(slots));
    // Not forgotten before they are gone, so that their names are not given again.
    await this.apply(forget, (slot) => !slots.includes(slot));
    await this.host.remove(slots);
    this.table.forget(slots);
    await this.journal.write(this.table.slots());
  }

  private async replaceRules(slots: readonly number[], policy: NetworkPolicy): Promise<void> {
    const forget = deleteScript(this.plan, this.table.rulesOf(slots));
    for (const slot of slots) this.table.setPolicy(slot, policy);
    await this.apply(`${forget}${addScript(this.plan, this.table.rulesOf(slots))}`);
  }

  /** Changes the table of rules; makes it anew where somebody else has removed or changed it. */
  private async apply(orders: string, has: (slot: number) => boolean = () => true): Promise<void> {
    try {
      await this.host.filter(orders);
    } catch (error) {
      this.logger.warn(`the table of rules is made anew: ${errorMessage(error)}`);
      const slots = this.table.slots().filter(has);
      await this.host.filter(tableScript(this.plan, this.table.rulesOf(slots)));
    }
  }

  /** Makes namespaces for those to come, in the background, when few are left. */
  private refill(): void {
    if (this.closed || this.table.count('ready') * 2 > this.size) return;
    void this.inTurn(async () => {
      const missing = this.size - this.table.count('ready') - this.table.count('busy');
      if (this.closed || missing <= 0) return;
      for (const slot of await this.make(missing)) this.table.move(slot, 'ready');
    }).catch((error: unknown) => {
      this.logger.warn(`no network namespaces are made ahead: ${errorMessage(error)}`);
    });
  }

  private inTurn<T>(task: () => Promise<T>): Promise<T> {
    const turn = this.tail.then(task);
    this.tail = turn.catch(() => undefined);
    return turn;
  }
}

function isWhole(slot: number, { netns, devices }: HostNames): boolean {
  return netns.has(netnsName(slot)) && devices.has(vethName(slot));
}
