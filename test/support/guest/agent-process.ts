import { ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { watch } from 'node:fs';
import { access, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createConnection, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { Duplex } from 'node:stream';
import { promisify } from 'node:util';

const GUEST = resolve(__dirname, '..', '..', '..', '..', 'guest');
const PYTHON_DRIVER = join(GUEST, 'runtimes', 'python', 'driver.py');

/** The agent the images carry, built and run as a process of this host, with a warm Python; no VM is needed. */
export class AgentProcess {
  private constructor(
    readonly directory: string,
    readonly socketPath: string,
    private readonly child: ChildProcess,
  ) {}

  /** Builds the agent, starts it and waits until it accepts connections. */
  static async start(): Promise<AgentProcess> {
    const directory = await mkdtemp(join(tmpdir(), 'fka-'));
    try {
      const binary = await build(directory);
      const config = join(directory, 'image.json');
      const python = (await runFile('python3', ['-c', 'import sys; print(sys.executable)'])).trim();
      await writeFile(
        config,
        JSON.stringify({
          env: { FROM_IMAGE: 'yes' },
          runtimes: { python: { argv: [python, '-u', PYTHON_DRIVER] } },
        }),
      );
      const socketPath = join(directory, 'agent.sock');
      const bound = appeared(directory, socketPath);
      const child = spawn(binary, ['-listen', `unix:${socketPath}`, '-runtime-config', config], {
        stdio: ['ignore', 'ignore', 'inherit'],
      });
      try {
        await Promise.race([bound, exitOf(child)]);
      } catch (error) {
        child.kill('SIGKILL');
        throw error;
      }
      return new AgentProcess(directory, socketPath, child);
    } catch (error) {
      await rm(directory, { recursive: true, force: true });
      throw error;
    }
  }

  /** A connection of its own; it replaces the one before it. */
  readonly openChannel = async (): Promise<Socket> => {
    for (;;) {
      const socket = createConnection(this.socketPath);
      try {
        await once(socket, 'connect');
        return socket;
      } catch (error) {
        socket.destroy();
        // Between bind and listen, for an instant.
        if (!(error instanceof Error) || !('code' in error) || error.code !== 'ECONNREFUSED') throw error;
        if (this.child.exitCode !== null) throw error;
      }
    }
  };

  async stop(): Promise<void> {
    const exited = once(this.child, 'exit');
    if (this.child.exitCode === null && this.child.kill('SIGKILL')) await exited;
    await rm(this.directory, { recursive: true, force: true });
  }
}

/**
 * A port as a VM has it: the agent's end stays open for ever, and the host's ends come and go. Bytes the guest sends while
 * no host is there are what the next one finds in the channel.
 */
export class VirtualPort {
  private host: Duplex | undefined;
  private readonly stale: Buffer[] = [];

  constructor(private readonly guest: Socket) {
    guest.on('data', (chunk: Buffer) => {
      if (this.host === undefined) this.stale.push(chunk);
      else this.host.push(chunk);
    });
  }

  readonly openChannel = (): Promise<Duplex> => {
    this.host?.destroy();
    const host = new Duplex({
      read: () => undefined,
      write: (chunk: Buffer, _encoding, done) => {
        if (!this.guest.destroyed)
          this.guest.write(chunk, () => {
            done();
          });
      },
      destroy: (error, done) => {
        if (this.host === host) this.host = undefined;
        done(error);
      },
    });
    for (const chunk of this.stale.splice(0)) host.push(chunk);
    this.host = host;
    return Promise.resolve(host);
  };

  /** Bytes as a daemon may have left them when it died. */
  leave(bytes: Buffer): void {
    this.guest.write(bytes);
  }

  close(): void {
    this.host?.destroy();
    this.guest.destroy();
  }
}

async function build(directory: string): Promise<string> {
  const binary = join(directory, 'forkd-agent');
  const env = { ...process.env, CGO_ENABLED: '0', GOTOOLCHAIN: 'local' };
  await promisify(execFile)('go', ['build', '-buildvcs=false', '-o', binary, '.'], {
    cwd: join(GUEST, 'agent'),
    env,
  });
  return binary;
}

async function runFile(file: string, args: readonly string[]): Promise<string> {
  return (await promisify(execFile)(file, args)).stdout;
}

/** Settles when a file is there; listens before the first look, so that nothing is missed. */
export async function appeared(directory: string, path: string): Promise<void> {
  const watcher = watch(directory);
  try {
    const isThere = (): Promise<boolean> =>
      access(path).then(
        () => true,
        () => false,
      );
    while (!(await isThere())) await once(watcher, 'change');
  } finally {
    watcher.close();
  }
}

async function exitOf(child: ChildProcess): Promise<never> {
  await once(child, 'exit');
  throw new Error(`the agent ended at its start with ${child.exitCode ?? child.signalCode ?? 'an error'}`);
}
