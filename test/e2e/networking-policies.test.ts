import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { evaluate, PROBES, removeAll, type Sandbox, spawnWithNetwork } from '../support/network/guests';
import { INTERNET, NetworkLab, PORT } from '../support/network/network-lab';
import { inOwnNetwork } from '../support/own-network';
import { RealHost } from '../support/real-host';

const POLICIES = ['none', 'internet', 'allow', 'open'] as const;
type Policy = (typeof POLICIES)[number];

const ALLOW = [`${INTERNET}:${PORT}/tcp`, '10.9.9.0/24'];

interface Row {
  readonly target: string;
  readonly probe: readonly [string, ...(string | number)[]];
  /** The policies that lead there. */
  readonly reached: readonly Policy[];
}

inOwnNetwork(__filename, () => {
  describe('network policies, from inside a guest', { timeout: 300_000 }, () => {
    let host: RealHost;
    let guest: Sandbox;
    let other: Sandbox;
    const lab = new NetworkLab();

    before(async () => {
      await lab.internet();
      await lab.answer();
      host = await RealHost.start({ networkPool: 2 });
      await host.snapshot('py');
      const [first, second] = await spawnWithNetwork(host, 2);
      assert.ok(first && second);
      [guest, other] = [first, second];
      await evaluate(host, guest.id, PROBES);
      const serve = `import socket, threading
server = socket.create_server(('0.0.0.0', ${PORT}))
def answer():
    while True:
        connection, sender = server.accept()
        connection.sendall(sender[0].encode())
        connection.close()
threading.Thread(target=answer, daemon=True).start()`;
      await evaluate(host, other.id, serve);
    });

    after(async () => {
      await removeAll(host, [guest, other]);
      await host.stop();
      await lab.stop();
    });

    async function probe(probes: readonly (readonly unknown[])[]): Promise<string[]> {
      const text = await evaluate(host, guest.id, `all_of(${JSON.stringify(probes)})`);
      return JSON.parse((text ?? '').slice(1, -1)) as string[];
    }

    async function setPolicy(policy: Policy): Promise<void> {
      const body = { policy, ...(policy === 'allow' ? { allow: ALLOW } : {}) };
      const answer = await host.client.json<{ policy: string }>(
        200,
        'PUT',
        `/v1/sandboxes/${guest.id}/network`,
        body,
      );
      assert.equal(answer.policy, policy);
    }

    function rows(): Row[] {
      const hostEnd = (guest.network?.address ?? '').replace(/\d+$/, (last) => String(Number(last) - 1));
      const tcp = (target: string, address: string, reached: readonly Policy[] = []): Row => ({
        target: `${target} (${address})`,
        probe: ['tcp', address, PORT],
        reached,
      });
      return [
        tcp('internet', INTERNET, ['internet', 'allow', 'open']),
        { target: 'internet, UDP', probe: ['udp', INTERNET, PORT], reached: ['internet', 'open'] },
        tcp('private', '10.9.9.9', ['allow', 'open']),
        tcp('private', '172.16.9.9', ['open']),
        tcp('private', '192.168.9.9', ['open']),
        tcp('shared', '100.64.9.9', ['open']),
        tcp('metadata', '169.254.169.254'),
        tcp('the host', '203.0.113.1'),
        tcp('the host’s end', hostEnd),
        tcp('the host’s loopback', '127.0.0.1'),
        tcp('gateway', '10.42.0.1'),
        tcp('the other sandbox', other.network?.address ?? ''),
        tcp('internet, IPv6', '2001:db8:1::80'),
        tcp('all routers, IPv6', 'ff02::2%eth0'),
        { target: 'ARP for the other', probe: ['arp', other.network?.address ?? ''], reached: [] },
        { target: 'ARP for a neighbour', probe: ['arp', '10.42.0.77'], reached: [] },
        { target: 'ARP for the gateway', probe: ['arp', '10.42.0.1'], reached: POLICIES },
      ];
    }

    it('lead where they say, for every kind of address', async () => {
      const table = rows();
      const found = new Map<Policy, string[]>();
      for (const policy of POLICIES) {
        await setPolicy(policy);
        found.set(policy, await probe(table.map((row) => row.probe)));
      }
      const cells = table.map(({ target }, row) => [
        target,
        ...POLICIES.map((policy) => found.get(policy)?.[row] ?? ''),
      ]);
      for (const line of [['target', ...POLICIES], ...cells]) {
        console.log(line.map((cell, column) => cell.padEnd(column === 0 ? 36 : 22)).join(''));
      }
      for (const [row, { target, reached }] of table.entries()) {
        for (const policy of POLICIES) {
          const answer = found.get(policy)?.[row] ?? '';
          const got = !/Error$|^timeout$|^gaierror$/.test(answer);
          assert.equal(got, reached.includes(policy), `${target} under ${policy}: ${answer}`);
        }
      }
    });

    it('let nobody send as another', async () => {
      await setPolicy('open');
      for (const source of [other.network?.address ?? '', '10.42.0.77', '203.0.113.1', INTERNET]) {
        await evaluate(host, guest.id, `spoof('${source}', '${INTERNET}', ${PORT}, 'spoofed ${source}')`);
      }
      assert.deepEqual(await probe([['udp', INTERNET, PORT, 'true sender']]), ['203.0.113.1']);
      assert.match(lab.datagrams, /true sender/);
      assert.doesNotMatch(lab.datagrams, /spoofed/);
    });

    it('hold at once for what is open already, and again when they change back', async () => {
      await setPolicy('internet');
      const ask = `connection.sendto(b'again', ('${INTERNET}', ${PORT})); connection.recv(100).decode()`;
      await evaluate(
        host,
        guest.id,
        'connection = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); connection.settimeout(2)',
      );
      assert.equal(await evaluate(host, guest.id, ask), "'203.0.113.1'");
      await setPolicy('none');
      const answer = await host.client.json<{ error: string }>(
        200,
        'POST',
        `/v1/sandboxes/${guest.id}/eval`,
        {
          code: ask,
        },
      );
      assert.match(answer.error, /TimeoutError/);
      await setPolicy('internet');
      assert.equal(await evaluate(host, guest.id, ask), "'203.0.113.1'");
    });

    it('survive a restart of the daemon, and are counted', async () => {
      await setPolicy('allow');
      await host.restart();
      const path = `/v1/sandboxes/${guest.id}/network`;
      const before = await host.client.json<Record<string, unknown>>(200, 'GET', path);
      assert.deepEqual(before['allow'], ALLOW);
      assert.deepEqual(
        (
          await probe(
            rows()
              .slice(0, 4)
              .map((row) => row.probe),
          )
        ).map((answer) => /^\d/.test(answer)),
        [true, false, true, false],
      );
      const after = await host.client.json<Record<string, unknown>>(200, 'GET', path);
      assert.ok(Number(after['bytes_sent']) > Number(before['bytes_sent']));
      assert.ok(Number(after['bytes_received']) > Number(before['bytes_received']));
    });

    it('are refused when they cannot hold', async () => {
      const path = `/v1/sandboxes/${guest.id}/network`;
      for (const allow of [['169.254.169.254'], ['10.0.0.1/8'], ['x'], ['1.1.1.1:0'], ['1.1.1.1:70000']]) {
        const { error } = await host.client.json<{ error: string }>(400, 'PUT', path, {
          policy: 'allow',
          allow,
        });
        assert.ok(error.includes(allow[0] ?? ''), error);
      }
      await host.client.json(400, 'PUT', path, { policy: 'internet', allow: ALLOW });
      await host.client.json(400, 'POST', '/v1/sandboxes', { snapshot_tag: 'py', network_policy: 'none' });
      const [alone] = await host.client.json<Sandbox[]>(201, 'POST', '/v1/sandboxes', { snapshot_tag: 'py' });
      await host.client.json(409, 'GET', `/v1/sandboxes/${alone?.id ?? ''}/network`);
      const [closed] = await spawnWithNetwork(host, 1, { network_policy: 'none' });
      assert.ok(alone && closed);
      assert.equal(closed.network?.policy, 'none');
      assert.equal(
        await evaluate(host, closed.id, `${PROBES}\ntcp('${INTERNET}', ${PORT}, 1)`),
        "'TimeoutError'",
      );
      await removeAll(host, [alone, closed]);
    });
  });
});
