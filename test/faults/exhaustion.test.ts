import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import { allPids, commandLine } from '../../src/common/os/proc';
import { type DaemonProcess, DaemonProcesses } from '../support/daemon-process';
import { TestClient } from '../support/http';
import { IMAGE_ROOT, pythonImage, tool } from '../support/real-host';
import { until } from '../support/until';

/** What the daemon may open beside what it has open; some 40 sandboxes use it up. */
const SPARE_FILES = 90;

describe('a spawn of 1,000 on a host whose resources end at 40', () => {
  let processes: DaemonProcesses;
  let daemon: DaemonProcess;
  let client: TestClient;

  before(async () => {
    await pythonImage();
    processes = await DaemonProcesses.create('/tmp/fkx-');
    daemon = await processes.serve([
      `--image-root=${IMAGE_ROOT}`,
      `--snapshot-root=${processes.path('snapshots')}`,
      // Files run out here, whatever memory the machine has.
      '--memory-reserve=0',
    ]);
    client = new TestClient(Number(new URL(daemon.url).port));
    const body = { tag: 'py', image: 'python', mem_size_mib: 128, boot_wait_secs: 60 };
    await client.json(201, 'POST', '/v1/snapshots', body);
  });

  after(async () => {
    for (const pid of await vms()) process.kill(pid, 'SIGKILL');
    await processes.close();
  });

  async function vms(): Promise<number[]> {
    const pids: number[] = [];
    for (const pid of await allPids()) {
      const args = await commandLine(pid);
      if (args?.some((arg) => arg.includes(`${processes.path('run')}/`)) === true) pids.push(pid);
    }
    return pids;
  }

  const openFiles = (): Promise<string[]> => readdir(`/proc/${daemon.child.pid ?? 0}/fd`);

  async function sandboxOf(tag: string): Promise<string> {
    const [child] = await client.json<{ id: string }[]>(201, 'POST', '/v1/sandboxes', { snapshot_tag: tag });
    return child?.id ?? '';
  }

  it('ends all it had started, says what ran out and what to do, and works on', async () => {
    // What a first spawn opens for good is not counted.
    const kept = await sandboxOf('py');
    const before = (await openFiles()).length;
    await tool('prlimit', `--pid=${daemon.child.pid ?? 0}`, `--nofile=${before + SPARE_FILES}`);

    const error = await client.error(500, 'POST', '/v1/sandboxes', { snapshot_tag: 'py', n: 1000 });
    assert.match(error, /^restore_many: .*no file descriptors left: ask for fewer, or raise LimitNOFILE=/);
    const started = Number(/(\d+) of 1000 sandboxes had started, and none of them is left/.exec(error)?.[1]);
    assert.ok(started >= 10 && started < SPARE_FILES, error);

    const listed = await client.json<{ id: string; pid: number }[]>(200, 'GET', '/v1/sandboxes');
    assert.deepEqual(
      listed.map(({ id }) => id),
      [kept],
    );
    assert.deepEqual(
      await vms(),
      listed.map(({ pid }) => pid),
    );
    assert.deepEqual(
      (await readdir(processes.path('run'))).filter((name) => !name.startsWith('.')),
      [kept],
    );
    const answer = { code: '6 * 7' };
    const { result } = await client.json<{ result: string }>(
      200,
      'POST',
      `/v1/sandboxes/${kept}/eval`,
      answer,
    );
    assert.equal(result, '42');
    await client.json(204, 'DELETE', `/v1/sandboxes/${await sandboxOf('py')}`);
    // Connections of what has ended are closed a moment later; one file a child would be dozens.
    await until(async () => (await openFiles()).length <= before + 10);
    await client.json(204, 'DELETE', `/v1/sandboxes/${kept}`);
  });
});
