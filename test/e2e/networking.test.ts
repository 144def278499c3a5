import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { connect } from 'node:net';
import { once } from 'node:events';
import { evaluate, PROBES, removeAll, type Sandbox, spawnWithNetwork } from '../support/network/guests';
import { INTERNET, NetworkLab, networkTraces, PORT } from '../support/network/network-lab';
import { inOwnNetwork } from '../support/own-network';
import { RealHost, tool } from '../support/real-host';

inOwnNetwork(__filename, () => {
  describe('sandboxes with a network', { timeout: 300_000 }, () => {
    let host: RealHost;
    const lab = new NetworkLab();

    before(async () => {
      await lab.internet();
      host = await RealHost.start({ networkPool: 2 });
      await host.snapshot('py');
    });

    after(async () => {
      await host.stop();
      await lab.stop();
    });

    const spawn = (n: number): Promise<Sandbox[]> => spawnWithNetwork(host, n);
    const remove = (sandboxes: readonly Sandbox[]): Promise<void> => removeAll(host, sandboxes);
    const reach = (id: string, address: string, port: number): Promise<string | null> =>
      evaluate(host, id, `${PROBES}\ntcp('${address}', ${port})`);

    it('reach the internet, each by itself, and the host reaches each by its own address', async () => {
      const sandboxes = await spawn(2);
      assert.equal(new Set(sandboxes.map(({ netns }) => netns)).size, 2);
      for (const { id, netns, network } of sandboxes) {
        assert.match(netns ?? '', /^forkd-child-\d+$/);
        assert.equal(network?.policy, 'internet');
        assert.equal(await reach(id, INTERNET, PORT), "'203.0.113.1'");
        await evaluate(
          host,
          id,
          `import socket, threading
server = socket.create_server(('0.0.0.0', 8000))
threading.Thread(target=lambda: server.accept()[0].sendall(socket.gethostname().encode()), daemon=True).start()`,
        );
      }
      for (const { id, network } of sandboxes) {
        const socket = connect(8000, network?.address ?? '');
        const [chunk] = (await once(socket, 'data')) as [Buffer];
        assert.equal(chunk.toString(), id);
        socket.destroy();
      }
      await remove(sandboxes);
    });

    it('keep their network when the daemon restarts, and give it back when they end', async () => {
      const [sandbox] = await spawn(1);
      assert.ok(sandbox);
      await host.restart();
      assert.equal(await reach(sandbox.id, INTERNET, PORT), "'203.0.113.1'");
      assert.deepEqual(await host.client.json(200, 'GET', `/v1/sandboxes/${sandbox.id}`), sandbox);
      await remove([sandbox]);
      await host.restart();
      assert.deepEqual(await networkTraces(), []);
    });

    it('use the namespaces that an existing host script has made, and leave them there', async () => {
      await tool('ip', 'netns', 'add', 'forkd-child-1');
      await tool('ip', '-n', 'forkd-child-1', 'tuntap', 'add', 'forkd-tap0', 'mode', 'tap');
      await tool('ip', '-n', 'forkd-child-1', 'link', 'set', 'forkd-tap0', 'up');
      await tool('ip', 'netns', 'add', 'forkd-child-2');
      const sandboxes = await spawn(2);
      // The second has no tap; it stays whose it is, and its name is passed over.
      assert.deepEqual(sandboxes.map(({ netns }) => netns).sort(), ['forkd-child-1', 'forkd-child-3']);
      assert.equal(sandboxes.find(({ netns }) => netns === 'forkd-child-1')?.network, undefined);
      await remove(sandboxes);
      await host.restart();
      assert.deepEqual(await networkTraces(), ['forkd-child-1', 'forkd-child-2']);
      for (const name of await networkTraces()) await tool('ip', 'netns', 'del', name);
    });
  });
});
