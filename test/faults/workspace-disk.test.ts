import assert from 'node:assert/strict';
import { mkdir, readdir } from 'node:fs/promises';
import { describe, it } from 'node:test';
import type { WorkspaceInfo } from '../../src/modules/registry/domain/records';
import { RealHost, tool } from '../support/real-host';

describe('a workspace on a disk that is full', () => {
  it(
    'runs on, and keeps its state',
    { skip: process.getuid?.() === 0 ? false : 'mounting needs root' },
    async () => {
      const host = await RealHost.start();
      const mount = host.config.snapshotRoot;
      await mkdir(mount, { recursive: true });
      await tool('mount', '-t', 'tmpfs', '-o', 'size=2g', 'tmpfs', mount);
      const ask = <T>(method: string, path: string, body?: object): Promise<T> =>
        host.client.json(method === 'POST' && path === '' ? 201 : 200, method, `/v1/workspaces${path}`, body);
      const run = async (code: string): Promise<string | null> => {
        const { live_sandbox_id: id } = await ask<WorkspaceInfo>('GET', '/dev');
        const path = `/v1/sandboxes/${id ?? ''}/eval`;
        return (await host.client.json<{ result: string | null }>(200, 'POST', path, { code })).result;
      };
      try {
        await host.snapshot('py');
        await ask('POST', '', { name: 'dev', snapshot_tag: 'py' });
        await run('n = 1');
        await ask('POST', '/dev/suspend', { diff: true });
        await ask('POST', '/dev/resume');
        await run('n = 2');
        const used = Number((await tool('df', '-B1', '--output=used', mount)).trim().split('\n')[1]);
        await tool('mount', '-o', `remount,size=${used + (24 << 20)}`, mount);
        for (const diff of [true, false]) {
          const error = await host.client.error(500, 'POST', '/v1/workspaces/dev/suspend', { diff });
          assert.match(error, /^suspend: .*no space left/i);
          assert.equal(await run('n'), '2');
        }
        assert.deepEqual(
          (await readdir(mount)).filter((name) => /^\.(new|trash|replaced)/.test(name)),
          [],
        );
        const { live_sandbox_id: id } = await ask<WorkspaceInfo>('GET', '/dev');
        await host.client.json(204, 'DELETE', `/v1/sandboxes/${id ?? ''}`);
        await ask('POST', '/dev/resume');
        assert.equal(await run('n'), '1');
        await host.client.json(204, 'DELETE', '/v1/workspaces/dev');
        assert.deepEqual(await host.traces(), []);
        assert.deepEqual(
          (await readdir(mount)).filter((name) => !name.startsWith('.')),
          ['py'],
        );
      } finally {
        // Its VMs may be running from there when the test has failed.
        await tool('umount', '--lazy', mount);
        await host.stop();
      }
    },
  );
});
