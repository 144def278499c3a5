import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { AddressPlan } from '../../../src/modules/networking/domain/address-plan';
import { netnsName, slotOfNetns, slotOfVeth, vethName } from '../../../src/modules/networking/domain/names';
import { SlotTable } from '../../../src/modules/networking/domain/slot-table';

function planOf(range: string): AddressPlan {
  const plan = AddressPlan.parse(range);
  assert.ok(plan);
  return plan;
}

describe('SlotTable', () => {
  it('never gives a slot to two, whatever the order of leases, returns and removals', () => {
    const orders = fc.array(
      fc.record({
        order: fc.constantFrom('make', 'lease', 'return', 'remove'),
        count: fc.integer({ min: 1, max: 9 }),
      }),
      { maxLength: 60 },
    );
    fc.assert(
      fc.property(orders, (all) => {
        const table = new SlotTable(planOf('10.0.0.0/27'));
        const leased = new Set<number>();
        for (const { order, count } of all) {
          if (order === 'make') {
            const slots = table.book(count, new Set([netnsName(2), vethName(3)]));
            assert.equal(
              slots === undefined,
              count > table.free(new Set([netnsName(2), vethName(3)])) + (slots?.length ?? 0),
            );
            for (const slot of slots ?? []) {
              assert.ok(![2, 3].includes(slot));
              table.move(slot, 'ready');
            }
          } else if (order === 'lease') {
            const ready = table.count('ready');
            const slots = table.lease(count);
            assert.equal(slots.length, Math.min(count, ready));
            for (const slot of slots) {
              assert.ok(!leased.has(slot), `slot ${slot} was leased twice`);
              leased.add(slot);
            }
          } else {
            for (const slot of [...leased].slice(0, count)) {
              leased.delete(slot);
              if (order === 'return') table.move(slot, 'ready');
              else table.forget([slot]);
            }
          }
          assert.equal(table.count('leased'), leased.size);
        }
      }),
    );
  });

  it('gives a connection mark that is not 0 and another with every policy', () => {
    const table = new SlotTable(planOf('10.0.0.0/24'));
    const [slot = 0] = table.book(1, new Set()) ?? [];
    const [before] = table.rulesOf([slot]);
    table.setPolicy(slot, { kind: 'none', allow: [] });
    const [after] = table.rulesOf([slot]);
    assert.ok(before && after && before.generation > 0 && after.generation > 0);
    assert.notEqual(after.generation, before.generation);
  });
});

describe('names on the host', () => {
  it('fit a device name and lead back to the slot', () => {
    for (const slot of [1, 9, 4095, 999_999]) {
      assert.ok(vethName(slot).length <= 15);
      assert.equal(slotOfVeth(vethName(slot)), slot);
      assert.equal(slotOfNetns(netnsName(slot)), slot);
    }
  });

  it('are not mistaken for others', () => {
    for (const name of ['forkd-n', 'forkd-n0', 'forkd-n01', 'forkd-v-1h', 'forkd-n1x', 'eth0', 'forkd-br0']) {
      assert.equal(slotOfVeth(name), undefined, name);
    }
    assert.equal(slotOfNetns('forkd-child-1-old'), undefined);
  });
});
