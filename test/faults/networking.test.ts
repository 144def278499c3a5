import assert from 'node:assert/strict';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { evaluate, PROBES, removeAll, type Sandbox, spawnWithNetwork } from '../support/network/guests';
import { INTERNET, NetworkLab, networkTraces, PORT } from '../support/network/network-lab';
import { inOwnNetwork } from '../support/own-network';
import { RealHost, tool } from '../support/real-host';

/** How many sandboxes come and go, so many at a time. */
const CYCLES = Number(process.env['FORKD_TEST_NETWORK_CYCLES'] ?? 40);
const AT_ONCE = 20;

const WISH = { snapshot_tag: 'py', per_child_netns: true };

inOwnNetwork(__filename, () => {
  describe('faults of the host’s network', { timeout: 900_000 }, () => {
    let host: RealHost;
    let files: string;
    const lab = new NetworkLab();

    before(async () => {
      files = await mkdtemp('/tmp/fkt-');
      await lab.internet();
      host = await RealHost.start({ networkPool: 2, networkRange: '10.213.0.0/26' });
      await host.snapshot('py');
    });

    after(async () => {
      await host.stop();
      await lab.stop();
      await rm(files, { recursive: true, force: true });
    });

    async function refused(status: number, body: object = WISH): Promise<string> {
      return (await host.client.json<{ error: string }>(status, 'POST', '/v1/sandboxes', body)).error;
    }

    /** Runs work while another file lies over one of the system's. */
    async function covered(path: string, content: string, work: () => Promise<void>): Promise<void> {
      const cover = join(files, 'cover');
      await writeFile(cover, content);
      await chmod(cover, 0o555);
      await tool('mount', '--bind', cover, path);
      await tool('mount', '-o', 'remount,bind,ro', path);
      try {
        await work();
      } finally {
        await tool('umount', path);
      }
    }

    async function reaches({ id }: Sandbox): Promise<boolean> {
      return (await evaluate(host, id, `${PROBES}\ntcp('${INTERNET}', ${PORT}, 3)`)) === "'203.0.113.1'";
    }

    it('forwarding that is off and cannot be switched on: said with the command, nothing left', async () => {
      await tool('sysctl', '-qw', 'net.ipv4.ip_forward=0');
      await covered('/proc/sys/net/ipv4/ip_forward', '0\n', async () => {
        assert.match(await refused(400), /ip_forward is 0.*sysctl -w net\.ipv4\.ip_forward=1/);
      });
      assert.deepEqual(await networkTraces(), []);
    });

    it('nft that refuses: its words, and nothing left; the next request works', async () => {
      const nft = (await tool('sh', '-c', 'command -v nft')).trim();
      await covered(
        nft,
        '#!/bin/sh\n[ "$1" = -f ] && { echo "Error: no such luck" >&2; exit 1; }\nexec echo {}\n',
        async () => {
          assert.match(await refused(500), /no such luck/);
        },
      );
      assert.deepEqual(await networkTraces(), []);
      const [sandbox] = await spawnWithNetwork(host, 1);
      assert.ok(sandbox && (await reaches(sandbox)));
      await removeAll(host, [sandbox]);
    });

    it('a second daemon: refused, as the first one manages the host’s networks', async () => {
      const second = await RealHost.start({ snapshotRoot: host.config.snapshotRoot.concat('2') });
      try {
        await second.snapshot('py');
        const { error } = await second.client.json<{ error: string }>(400, 'POST', '/v1/sandboxes', WISH);
        assert.match(error, /another daemon manages the networks/);
      } finally {
        await second.stop();
        await rm(host.config.snapshotRoot.concat('2'), { recursive: true, force: true });
      }
    });

    it('a range without room: 503 with its size, nothing left of the others', async () => {
      const before = await host.client.json<unknown[]>(200, 'GET', '/v1/sandboxes');
      assert.match(await refused(503, { ...WISH, n: 40 }), /10\.213\.0\.0\/26 has room for 31/);
      assert.deepEqual(await host.client.json(200, 'GET', '/v1/sandboxes'), before);
    });

    it('a namespace that is deleted under a sandbox: the sandbox runs on, and all of it goes when it ends', async () => {
      const [sandbox] = await spawnWithNetwork(host, 1);
      assert.ok(sandbox);
      await tool('ip', 'netns', 'del', sandbox.netns ?? '');
      assert.ok(await reaches(sandbox));
      await removeAll(host, [sandbox]);
      await host.restart();
      assert.deepEqual(await networkTraces(), []);
    });

    it('rules that somebody flushed: made again with the next change, for all sandboxes', async () => {
      const sandboxes = await spawnWithNetwork(host, 2);
      const [first, second] = sandboxes;
      assert.ok(first && second);
      await tool('nft', 'flush', 'ruleset');
      await host.client.json(200, 'PUT', `/v1/sandboxes/${first.id}/network`, { policy: 'none' });
      assert.equal(await reaches(first), false);
      assert.equal(await reaches(second), true);
      await removeAll(host, sandboxes);
    });

    it('a VM that is killed: its namespace comes back', async () => {
      const [sandbox] = await spawnWithNetwork(host, 1);
      assert.ok(sandbox);
      await tool('sh', '-c', `kill -9 $(ip netns pids ${sandbox.netns ?? ''})`);
      await removeAll(host, [sandbox]);
      await host.restart();
      assert.deepEqual(await networkTraces(), []);
    });

    it(`${CYCLES} sandboxes that come and go, ${AT_ONCE} at a time, leave nothing; the rules stay as many`, async () => {
      const rules = async (): Promise<number> =>
        (await tool('nft', '-a', 'list', 'table', 'inet', 'forkd'))
          .split('\n')
          .filter((line) => /^\t\t\S.*# handle/.test(line)).length;
      const [probe] = await spawnWithNetwork(host, 1);
      assert.ok(probe);
      const few = await rules();
      for (let done = 0; done < CYCLES; done += AT_ONCE) {
        const batch = await Promise.all(Array.from({ length: AT_ONCE }, () => spawnWithNetwork(host, 1)));
        const names = batch.flat().map(({ netns }) => netns);
        assert.equal(new Set(names).size, AT_ONCE);
        assert.equal(await rules(), few);
        await removeAll(host, batch.flat());
      }
      await removeAll(host, [probe]);
      await host.restart();
      assert.deepEqual(await networkTraces(), []);
    });
  });
});
