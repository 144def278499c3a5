import { access, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join, relative } from 'node:path';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import { openApp } from '../../src/app.factory';
import { AppModule } from '../../src/app.module';
import { DaemonConfig, type DaemonSettings } from '../../src/common/config/daemon-config';
import { HttpAdapter } from '../../src/common/http/http-adapter';
import { RequestPipeline } from '../../src/common/http/request-pipeline';
import { RouteTable } from '../../src/common/http/route-table';
import { loggerParams } from '../../src/common/logging/daemon-logger';
import { AuditSink } from '../../src/modules/audit/audit-sink';
import { ImagesService } from '../../src/modules/images/images.service';
import { MemoryImageService } from '../../src/modules/memory/memory-image.service';
import { RegistryService } from '../../src/modules/registry/registry.service';
import { VmmEngine } from '../../src/modules/vmm/ports/vmm-engine';
import { TestClient } from './http';
import { settingsIn } from './app';
import type { ModelHost } from './model/host';
import { SimulatedEngine } from './simulated-engine/engine';
import { DaemonLife, FaultPlan, type Operation } from './simulated-engine/faults';
import { gateFileSystem } from './simulated-engine/fs-gate';
import { SimulatedImages } from './simulated-engine/images';
import { SimulatedMemoryImages } from './simulated-engine/memory-images';
import { SimulatedWorld } from './simulated-engine/world';

interface Daemon {
  readonly life: DaemonLife;
  readonly app: NestFastifyApplication;
  readonly client: TestClient;
}

/**
 * The real daemon in this process, with directories of its own and simulated VMs under it: files, sockets, HTTP and the
 * registry are real, VMM processes and their memory are not. It needs no QEMU.
 */
export class SimulatedHost implements ModelHost {
  /** The smallest there is. */
  readonly memSizeMib = 64;
  /** What is to go wrong. */
  readonly faults: FaultPlan;
  readonly world: SimulatedWorld;
  private daemon: Daemon | undefined;
  private starting: DaemonLife | undefined;

  private constructor(
    readonly root: string,
    readonly config: DaemonConfig,
    private readonly images: SimulatedImages,
    private readonly ungate: () => void,
  ) {
    this.faults = new FaultPlan(() => {
      (this.daemon?.life ?? this.starting)?.die();
    });
    this.world = new SimulatedWorld(this.faults);
  }

  static async start(changes: Partial<DaemonSettings> = {}): Promise<SimulatedHost> {
    const root = await mkdtemp(join(await fastDirectory(), 'fks-'));
    const config = new DaemonConfig({
      ...settingsIn(root),
      logLevel: 'fatal',
      ...changes,
    });
    const host = new SimulatedHost(
      root,
      config,
      await SimulatedImages.create(config.imageRoot),
      gateFileSystem(),
    );
    await host.listen();
    return host;
  }

  get client(): TestClient {
    return this.running.client;
  }

  get app(): NestFastifyApplication {
    return this.running.app;
  }

  /** Ends the daemon as a stop of the service would, and starts another over the same directories. */
  async restart(): Promise<void> {
    await this.running.app.close();
    await this.listen();
  }

  /**
   * Ends the daemon as `kill -9` would: no hook runs, nothing it has under way goes on, its connections break. Then starts
   * another over the same directories. Also to be called after a fault that crashed it.
   */
  async crash(): Promise<void> {
    await this.drop();
    this.faults.release();
    await this.listen();
  }

  /**
   * Ends the daemon as {@link crash} does, starts another that is ended the same way at its nth operation, and then one that
   * is left alone. Tells the operation; undefined when a start has fewer.
   */
  async crashWhileStarting(nth: number, meanwhile: () => Promise<void>): Promise<Operation | undefined> {
    await this.drop();
    this.faults.release();
    await meanwhile();
    const hit = this.faults.inject({ action: 'crash', nth });
    const first = await Promise.race([hit, this.listen().then(() => undefined)]);
    this.faults.release();
    if (first !== undefined) await this.listen();
    return first;
  }

  /** Takes a sandbox out of the registry behind the daemon's back, as a lost write would. */
  async forget(id: string): Promise<void> {
    await this.app.get(RegistryService, { strict: false }).mutate((draft) => draft.sandboxes.delete(id));
  }

