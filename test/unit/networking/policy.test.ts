import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { overlap } from '../../../src/common/net/ipv4';
import { AddressPlan } from '../../../src/modules/networking/domain/address-plan';
import { passThroughFirewalls } from '../../../src/modules/networking/domain/foreign-firewall';
import { parseAllowed, policyOf, withoutOverlap } from '../../../src/modules/networking/domain/policy';
import { deleteScript, tableScript } from '../../../src/modules/networking/domain/ruleset';

const plan = AddressPlan.parse('10.213.0.0/19');
assert.ok(plan);

describe('an allow policy', () => {
  it('takes addresses and networks, with a port or without', () => {
    assert.deepEqual(parseAllowed('10.1.0.0/16'), { network: { base: 0x0a010000, prefixLength: 16 } });
    assert.deepEqual(parseAllowed('1.1.1.1:53/udp').port, { number: 53, protocols: ['udp'] });
    assert.deepEqual(parseAllowed('1.1.1.1:443').port, { number: 443, protocols: ['tcp', 'udp'] });
  });

  it('refuses what is none, and what no policy leads to, with the text', () => {
    for (const text of [
      '',
      'x',
      '10.0.0.1/8',
      '1.1.1.1:0',
      '1.1.1.1:65536',
      '1.1.1.1:1/icmp',
      '::1',
      '127.0.0.1',
    ]) {
      assert.throws(
        () => parseAllowed(text),
        (error: Error) => error.message.includes(`'${text}'`),
      );
    }
    assert.throws(() => parseAllowed('169.254.169.254:80'), /no policy leads to/);
    assert.throws(() => policyOf('internet', ['1.1.1.1']), /only told with the policy `allow`/);
    assert.throws(
      () =>
        policyOf(
          'allow',
          Array.from({ length: 257 }, () => '1.1.1.1'),
        ),
      /at most 256/,
    );
    assert.equal(policyOf(null, []), undefined);
  });

  it('gives sets in which nothing overlaps and nothing is missing', () => {
    const entry = fc
      .tuple(
        fc.integer({ min: 0, max: 15 }),
        fc.integer({ min: 24, max: 32 }),
        fc.constantFrom('', ':1', ':1/tcp', ':2'),
      )
      .map(
        ([host, length, port]) => `10.1.2.${host * 16 - ((host * 16) % 2 ** (32 - length))}/${length}${port}`,
      );
    fc.assert(
      fc.property(fc.array(entry, { maxLength: 20 }), (allow) => {
        const sets = withoutOverlap(allow);
        for (const networks of sets.values()) {
          for (const [index, network] of networks.entries()) {
            assert.ok(!networks.slice(index + 1).some((later) => overlap(network, later)));
          }
        }
        for (const { network, port } of allow.map(parseAllowed)) {
          for (const key of port?.protocols.map((each) => `${each} . ${port.number}`) ?? ['']) {
            const holder = sets.get(key)?.find((each) => overlap(each, network));
            assert.ok(holder && holder.prefixLength <= network.prefixLength);
          }
        }
      }),
    );
  });
});

describe('the table of rules', () => {
  const slots = [1, 2, 3].map((slot) => ({
    slot,
    policy: { kind: 'allow' as const, allow: [`203.0.113.${slot}:443`] },
    generation: slot,
  }));
  const rulesOf = (script: string): string => script.slice(0, script.indexOf('\n}\n'));

  it('has the same rules for any number of sandboxes, and forgets all that it was told of one', () => {
    assert.equal(rulesOf(tableScript(plan, slots)), rulesOf(tableScript(plan, [])));
    const added = tableScript(plan, slots)
      .split('\n')
      .filter((line) => line.startsWith('add element'));
    const deleted = deleteScript(plan, slots)
      .split('\n')
      .filter((line) => line !== '');
    assert.deepEqual(
      deleted.map((line) => line.replace('delete ', 'add ')),
      added,
    );
  });
});

describe('firewalls of others', () => {
  const forward = { family: 'ip', table: 'filter', name: 'FORWARD', hook: 'forward', policy: 'drop' };

  it('let sandboxes through where Docker has a chain for that', () => {
    const docker = { family: 'ip', table: 'filter', name: 'DOCKER-USER' };
    const { orders, warnings } = passThroughFirewalls(plan, [forward, docker]);
    assert.match(orders, /insert rule ip filter DOCKER-USER iifname "forkd-n\*" accept/);
    assert.match(orders, /insert rule ip filter DOCKER-USER oifname "forkd-n\*" accept/);
    assert.deepEqual(warnings, []);
  });

  it('are named where only the operator can tell them', () => {
    const own = { family: 'inet', table: 'forkd', name: 'forwarding', hook: 'forward', policy: 'accept' };
    assert.deepEqual(passThroughFirewalls(plan, [own]), { orders: '', warnings: [] });
    assert.match(passThroughFirewalls(plan, [forward]).warnings[0] ?? '', /FORWARD of table ip filter drops/);
    const firewalld = {
      family: 'inet',
      table: 'firewalld',
      name: 'filter_FORWARD',
      hook: 'forward',
      policy: 'accept',
    };
    assert.match(passThroughFirewalls(plan, [firewalld]).warnings[0] ?? '', /--add-source=10\.213\.0\.0\/19/);
  });
});
