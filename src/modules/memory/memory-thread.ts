import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { MemoryJob, WorkerOrder, WorkerReply } from './domain/jobs';

const WORKER = join(__dirname, 'adapters', 'memory-worker.js');

type Step = WorkerReply['step'];

/** A thread that works on one job; it is told what to do next and says when it is done. */
export class MemoryThread {
  private readonly worker: Worker;
  private waiting:
    { step: Step; resolve: (reply: WorkerReply) => void; reject: (error: Error) => void } | undefined;
  private failure: Error | undefined;

  constructor(job: MemoryJob) {
    this.worker = new Worker(WORKER, { workerData: job });
    this.worker.on('message', (reply: WorkerReply) => {
      const { waiting } = this;
      this.waiting = undefined;
      waiting?.resolve(reply);
    });
    this.worker.once('error', (error: Error) => {
      this.fail(error);
    });
    this.worker.once('exit', (code) => {
      this.fail(new Error(`the memory thread ended with code ${code} and no result`));
    });
  }

  /** Waits for the next reply, which must be of this step. */
  next<S extends Step>(step: S, order?: WorkerOrder): Promise<Extract<WorkerReply, { step: S }>> {
    const reply = new Promise<WorkerReply>((resolve, reject) => {
      if (this.failure) reject(this.failure);
      else this.waiting = { step, resolve, reject };
    });
    if (order !== undefined) this.worker.postMessage(order);
    return reply as Promise<Extract<WorkerReply, { step: S }>>;
  }

  /** Ends the thread, whatever it is doing; its files are closed. */
  async stop(): Promise<void> {
    await this.worker.terminate();
  }

  private fail(error: Error): void {
    this.failure ??= error;
    this.waiting?.reject(this.failure);
    this.waiting = undefined;
  }
}
