/** A daemon whose registry holds 1,000 sandboxes without VMs; prints its port. Ends with its standard input. */
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { createApp } from '../../src/app.factory';
import { DaemonConfig } from '../../src/common/config/daemon-config';
import { RegistryService } from '../../src/modules/registry/registry.service';

const ENTRIES = 1000;

async function main(): Promise<void> {
  const root = await mkdtemp('/tmp/fkb-');
  const config = new DaemonConfig({
    bindHost: '127.0.0.1',
    bindPort: 0,
    statePath: join(root, 'state.json'),
    snapshotRoot: join(root, 'snapshots'),
    auditLogPath: join(root, 'audit.log'),
    prewarmScratchDir: join(root, 'scratch'),
    branchConcurrency: 4,
    engine: 'qemu',
    runDir: join(root, 'run'),
    imageRoot: join(root, 'images'),
    logLevel: 'error',
  });
  const app = await createApp(config);
  await app.get(RegistryService, { strict: false }).mutate((draft) => {
    for (let index = 0; index < ENTRIES; index++) {
      const id = `sb-6657e0c0-${index.toString(16).padStart(4, '0')}`;
      draft.sandboxes.set(id, {
        id,
        snapshot_tag: 'python',
        netns: null,
        guest_addr: '10.42.0.2:8888',
        created_at_unix: 1_717_035_200,
        pid: 1000 + index,
        memory_limit_mib: null,
        has_branched: false,
        last_branch_memory_path: null,
        branch_count: 0,
      });
    }
  });
  await app.listen(0, '127.0.0.1');
  const address: unknown = app.getHttpServer().address();
  if (typeof address === 'object' && address !== null && 'port' in address)
    process.stdout.write(`${String(address.port)}\n`);
  process.stdin.resume();
  await new Promise((resolve) => process.stdin.once('end', resolve));
  await app.close();
  await rm(root, { recursive: true, force: true });
}

void main();
