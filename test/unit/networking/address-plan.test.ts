import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { formatCidr, formatIpv4, overlap, parseCidr, parseIpv4, sizeOf } from '../../../src/common/net/ipv4';
import { AddressPlan } from '../../../src/modules/networking/domain/address-plan';

const cidr = fc
  .tuple(fc.nat(0xffff_ffff), fc.integer({ min: 0, max: 32 }))
  .map(([address, prefixLength]) => ({ base: address - (address % sizeOf(prefixLength)), prefixLength }));

describe('IPv4 addresses', () => {
  it('are the same after they were written and read', () => {
    fc.assert(fc.property(fc.nat(0xffff_ffff), (address) => parseIpv4(formatIpv4(address)) === address));
    fc.assert(
      fc.property(cidr, (network) => {
        assert.deepEqual(parseCidr(formatCidr(network)), network);
      }),
    );
  });

  it('are refused when they are none', () => {
    for (const text of [
      '',
      '10',
      '10.0.0',
      '10.0.0.256',
      '10.0.0.0.0',
      'a.b.c.d',
      '10.0.0.1/33',
      '10.0.0.1/24',
    ]) {
      assert.equal(parseCidr(text), undefined, text);
    }
  });

  it('overlap when one network has an address of the other', () => {
    fc.assert(
      fc.property(cidr, cidr, (left, right) => {
        const [wide, narrow] = left.prefixLength <= right.prefixLength ? [left, right] : [right, left];
        const inside = narrow.base - (narrow.base % sizeOf(wide.prefixLength)) === wide.base;
        return overlap(left, right) === inside && overlap(right, left) === inside;
      }),
    );
  });
});

describe('AddressPlan', () => {
  it('gives every slot two addresses of its own in the range, none of them the daemon’s', () => {
    const ranges = cidr.filter(({ prefixLength }) => prefixLength >= 20 && prefixLength <= 29);
    fc.assert(
      fc.property(ranges, (range) => {
        const plan = AddressPlan.parse(formatCidr(range));
        assert.ok(plan);
        const seen = new Set([plan.daemonAddress]);
        for (let slot = 1; slot <= plan.capacity; slot++) {
          const { host, sandbox } = plan.linkOf(slot);
          assert.equal(parseIpv4(sandbox), (parseIpv4(host) ?? 0) + 1);
          assert.equal((parseIpv4(host) ?? 1) % 2, 0);
          for (const address of [host, sandbox]) {
            const inRange = parseCidr(`${address}/32`);
            assert.ok(inRange && overlap(plan.range, inRange));
            assert.ok(!seen.has(address));
            seen.add(address);
          }
        }
        assert.throws(() => plan.linkOf(0));
        assert.throws(() => plan.linkOf(plan.capacity + 1));
      }),
      { numRuns: 20 },
    );
  });

  it('has room for more than 4,000 sandboxes by default', () => {
    assert.equal(AddressPlan.parse('10.213.0.0/19')?.capacity, 4095);
  });

  it('takes networks of /8 to /29', () => {
    for (const text of ['10.0.0.0/7', '10.0.0.0/30', '10.0.0.1/24', '10.0.0.0', 'fd00::/64', '']) {
      assert.equal(AddressPlan.parse(text), undefined, text);
    }
    assert.equal(AddressPlan.parse('10.0.0.0/29')?.capacity, 3);
  });
});
