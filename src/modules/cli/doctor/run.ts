import { type Flags, isLoopback, loadConfig } from '../../../common/config/load-config';
import { toList } from '../api/types';
import { CliError, ExitCode } from '../errors';
import { runImageTool, toImage } from '../image-tool';
import type { Session } from '../session';
import type { Environment } from '../settings';
import { type CheckResult, runCheck } from './check';
import { daemonChecks } from './daemon-checks';
import { daemonProcess, type DaemonProcess } from './daemon-process';
import { hostChecks } from './host-checks';
import { storageChecks } from './storage-checks';

/** Settings of the daemon that a person named, by flag without dashes. */
export type DoctorOptions = Flags;

/** Carries out all checks; nothing is changed on the machine. */
export async function examine(
  session: Session,
  options: DoctorOptions,
  env: Environment,
): Promise<CheckResult[]> {
  const { url, installation } = session;
  const local = isLoopback(url.hostname.replace(/^\[|\]$/g, '')) || url.hostname === 'localhost';
  const daemon = local ? await daemonProcess(portOf(url)) : undefined;
  const config = settings(options, daemon, env);
  const { runDir, snapshotRoot, imageRoot, qemu, tokenFile } = config;
  const tokenFiles = [session.tokenFile, tokenFile].filter((path) => path !== undefined);
  const checks = [
    ...hostChecks({
      qemu,
      runDir,
      uid: daemon?.uid ?? process.getuid?.() ?? 0,
      programFile: installation.daemonEntry,
    }),
    ...storageChecks({
      snapshotRoot,
      imageRoot,
      images: async () => {
        const args = ['ls', '--image-root', imageRoot];
        const images = await runImageTool({ entry: installation.imageToolEntry, args });
        return toList(images, toImage).map((image) => image.name);
      },
    }),
    ...daemonChecks({
      url,
      api: () => session.api(),
      local,
      cliVersion: installation.version,
      startCommand: `node ${installation.daemonEntry} serve`,
      runDir,
      tokenFiles: [...new Set(tokenFiles)],
    }),
  ];
  return Promise.all(checks.map(runCheck));
}

/** The daemon's settings: what was named, else those of the daemon that runs, else those a new one would have. */
function settings(
  options: DoctorOptions,
  daemon: DaemonProcess | undefined,
  env: Environment,
): ReturnType<typeof loadConfig> {
  try {
    return daemon === undefined
      ? loadConfig(options, env)
      : loadConfig({ ...daemon.flags, ...options }, daemon.env, daemon);
  } catch (error) {
    throw new CliError(ExitCode.usage, error instanceof Error ? error.message : String(error));
  }
}

function portOf(url: URL): number {
  return url.port === '' ? (url.protocol === 'https:' ? 443 : 80) : Number(url.port);
}
