import { AsyncLocalStorage } from 'node:async_hooks';
import { DomainError } from '../../../src/common/errors/domain-error';

/** Something the daemon asked of the world outside it: the engine, a VM, the guest, the memory, the file system. */
export interface Operation {
  /** Such as `restore`, `vm.pause`, `guest.identity`, `memory.capture`, `fs.mkdir`. */
  readonly name: string;
  /** A VM's id, or paths; several are joined by ` -> `. */
  readonly target: string;
}

export interface Fault {
  /** Which operations it may hit; all of them when absent. */
  readonly name?: string;
  readonly target?: RegExp;
  /** Which of the operations that match it hits, from 1; the first when absent. */
  readonly nth?: number;
  /**
   * fail: the operation throws, nothing was done. hang: it does not settle before {@link FaultPlan.release}. end-vm: the
   * VM it is about is killed first. crash: the daemon stops for good, as by kill -9, before the operation.
   */
  readonly action: 'fail' | 'hang' | 'end-vm' | 'crash';
  /** What a failing operation throws; an input/output error when absent. */
  readonly error?: Error;
}

class Injected {
  private left: number;

  constructor(readonly fault: Fault) {
    this.left = fault.nth ?? 1;
  }

  hits(operation: Operation): boolean {
    const { name, target } = this.fault;
    if (name !== undefined && name !== operation.name) return false;
    if (target !== undefined && !target.test(operation.target)) return false;
    this.left -= 1;
    return this.left === 0;
  }
}

/** What is to go wrong, and what was asked. */
export class FaultPlan {
  private injected: Injected[] = [];
  private recording: Operation[] | undefined;
  private releases: (() => void)[] = [];
  private hitListeners: ((operation: Operation) => void)[] = [];

  /** @param onCrash ends the daemon that runs now. */
  constructor(private readonly onCrash: () => void) {}

  /** Adds a fault; settles with the operation it hits. */
  inject(fault: Fault): Promise<Operation> {
    this.injected.push(new Injected(fault));
    return new Promise((resolve) => {
      this.hitListeners.push(resolve);
    });
  }

  /** Starts a new list of operations; it grows while they are asked for. */
  record(): readonly Operation[] {
    this.recording = [];
    return this.recording;
  }

  /** Takes back what has not happened, and lets go on what hangs. */
  release(): void {
    this.injected = [];
    this.hitListeners = [];
    this.recording = undefined;
    for (const release of this.releases.splice(0)) release();
  }

  /** Settles at the next {@link release}. */
  released(): Promise<void> {
    return new Promise((resolve) => {
      this.releases.push(resolve);
    });
  }

  /** Notes an operation; what is to happen to it, if anything. A crash has happened when this returns. */
  next(operation: Operation): Fault | undefined {
    this.recording?.push(operation);
    const hit = this.injected.find((each) => each.hits(operation));
    if (hit === undefined) return undefined;
    this.injected = this.injected.filter((each) => each !== hit);
    for (const listener of this.hitListeners.splice(0)) listener(operation);
    if (hit.fault.action === 'crash') this.onCrash();
    return hit.fault;
  }
}

/** The error of an operation that was made to fail. */
export function injectedError({ name, target }: Operation, fault: Fault): Error {
  if (fault.error !== undefined) return fault.error;
  if (!name.startsWith('fs.') && !name.startsWith('memory.')) {
    return new DomainError('internal', `QEMU: injected fault, ${name}`);
  }
  return Object.assign(new Error(`EIO: injected fault, ${name} '${target}'`), { code: 'EIO' });
}

interface OpenFile {
  close(): Promise<void>;
}

const lives = new AsyncLocalStorage<DaemonLife>();

function never(): Promise<never> {
  return new Promise(() => undefined);
}

/**
 * One run of a daemon inside the test's process. Everything it asks of the outside passes here; once it is dead, nothing it
 * asks settles any more, so that its code stands still as if its process were gone.
 */
export class DaemonLife {
  private ended = false;
  private readonly mourners = new Set<() => void>();
  private readonly files = new Set<OpenFile>();

  constructor(readonly plan: FaultPlan) {}

  get isDead(): boolean {
    return this.ended;
  }

  /** The life whose code is running, if any. */
  static current(): DaemonLife | undefined {
    return lives.getStore();
  }

  /** Runs code, and all that it starts, as part of no life. */
  static outside<T>(work: () => T): T {
    return lives.exit(work);
  }

  /** Runs code, and all that it starts, as part of this life. */
  run<T>(work: () => T): T {
    return lives.run(this, work);
  }

  die(): void {
    this.ended = true;
    for (const mourner of this.mourners) mourner();
    this.mourners.clear();
    for (const file of this.files) file.close().catch(() => undefined);
    this.files.clear();
  }

  /** A file that is closed when this life ends, as the kernel does; tell it when the file was closed before. */
  opened(file: OpenFile): () => void {
    this.files.add(file);
    if (this.ended) file.close().catch(() => undefined);
    return () => this.files.delete(file);
  }

  /** As {@link pass}, but rejects when this life ends: for what somebody waits for with a timer, which would run on. */
  passOrEnd(operation: Operation, endVm?: () => void): Promise<void> {
    return new Promise((resolve, reject) => {
      const end = (): void => {
        reject(new Error('the daemon is gone'));
      };
      this.mourners.add(end);
      this.pass(operation, endVm)
        .then(resolve, reject)
        .finally(() => this.mourners.delete(end));
    });
  }

  /** @param endVm kills the VM that the operation is about. */
  async pass(operation: Operation, endVm?: () => void): Promise<void> {
    if (this.ended) return never();
    const fault = this.plan.next(operation);
    if (fault === undefined) return;
    if (fault.action === 'fail') throw injectedError(operation, fault);
    if (fault.action === 'hang') await this.plan.released();
    if (fault.action === 'end-vm') endVm?.();
    if (this.isDead) return never();
  }

  /** Passes on what a promise settles with, unless this life has ended by then. */
  async alive<T>(work: Promise<T>): Promise<T> {
    try {
      const value = await work;
      return this.ended ? await never() : value;
    } catch (error) {
      if (this.ended) return never();
      throw error;
    }
  }
}
