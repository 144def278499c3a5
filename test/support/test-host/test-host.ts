import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { AgentConnection, type CommandOptions, type CommandResult } from './agent-connection';
import { Machine } from './machine';

const SETUP = resolve(__dirname, '../../../../setup/test-host.mjs');
/** Where the host has the directory it shares with the tests. */
const EXCHANGE = '/mnt/exchange';
const PREPARE_TIMEOUT_MS = 10 * 60_000;
const BOOT_TIMEOUT_MS = 180_000;
const STOP_TIMEOUT_MS = 60_000;

export interface TestHostOptions {
  /** 2048 when absent; only what the host touches is taken. */
  readonly memoryMib?: number;
  /** 2 when absent. */
  readonly cpus?: number;
}

/**
 * A disposable host as a VM: Debian 12 with systemd, cgroup v2 with all controllers, nftables, QEMU and a /dev/kvm that
 * works. Everything in it is emulated, so it needs nothing of the machine it runs on, and is 5 to 20 times slower. Nothing it
 * writes stays. It has no network but its own.
 *
 *     const host = await TestHost.start();
 *     await host.copyIn('dist/guest', '/opt/guest');
 *     const { stdout } = await host.run('systemd-detect-virt');
 *     await host.stop();
 */
export class TestHost {
  private copies = 0;

  private constructor(
    private readonly machine: Machine,
    private readonly agent: AgentConnection,
    private readonly exchange: string,
  ) {}

  /** Boots one; the very first time makes the image it boots from. @throws Error with the end of the console. */
  static async start({ memoryMib = 2048, cpus = 2 }: TestHostOptions = {}): Promise<TestHost> {
    const directory = await prepare();
    const exchange = await mkdtemp(join(tmpdir(), 'forkd-test-host-'));
    const machine = new Machine({ directory, exchange, memoryMib, cpus });
    const agent = new AgentConnection(machine.port);
    const host = new TestHost(machine, agent, exchange);
    const deadline = setTimeout(() => {
      machine.kill();
    }, BOOT_TIMEOUT_MS);
    try {
      await agent.ready;
      // Ends with 1 when a unit failed; which one, says the next command.
      await host.attempt('systemctl is-system-running --wait', { timeoutMs: BOOT_TIMEOUT_MS });
      const failed = await host.run('systemctl --failed --no-legend --plain');
      if (failed.stdout !== '') throw new Error(`units failed in the test host:\n${failed.stdout}`);
      await host.run('test -c /dev/kvm');
      return host;
    } catch (error) {
      await host.discard();
      throw new Error(`the test host does not start; its console ends with:\n${machine.console}`, {
        cause: error,
      });
    } finally {
      clearTimeout(deadline);
    }
  }

  /**
   * Runs a shell command (bash) as root. It is over when its output is closed, so what it starts in the background must
   * not hold that.
   */
  attempt(command: string, options: CommandOptions = {}): Promise<CommandResult> {
    return this.agent.command(command, options);
  }

  /** Like {@link attempt}, for a command that has to succeed. @throws Error with its output when it does not. */
  async run(command: string, options: CommandOptions = {}): Promise<CommandResult> {
    const result = await this.attempt(command, options);
    if (result.code !== 0) {
      const how = result.timedOut
        ? 'did not end in time'
        : `ended with ${result.signal ?? result.code ?? ''}`;
      throw new Error(`in the test host, \`${command}\` ${how}\n${result.stdout}${result.stderr}`);
    }
    return result;
  }

  /** Copies a file or a directory of this machine to a path in the host that does not exist yet. */
  async copyIn(from: string, to: string): Promise<void> {
    const name = this.nextCopy();
    await promisify(execFile)('cp', [
      '-a',
      '--sparse=always',
      '--reflink=auto',
      from,
      join(this.exchange, name),
    ]);
    await this.run(`mkdir -p "$(dirname "$2")" && cp -a --sparse=always "$1" "$2" && rm -rf "$1"`, {
      args: [`${EXCHANGE}/${name}`, to],
      timeoutMs: 5 * 60_000,
    });
  }

  /** Copies a file or a directory of the host to a path of this machine that does not exist yet. */
  async copyOut(from: string, to: string): Promise<void> {
    const name = this.nextCopy();
    await this.run('cp -a "$1" "$2"', { args: [from, `${EXCHANGE}/${name}`], timeoutMs: 5 * 60_000 });
    await promisify(execFile)('mv', [join(this.exchange, name), to]);
  }

  /** Shuts the host down as its administrator would, and removes what there is of it. */
  async stop(): Promise<void> {
    await this.attempt('systemctl poweroff').catch(() => undefined);
    const deadline = setTimeout(() => {
      this.machine.kill();
    }, STOP_TIMEOUT_MS);
    await this.machine.ended;
    clearTimeout(deadline);
    await this.discard();
  }

  private async discard(): Promise<void> {
    this.machine.kill();
    await this.machine.ended;
    await rm(this.exchange, { recursive: true, force: true });
  }

  private nextCopy(): string {
    return `copy-${++this.copies}`;
  }
}

/** The directory with the host's image. */
async function prepare(): Promise<string> {
  const { stdout } = await promisify(execFile)(process.execPath, [SETUP], { timeout: PREPARE_TIMEOUT_MS });
  return stdout.trim();
}
