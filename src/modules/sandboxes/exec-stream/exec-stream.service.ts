import { Injectable, type OnModuleDestroy } from '@nestjs/common';
import type { WebSocket } from 'ws';
import { DomainError } from '../../../common/errors/domain-error';
import type { GuestProgram, ProgramListener } from '../../guest/guest-program';
import type { StartMessage } from '../domain/stream-messages';
import { SandboxesService } from '../sandboxes.service';
import { ExecSession } from './exec-session';

/** Streams at a time; each may hold a window of each pipe in memory, 768 KiB. */
export const MAX_STREAMS = 256;

/** The programs whose clients are connected. */
@Injectable()
export class ExecStreamService implements OnModuleDestroy {
  private readonly sessions = new Set<ExecSession>();
  private open = 0;
  private stopping = false;

  constructor(private readonly sandboxes: SandboxesService) {}

  /**
   * Serves a client that wants to run a program in a sandbox.
   *
   * @param connect gives the client's connection, once it is clear that it may be served.
   * @throws DomainError not_found, unavailable, or internal when the VM has ended; what `connect` throws.
   */
  async serve(id: string, connect: () => Promise<WebSocket>): Promise<void> {
    this.sandboxes.vmOf(id);
    if (this.stopping) throw new DomainError('unavailable', 'the daemon is shutting down');
    if (this.open >= MAX_STREAMS) {
      throw new DomainError('unavailable', `${MAX_STREAMS} streams are open; retry when one has ended`);
    }
    this.open += 1;
    try {
      this.begin(id, await connect());
    } catch (error) {
      this.open -= 1;
      throw error;
    }
  }

  /** Before the sandboxes let go of their guests, which would look like guests that were lost. */
  onModuleDestroy(): void {
    this.stopping = true;
    for (const session of this.sessions) session.shutDown();
  }

  private begin(id: string, socket: WebSocket): void {
    const session = new ExecSession(socket, (start, listener) => this.start(id, start, listener));
    this.sessions.add(session);
    socket.once('close', () => {
      this.sessions.delete(session);
      this.open -= 1;
    });
    // It may have begun while the connection was being made.
    if (this.stopping) session.shutDown();
  }

  private async start(id: string, start: StartMessage, listener: ProgramListener): Promise<GuestProgram> {
    const { args, env, cwd, user, stdin, tty: terminal, timeoutSecs } = start;
    const agent = await this.sandboxes.vmOf(id).link.agent();
    const timeoutMs = timeoutSecs === undefined ? undefined : timeoutSecs * 1000;
    return agent.start({ args, env, cwd, user, stdin, terminal, timeoutMs }, listener);
  }
}
