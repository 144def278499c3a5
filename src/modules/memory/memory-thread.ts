import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { WorkerOrder, WorkerReply } from './domain/jobs';

const WORKER = join(__dirname, 'adapters', 'memory-worker.js');

type Step = Exclude<WorkerReply['step'], 'failed'>;

interface Waiting {
  readonly resolve: (reply: WorkerReply) => void;
  readonly reject: (error: Error) => void;
}

/** A thread that works on one job after the other; it is told each step and says when it is done. */
export class MemoryThread {
  private readonly worker = new Worker(WORKER);
  private waiting: Waiting | undefined;
  private failure: Error | undefined;
  private idle = true;

  constructor() {
    this.worker.on('message', (reply: WorkerReply) => {
      this.take(reply);
    });
    this.worker.once('error', (error: Error) => {
      this.fail(error);
    });
    this.worker.once('exit', (code) => {
      this.fail(new Error(`the memory thread ended with code ${code} and no result`));
    });
  }

  /** Whether it waits for a job, has no files open, and may be given another. */
  get reusable(): boolean {
    return this.idle && this.failure === undefined;
  }

  /** Gives an order and waits for its reply, which is of this step. @throws the thread's error, with its errno. */
  async next<S extends Step>(step: S, order: WorkerOrder): Promise<Extract<WorkerReply, { step: S }>> {
    if (this.failure) throw this.failure;
    const reply = await new Promise<WorkerReply>((resolve, reject) => {
      this.waiting = { resolve, reject };
      this.idle = false;
      this.worker.postMessage(order);
    });
    if (reply.step === 'failed') throw asError(reply);
    if (!is(reply, step)) throw new Error(`the memory thread answered ${reply.step} where ${step} was due`);
    return reply;
  }

  /** Whether the process waits for this thread before it ends. */
  hold(held: boolean): void {
    if (held) this.worker.ref();
    else this.worker.unref();
  }

  /** Ends the thread, whatever it is doing; its files are closed. */
  async stop(): Promise<void> {
    this.fail(new Error('the memory thread was stopped'));
    await this.worker.terminate();
  }

  private take(reply: WorkerReply): void {
    const { waiting } = this;
    this.waiting = undefined;
    this.idle = ['done', 'copied', 'failed'].includes(reply.step);
    waiting?.resolve(reply);
  }

  private fail(error: Error): void {
    this.failure ??= error;
    this.waiting?.reject(this.failure);
    this.waiting = undefined;
  }
}

function is<S extends Step>(reply: WorkerReply, step: S): reply is Extract<WorkerReply, { step: S }> {
  return reply.step === step;
}

function asError({ message, code }: Extract<WorkerReply, { step: 'failed' }>): Error {
  return Object.assign(new Error(message), code === undefined ? {} : { code });
}
