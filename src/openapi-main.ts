import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createApp } from './app.factory';
import { loadConfig } from './common/config/load-config';
import { DomainError, errorChain } from './common/errors/domain-error';
import { writeFileAtomic } from './common/os/atomic-file';
import { undocumented } from './modules/openapi/document';
import { OpenApiService } from './modules/openapi/openapi.service';
import { RouteTable } from './common/http/route-table';

/** Writes the API's document to a file, out of a daemon that does not listen and whose files are thrown away. */
async function run(target: string | undefined): Promise<void> {
  if (target === undefined) throw new DomainError('invalid', 'usage: openapi-main FILE');
  const directory = await mkdtemp(join(tmpdir(), 'forkd-openapi-'));
  try {
    const app = await createApp(
      loadConfig(
        {
          bind: '127.0.0.1:0',
          engine: 'qemu',
          state: join(directory, 'state.json'),
          'snapshot-root': join(directory, 'snapshots'),
          'audit-log': join(directory, 'audit.log'),
          'run-dir': join(directory, 'run'),
          'image-root': join(directory, 'images'),
        },
        { HOME: directory, FORKD_LOG: 'off' },
      ),
    );
    try {
      const missing = undocumented(app.get(RouteTable).all());
      if (missing.length > 0) {
        throw new DomainError('invalid', `these routes have no @Documented(): ${missing.join(', ')}`);
      }
      await writeFileAtomic(resolve(target), app.get(OpenApiService, { strict: false }).document());
    } finally {
      await app.close();
    }
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

run(process.argv[2]).catch((error: unknown) => {
  process.stderr.write(`${errorChain(error)}\n`);
  process.exitCode = 1;
});
