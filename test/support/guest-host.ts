import { rename, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { AgentProcess } from './guest/agent-process';
import { SimulatedHost } from './simulated-host';
import { AGENT_SOCKET } from './simulated-engine/world';

/** A daemon in this process with one sandbox, whose VM is simulated but for its guest: that is the real agent, as a process. */
export class GuestHost {
  private constructor(
    readonly host: SimulatedHost,
    readonly agent: AgentProcess,
    readonly id: string,
  ) {}

  static async start(): Promise<GuestHost> {
    const agent = await AgentProcess.start();
    try {
      const host = await SimulatedHost.start();
      await host.snapshot('py');
      const [sandbox] = await host.client.json<{ id: string }[]>(201, 'POST', '/v1/sandboxes', {
        snapshot_tag: 'py',
      });
      const id = sandbox?.id ?? '';
      const socket = join(host.config.runDir, id, AGENT_SOCKET);
      await rename(socket, `${socket}.simulated`);
      await symlink(agent.socketPath, socket);
      // The next daemon connects to what is there now.
      await host.restart();
      return new GuestHost(host, agent, id);
    } catch (error) {
      await agent.stop();
      throw error;
    }
  }

  get port(): number {
    return this.host.client.port;
  }

  async stop(): Promise<void> {
    await this.host.stop();
    await this.agent.stop();
  }
}
