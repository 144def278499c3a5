import { GuestAgent } from '../guest/guest-agent';
import type { RunningVm } from '../vmm/ports/vmm-engine';

/** Milliseconds a running guest has to answer a new connection. */
const CONNECT_DEADLINE_MS = 5_000;

/** The way to a VM's agent; connects when it is first needed, and again when that failed. */
export class AgentLink {
  private constructor(
    private readonly vm: RunningVm,
    private connected: Promise<GuestAgent> | undefined,
  ) {}

  /** For a VM whose agent is connected already. */
  static to(vm: RunningVm, agent: GuestAgent): AgentLink {
    return new AgentLink(vm, Promise.resolve(agent));
  }

  /** For a VM that an earlier daemon started. */
  static later(vm: RunningVm): AgentLink {
    return new AgentLink(vm, undefined);
  }

  async agent(): Promise<GuestAgent> {
    this.connected ??= GuestAgent.connect(() => this.vm.openChannel(), { deadlineMs: CONNECT_DEADLINE_MS });
    const attempt = this.connected;
    try {
      return await attempt;
    } catch (error) {
      if (this.connected === attempt) this.connected = undefined;
      throw error;
    }
  }

  close(): void {
    this.connected?.then(
      (agent) => {
        agent.close();
      },
      () => undefined,
    );
  }
}
