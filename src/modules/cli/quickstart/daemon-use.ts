import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { CliError, ExitCode } from '../errors';
import { clientFor, DEFAULT_PORT, type QuickstartContext } from './context';
import { daemonFailure, requireFreePort, startDaemon } from './daemon-start';
import { stopDaemon } from './daemon-stop';
import type { PhaseOutcome, Step } from './phases';
import { isAlive } from './process-identity';
import { readDaemonRecord, removeRecord, type DaemonRecord } from './record-file';

/** The quickstart's daemon that runs, where it is of this build, else a new one. */
export async function useDaemon(
  context: QuickstartContext,
  wantedPort: number | undefined,
  step: Step,
): Promise<PhaseOutcome<DaemonRecord>> {
  const record = await readDaemonRecord(context.layout.daemonRecord);
  const running = record !== undefined && (await isAlive(record)) ? record : undefined;
  if (running !== undefined) {
    if (wantedPort !== undefined && wantedPort !== running.port) {
      throw new CliError(
        ExitCode.conflict,
        `the quickstart's daemon runs on port ${running.port} already`,
        'Leave out --port, or stop it first: npm run quickstart -- --down',
      );
    }
    if (await isCurrent(context, running)) {
      return { value: running, detail: `there already, process ${running.pid}, port ${running.port}` };
    }
    step('ending the one of another build');
    await stopDaemon(running);
  }
  await removeRecord(context.layout.daemonRecord);
  const started = await launch(context, wantedPort ?? running?.port ?? DEFAULT_PORT);
  return { value: started, detail: `started, process ${started.pid}, port ${started.port}` };
}

/** Starts the daemon; the port must be free. */
export async function launch(context: QuickstartContext, port: number): Promise<DaemonRecord> {
  const api = clientFor(context, port);
  try {
    await requireFreePort(port, api);
    return await startDaemon({
      entry: context.installation.daemonEntry,
      layout: context.layout,
      port,
      build: await currentBuild(context.installation.daemonEntry),
      api,
      env: context.env,
      signal: context.signal,
    });
  } finally {
    api.close();
  }
}

/** What the set-up writes beside the build when it has succeeded. */
async function currentBuild(daemonEntry: string): Promise<string> {
  return readFile(join(dirname(daemonEntry), '.stamp'), 'utf8').catch(() => '');
}

async function isCurrent(context: QuickstartContext, running: DaemonRecord): Promise<boolean> {
  const api = clientFor(context, running.port);
  try {
    const { version } = await api.version();
    if (version !== context.installation.version) return false;
    return running.build === (await currentBuild(context.installation.daemonEntry));
  } catch (error) {
    const reason = `process ${running.pid} runs but does not answer (${error instanceof Error ? error.message : String(error)})`;
    throw await daemonFailure(reason, context.layout);
  } finally {
    api.close();
  }
}