  /** Makes a snapshot of the image `python` with the smallest memory. */
  async snapshot(tag: string): Promise<void> {
    await this.client.json(201, 'POST', '/v1/snapshots', { tag, image: 'python', mem_size_mib: 64 });
  }

  endVm(pid: number): void {
    this.world.find(pid)?.kill();
  }

  /** The simulated guest knows the orders themselves. */
  codeFor(order: string): string {
    return order;
  }

  /** Tags that have a directory. */
  async snapshotDirectories(): Promise<string[]> {
    const names = await readdir(this.config.snapshotRoot);
    return names.filter((name) => !name.startsWith('.'));
  }

  /** Pids of the VM processes of this host. */
  vmProcesses(): Promise<number[]> {
    return Promise.resolve(this.world.processes().map(({ pid }) => pid));
  }

  /** All that is there of VMs: processes, run directories, half-written snapshots, what is kept for them, and entries. */
  async traces(): Promise<string[]> {
    const { runDir, snapshotRoot } = this.config;
    const below = async (dir: string): Promise<string[]> =>
      (await readdir(dir).catch(() => [])).map((name) => relative(this.root, join(dir, name)));
    const hidden = ['.origins', '.assembled'].map((name) => join(snapshotRoot, name));
    return [
      ...(await this.vmProcesses()).map((pid) => `process ${pid}`),
      ...(await below(runDir)),
      ...(await below(snapshotRoot)).filter((path) => /^\.(new-|trash-|replaced\.)/.test(basename(path))),
      ...(await Promise.all(hidden.map(below))).flat(),
      ...(await this.client.json<{ id: string }[]>(200, 'GET', '/v1/sandboxes')).map(
        ({ id }) => `entry ${id}`,
      ),
    ];
  }

  /** Stops the daemon, ends all VMs, removes the directories. */
  async stop(): Promise<void> {
    this.faults.release();
    if (this.daemon?.life.isDead === true) await this.drop();
    else await this.daemon?.app.close();
    for (const process of this.world.processes()) process.kill();
    this.ungate();
    await rm(this.root, { recursive: true, force: true });
  }

  private get running(): Daemon {
    if (this.daemon === undefined) throw new Error('no daemon runs');
    return this.daemon;
  }

  /** Starts a daemon and waits until it serves. */
  async listen(): Promise<void> {
    this.daemon = undefined;
    const life = new DaemonLife(this.faults);
    this.starting = life;
    const app = await life.run(() => this.createApp(life));
    await life.run(() => app.listen(0, '127.0.0.1'));
    const address: unknown = app.getHttpServer().address();
    if (typeof address !== 'object' || address === null || !('port' in address)) {
      throw new Error('not listening');
    }
    this.daemon = { life, app, client: new TestClient(Number(address.port)) };
    this.starting = undefined;
  }

  /** The application as {@link createApp} makes it, with what reaches for VMs replaced. */
  private async createApp(life: DaemonLife): Promise<NestFastifyApplication> {
    const pipeline = new RequestPipeline();
    const routes = new RouteTable();
    const foundation = { pipeline, routes, logger: await loggerParams(this.config.logLevel) };
    const module = await Test.createTestingModule({
      imports: [AppModule.forRoot(this.config, foundation, [])],
    })
      .overrideProvider(VmmEngine)
      .useValue(new SimulatedEngine(this.world, life))
      .overrideProvider(MemoryImageService)
      .useValue(new SimulatedMemoryImages(this.world, life))
      .overrideProvider(ImagesService)
      .useValue(this.images)
      .compile();
    const adapter = new HttpAdapter(pipeline, routes);
    const app = module.createNestApplication<NestFastifyApplication>(adapter, {
      abortOnError: false,
      bodyParser: false,
      bufferLogs: true,
      autoFlushLogs: false,
    });
    return openApp(app, this.config, pipeline);
  }

  private async drop(): Promise<void> {
    const { life, app } = this.running;
    this.daemon = undefined;
    life.die();
    this.world.disconnectAll();
    const server = app.getHttpServer();
    const closed = new Promise((resolve) => server.close(resolve));
    server.closeAllConnections();
    await closed;
    // The kernel closes a dead process's files; here somebody must.
    await app.get(AuditSink).close();
  }
}

/** A directory whose fsync costs nothing, where there is one; short, as sockets lie below it. */
async function fastDirectory(): Promise<string> {
  return access('/dev/shm').then(
    () => '/dev/shm',
    () => tmpdir(),
  );
}
