/**
 * The baseline of the benchmark, a program of its own: starts the QEMU processes it is told to start, waits for each
 * agent's answer, and does nothing else a daemon does. Reads a job from its first argument, prints a result as JSON.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { closeSync, mkdirSync, openSync, rmSync } from 'node:fs';
import { createConnection, type Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { encodeJsonMessage, FrameType, HEADER_BYTES } from '../../src/modules/guest/domain/frame';
import { ANSWER_MAGIC, encodeSync, NONCE_BYTES } from '../../src/modules/guest/domain/sync';
import { privateKib } from './processes';
import type { BaselineJob, BaselineResult } from './types';

/** The least that can be said to an agent: one request at a time. */
class BareAgent {
  private received: Buffer = Buffer.alloc(0);
  private synced = false;
  private stream = 0;
  private answered: ((payload: Buffer) => void) | undefined;

  constructor(private readonly socket: Socket) {
    socket.on('data', (chunk) => {
      this.received = Buffer.concat([this.received, chunk]);
      this.take();
    });
  }

  identify(): Promise<Buffer> {
    const params = {
      entropy: randomBytes(64).toString('base64'),
      unix_ns: (BigInt(Date.now()) * 1_000_000n).toString(),
      hostname: 'bench',
    };
    return this.ask('identity', params, encodeSync(randomBytes(NONCE_BYTES)));
  }

  ask(method: string, params: object, before: Buffer = Buffer.alloc(0)): Promise<Buffer> {
    const request = encodeJsonMessage(FrameType.request, ++this.stream, JSON.stringify({ method, params }));
    return new Promise((resolve) => {
      this.answered = resolve;
      this.socket.write(Buffer.concat([before, request]));
    });
  }

  private take(): void {
    if (!this.synced) {
      const at = this.received.indexOf(ANSWER_MAGIC);
      if (at < 0 || this.received.length < at + ANSWER_MAGIC.length + NONCE_BYTES) return;
      this.received = this.received.subarray(at + ANSWER_MAGIC.length + NONCE_BYTES);
      this.synced = true;
    }
    while (this.received.length >= HEADER_BYTES) {
      const end = HEADER_BYTES + this.received.readUInt32BE(0);
      if (this.received.length < end) return;
      const type = this.received[4];
      const payload = this.received.subarray(HEADER_BYTES, end);
      this.received = this.received.subarray(end);
      if (type === FrameType.response) this.answered?.(payload);
    }
  }
}

interface Child {
  readonly process: ChildProcess;
  readonly agent: BareAgent;
  readonly answerMs: number;
}

async function start(job: BaselineJob, index: number, begun: number): Promise<Child> {
  const runDir = `${job.runRoot}/${index}`;
  mkdirSync(runDir);
  const vmstate = openSync(job.vmstatePath, 'r');
  const args = job.args.map((arg) => arg.replaceAll('{RUN}', runDir));
  const child = spawn(job.binary, args, {
    detached: true,
    cwd: runDir,
    stdio: ['ignore', 'ignore', 'inherit', vmstate, 'pipe'],
  });
  closeSync(vmstate);
  const control = child.stdio[4];
  if (!(control instanceof Duplex)) throw new Error('no control connection');
  // QEMU's greeting tells that its sockets are there.
  await new Promise((resolve) => control.once('data', resolve));
  control.resume();
  const socket = createConnection(`${runDir}/agent`);
  const agent = new BareAgent(socket);
  await agent.identify();
  return { process: child, agent, answerMs: performance.now() - begun };
}

async function repeat(agent: BareAgent, times: number, method: string, params: object): Promise<number[]> {
  const latencies: number[] = [];
  for (let round = 0; round <= times; round++) {
    const begun = performance.now();
    await agent.ask(method, params);
    // The first is cold.
    if (round > 0) latencies.push(performance.now() - begun);
  }
  return latencies;
}

async function main(): Promise<void> {
  const job = JSON.parse(process.argv[2] ?? '') as BaselineJob;
  mkdirSync(job.runRoot, { recursive: true });
  const begun = performance.now();
  const children = await Promise.all(Array.from({ length: job.n }, (_, index) => start(job, index, begun)));
  const wallMs = performance.now() - begun;
  const memory = await Promise.all(children.map(({ process: child }) => privateKib(child.pid ?? 0)));
  const first = children[0];
  const execMs = first
    ? await repeat(first.agent, job.calls, 'exec', { args: ['true'], timeout_ms: 30_000 })
    : [];
  const evalMs = first ? await repeat(first.agent, job.calls, 'eval', { code: '1+1' }) : [];
  await Promise.all(
    children.map(({ process: child }) => {
      return new Promise((resolve) => {
        child.once('exit', resolve);
        child.kill('SIGKILL');
      });
    }),
  );
  rmSync(job.runRoot, { recursive: true, force: true });
  const result: BaselineResult = {
    wallMs,
    answerMs: children.map(({ answerMs }) => answerMs),
    privateKib: memory,
    execMs,
    evalMs,
  };
  process.stdout.write(`${JSON.stringify(result)}\n`);
  process.exit(0);
}

void main();
