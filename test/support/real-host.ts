import { execFile } from 'node:child_process';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { basename, join, relative, resolve } from 'node:path';
import { promisify } from 'node:util';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { createApp } from '../../src/app.factory';
import { DaemonConfig, type DaemonSettings } from '../../src/common/config/daemon-config';
import { allPids, commandLine } from '../../src/common/os/proc';
import { ImagesService } from '../../src/modules/images/images.service';
import type { Image } from '../../src/modules/images/images.types';
import { RegistryService } from '../../src/modules/registry/registry.service';
import { TestClient } from './http';

export const REPOSITORY = resolve(__dirname, '..', '..', '..');
const DATA_HOME = process.env['XDG_DATA_HOME'] ?? join(homedir(), '.local', 'share');

/** Where images are kept between runs: the daemon's own default, so that quickstart and tests share them. */
export const IMAGE_ROOT = process.env['FORKD_IMAGE_ROOT'] ?? join(DATA_HOME, 'forkd', 'images');

export function imagesService(imageRoot = IMAGE_ROOT): ImagesService {
  const guest = join(REPOSITORY, 'dist', 'guest');
  return new ImagesService({
    imageRoot,
    agentPath: join(guest, 'forkd-agent'),
    runtimesPath: join(guest, 'runtimes'),
  });
}

/** The image `python`, built when it is not there yet. */
export function pythonImage(): Promise<Image> {
  return imagesService().build('python');
}

/** A daemon with directories of its own in this process, and real VMs under it. */
export class RealHost {
  private constructor(
    readonly root: string,
    readonly config: DaemonConfig,
    private app: NestFastifyApplication,
    public client: TestClient,
  ) {}

  static async start(changes: Partial<DaemonSettings> = {}): Promise<RealHost> {
    await pythonImage();
    // Short, as sockets lie below it.
    const root = await mkdtemp('/tmp/fkt-');
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
      imageRoot: IMAGE_ROOT,
      logLevel: 'error',
      ...changes,
    });
    const { app, client } = await listen(config);
    return new RealHost(root, config, app, client);
  }

  /**
   * Ends the daemon as a stop of the service would, and starts another over the same directories.
   *
   * @param meanwhile what happens on the host while no daemon runs.
   */
  async restart(meanwhile: () => void = () => undefined): Promise<void> {
    await this.app.close();
    meanwhile();
    const { app, client } = await listen(this.config);
    this.app = app;
    this.client = client;
  }

  /** Takes a sandbox out of the registry behind the daemon's back, as a lost write would. */
  async forget(id: string): Promise<void> {
    await this.app.get(RegistryService, { strict: false }).mutate((draft) => draft.sandboxes.delete(id));
  }

  /** Makes a snapshot of the image `python` with 256 MiB. */
  async snapshot(tag: string): Promise<void> {
    const body = { tag, image: 'python', mem_size_mib: 256, boot_wait_secs: 60 };
    await this.client.json(201, 'POST', '/v1/snapshots', body);
  }

  /** Pids of the VM processes of this daemon. */
  async vmProcesses(): Promise<number[]> {
    const pids: number[] = [];
    for (const pid of await allPids()) {
      const args = await commandLine(pid);
      if (args?.some((arg) => arg.includes(`${this.config.runDir}/`)) === true) pids.push(pid);
    }
    return pids;
  }

  /** All that is there of VMs: processes, run directories, half-written snapshots, what is kept for them, and entries. */
  async traces(): Promise<string[]> {
    const { runDir, snapshotRoot } = this.config;
    const below = async (dir: string): Promise<string[]> =>
      (await readdir(dir).catch(() => [])).map((name) => relative(this.root, join(dir, name)));
    const hidden = ['.origins', '.assembled'].map((name) => join(snapshotRoot, name));
    return [
      ...(await this.vmProcesses()).map((pid) => `process ${pid}`),
      ...(await below(runDir)).filter((path) => !path.endsWith('.kvm-probe.json')),
      ...(await below(snapshotRoot)).filter((path) => /^\.(new-|trash-|replaced\.)/.test(basename(path))),
      ...(await Promise.all(hidden.map(below))).flat(),
      ...(await this.client.json<{ id: string }[]>(200, 'GET', '/v1/sandboxes')).map(
        ({ id }) => `entry ${id}`,
      ),
    ];
  }

  /** Deletes all sandboxes, stops the daemon, removes its directories. */
  async stop(): Promise<void> {
    const sandboxes = await this.client.json<{ id: string }[]>(200, 'GET', '/v1/sandboxes');
    await Promise.all(sandboxes.map(({ id }) => this.client.send('DELETE', `/v1/sandboxes/${id}`)));
    await this.app.close();
    const left = await this.vmProcesses();
    for (const pid of left) process.kill(pid, 'SIGKILL');
    await rm(this.root, { recursive: true, force: true });
    if (left.length > 0) throw new Error(`VM processes were left: ${left.join(', ')}`);
  }
}

async function listen(config: DaemonConfig): Promise<{ app: NestFastifyApplication; client: TestClient }> {
  const app = await createApp(config);
  await app.listen(config.bindPort, config.bindHost);
  const address: unknown = app.getHttpServer().address();
  if (typeof address !== 'object' || address === null || !('port' in address))
    throw new Error('not listening');
  return { app, client: new TestClient(Number(address.port)) };
}

/** Runs a tool of the host to its end. */
export async function tool(name: string, ...args: string[]): Promise<string> {
  return (await promisify(execFile)(name, args)).stdout;
}
