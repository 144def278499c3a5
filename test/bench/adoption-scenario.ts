import type { SandboxRecord } from '../../src/modules/registry/domain/records';
import { BenchDaemon } from './daemon';
import { atMost } from './scenarios';
import type { Measurement } from './types';

const SANDBOXES = 50;

/** How soon a daemon serves that is started over the VMs of one that was killed. */
export async function adoptionScenario(rounds: number, say: (text: string) => void): Promise<Measurement[]> {
  let daemon = await BenchDaemon.start();
  try {
    const body = { tag: 'py', image: 'python', mem_size_mib: 128, boot_wait_secs: 60 };
    await daemon.client.json(201, 'POST', '/v1/snapshots', body);
    const made = await daemon.client.json<SandboxRecord[]>(201, 'POST', '/v1/sandboxes', {
      snapshot_tag: 'py',
      n: SANDBOXES,
    });
    const serving: number[] = [];
    const answering: number[] = [];
    for (let round = 0; round < rounds; round++) {
      say(`adoption of ${SANDBOXES}, round ${round + 1} of ${rounds}`);
      const begun = performance.now();
      daemon = await daemon.killAndStart();
      serving.push(daemon.startMs);
      const listed = await daemon.client.json<SandboxRecord[]>(200, 'GET', '/v1/sandboxes');
      if (listed.length !== made.length) throw new Error(`${listed.length} of ${made.length} were adopted`);
      await Promise.all(listed.map(({ id }) => daemon.client.json(200, 'POST', `/v1/sandboxes/${id}/ping`)));
      answering.push(performance.now() - begun);
    }
    return [
      atMost(`start over ${SANDBOXES} sandboxes after kill -9, to the first answer`, 'ms', serving, 2000),
      // No promise: guests answer as fast as the host's CPUs let them.
      { ...atMost('the same, to the answer of every guest', 'ms', answering, 10_000), limit: 'told only' },
    ];
  } finally {
    await daemon.stop();
  }
}
