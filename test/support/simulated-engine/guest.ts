import type { Duplex } from 'node:stream';
import { EXEC_DONE, FakeAgent, type FakeRequest, Wire } from '../guest/fake-agent';
import type { FaultPlan } from './faults';
import { GuestVariables } from './guest-variables';
import type { GuestMemory } from './guest-memory';

export interface GuestHost {
  readonly id: string;
  readonly plan: FaultPlan;
  /** Ends the VM, with the console's last words. */
  end(words: string): void;
}

const EVAL_DONE = { result: null, error: null, stdout: '', stderr: '', exit_code: 0 };

/**
 * What runs in a simulated VM: the agent, and an interpreter of `set K V`, `get K`, `unset K`, `incr K`, `list`, and
 * numbers. All its state is in the VM's memory. It does nothing while the VM is paused.
 */
export class SimulatedGuest {
  private readonly variables: GuestVariables;
  private readonly waiting: (() => void)[] = [];
  private agent: FakeAgent | undefined;
  private running = true;
  private ended = false;

  constructor(
    memory: GuestMemory,
    private readonly host: GuestHost,
  ) {
    this.variables = new GuestVariables(memory);
  }

  get paused(): boolean {
    return !this.running;
  }

  get ticks(): number {
    return this.variables.ticks;
  }

  pause(): void {
    this.running = false;
  }

  resume(): void {
    if (this.running) return;
    this.running = true;
    // A guest does something at once, so that memory read after the pause shows.
    this.variables.ticks += 1;
    for (const work of this.waiting.splice(0)) this.whenRunning(work);
  }

  /** The other end of the channel; it takes the place of the one before. */
  connect(channel: Duplex): void {
    this.disconnect();
    this.agent = new FakeAgent(channel, {
      onSync: (agent, nonce) => {
        this.whenRunning(() => {
          const fault = this.fault('guest.sync');
          if (fault === 'fail') agent.channel.destroy();
          if (fault !== undefined) return;
          agent.answerSync(nonce);
          agent.hello();
        });
      },
      onRequest: (request) => {
        this.whenRunning(() => {
          this.answer(request);
        });
      },
    });
  }

  disconnect(): void {
    this.agent?.channel.destroy();
    this.agent = undefined;
  }

  /** Does nothing more. */
  end(): void {
    this.ended = true;
    this.waiting.length = 0;
    this.disconnect();
  }

  private whenRunning(work: () => void): void {
    if (this.ended) return;
    if (this.running) work();
    else this.waiting.push(work);
  }

  private answer(request: FakeRequest): void {
    const { agent, stream, method } = request;
    const fault = this.fault(`guest.${method}`);
    if (fault === 'fail') agent.refuse(stream, 'internal', `injected fault, ${method}`);
    if (fault !== undefined) return;
    this.variables.ticks += 1;
    const methods: Record<string, (request: FakeRequest) => void> = {
      identity: (asked) => {
        this.identity(asked);
      },
      ping: () => {
        agent.result(stream, {
          pong: true,
          pid: 1,
          agent_lang: 'python',
          numpy_version: 'not-installed',
          warmup_ready: true,
        });
      },
      exec: (asked) => {
        this.exec(asked);
      },
      eval: ({ params }) => {
        agent.result(stream, { ...EVAL_DONE, ...this.evaluate(String(params['code'])) });
      },
    };
    const known = methods[method];
    if (known) known(request);
    else agent.refuse(stream, 'unknown_method', `no method ${method}`);
  }

  /** What goes wrong with a request; a guest of which nothing more is heard does not answer. */
  private fault(name: string): 'fail' | 'silent' | undefined {
    const fault = this.host.plan.next({ name, target: this.host.id });
    if (fault === undefined) return undefined;
    if (fault.action === 'end-vm') this.host.end('injected fault: the VM ended');
    return fault.action === 'fail' ? 'fail' : 'silent';
  }

  private identity({ agent, stream, params }: FakeRequest): void {
    if (String(params['entropy']).length < 44) {
      agent.refuse(stream, 'invalid', 'entropy has 32 to 512 bytes');
      return;
    }
    this.variables.hostname = String(params['hostname']);
    agent.result(stream, { clock_step_ns: '0' });
  }

  private evaluate(code: string): { result?: string; error?: string; exit_code?: number } {
    const [verb = '', name = '', ...rest] = code.split(' ');
    if (/^\d+$/.test(code)) return { result: code };
    switch (verb) {
      case 'set':
        this.variables.set(name, rest.join(' '));
        return {};
      case 'unset':
        this.variables.unset(name);
        return {};
      case 'incr': {
        const value = String(Number(this.variables.get(name) ?? '0') + 1);
        this.variables.set(name, value);
        return { result: value };
      }
      case 'get': {
        const value = this.variables.get(name);
        return value === undefined
          ? { error: `KeyError: '${name}'`, exit_code: 1 }
          : { result: `'${value}'` };
      }
      case 'list':
        return { result: JSON.stringify(this.variables.entries()) };
      default:
        return { error: `SyntaxError: ${code}`, exit_code: 1 };
    }
  }

  private exec({ agent, stream, params }: FakeRequest): void {
    const [program = '', ...args] = params['args'] as string[];
    const done = (stdout: string, exitCode = 0): void => {
      if (stdout !== '') agent.output(stream, 1, stdout);
      agent.result(stream, { ...EXEC_DONE, exit_code: exitCode });
    };
    switch (program) {
      case 'true':
      case 'false':
        done('', program === 'true' ? 0 : 1);
        return;
      case 'echo':
        done(`${args.join(' ')}\n`);
        return;
      case 'hostname':
        done(`${this.variables.hostname}\n`);
        return;
      case 'poweroff':
        this.host.end('');
        return;
      case 'sleep':
        // Until it is told to stop: no test waits for time.
        void agent
          .frame(({ type, stream: ended }) => type === Wire.cancel && ended === stream)
          .then(() => {
            agent.refuse(stream, 'cancelled', 'the request was cancelled');
          });
        return;
      default:
        agent.refuse(stream, 'not_found', `${program}: no such program`);
    }
  }
}
