import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { median } from './processes';
import type { Measurement } from './types';

const CONNECTIONS = 8;
const ROUND_MS = 1_000;
/** The unit of /proc/PID/stat on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100;

interface Round {
  readonly perSecond: number;
  /** Microseconds of CPU that the daemon took for a request. */
  readonly cpuUs: number;
}

/** The cost of a request over many connections that are kept alive, one request at a time on each; the client costs next to nothing. */
export async function httpScenarios({ rounds }: { readonly rounds: number }): Promise<Measurement[]> {
  const on = await HttpServer.start('on');
  const off = await HttpServer.start('off');
  try {
    // The first rounds warm up the compiler.
    for (let round = 0; round < 2; round++) {
      for (const server of [on, off]) for (const path of ['/version', '/healthz']) await server.round(path);
    }
    const [audited, bare, health]: [Round[], Round[], Round[]] = [[], [], []];
    for (let round = 0; round < Math.max(5, rounds); round++) {
      audited.push(await on.round('/version'));
      bare.push(await off.round('/version'));
      health.push(await on.round('/healthz'));
    }
    const throughput = audited.map(({ perSecond }) => perSecond);
    const baseline = bare.map(({ perSecond }) => perSecond);
    const cpu = health.map(({ cpuUs }) => cpuUs);
    const perCore = cpu.map((us) => 1e6 / us);
    return [
      {
        name: 'GET /version, with audit log against without',
        unit: 'req/s',
        value: median(throughput),
        baseline: median(baseline),
        limit: '>= 0.9x',
        holds: median(throughput) >= 0.9 * median(baseline),
        samples: throughput,
        baselineSamples: baseline,
      },
      {
        name: 'GET /version, CPU of the daemon',
        unit: 'us',
        value: median(audited.map(({ cpuUs }) => cpuUs)),
        baseline: median(bare.map(({ cpuUs }) => cpuUs)),
        limit: '<= 1.11x',
        holds: median(audited.map(({ cpuUs }) => cpuUs)) <= 1.11 * median(bare.map(({ cpuUs }) => cpuUs)),
        samples: audited.map(({ cpuUs }) => cpuUs),
        baselineSamples: bare.map(({ cpuUs }) => cpuUs),
      },
      {
        name: 'GET /healthz per core-second of the daemon',
        unit: 'req',
        value: median(perCore),
        limit: '>= 8000 req',
        holds: median(perCore) >= 8000,
        samples: perCore,
      },
      {
        name: 'GET /healthz, CPU of the daemon',
        unit: 'us',
        value: median(cpu),
        limit: '<= 125 us',
        holds: median(cpu) <= 125,
        samples: cpu,
      },
    ];
  } finally {
    await Promise.all([on.stop(), off.stop()]);
  }
}

class HttpServer {
  private constructor(
    private readonly child: ChildProcess,
    private readonly port: number,
  ) {}

  static async start(audit: 'on' | 'off'): Promise<HttpServer> {
    const child = spawn(process.execPath, [join(__dirname, 'http-server.js'), audit], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const [line] = (await once(child.stdout, 'data')) as [Buffer];
    return new HttpServer(child, Number(line.toString()));
  }

  async round(path: string): Promise<Round> {
    const [before, begun] = [await this.cpuSeconds(), performance.now()];
    const counts = await Promise.all(
      Array.from({ length: CONNECTIONS }, () => flood(this.port, path, begun + ROUND_MS)),
    );
    const seconds = (performance.now() - begun) / 1000;
    const requests = counts.reduce((sum, count) => sum + count, 0);
    const cpu = (await this.cpuSeconds()) - before;
    return { perSecond: requests / seconds, cpuUs: (cpu / requests) * 1e6 };
  }

  async stop(): Promise<void> {
    const ended = once(this.child, 'exit');
    this.child.stdin?.end();
    await ended;
  }

  /** Of all threads, in user and kernel mode. */
  private async cpuSeconds(): Promise<number> {
    const stat = await readFile(`/proc/${this.child.pid ?? 0}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
  }
}

/** Asks one request after the other until the time; how many were answered with 200. */
function flood(port: number, path: string, until: number): Promise<number> {
  const request = `GET ${path} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n`;
  return new Promise((resolve, reject) => {
    let answered = 0;
    const socket = createConnection({ port, host: '127.0.0.1', noDelay: true });
    socket.once('error', reject);
    socket.once('connect', () => socket.write(request));
    socket.on('data', (chunk) => {
      // The answers are small: each comes in one piece.
      if (!chunk.toString('latin1').startsWith('HTTP/1.1 200 ')) {
        reject(new Error(`${path}: ${chunk.toString('latin1')}`));
        return;
      }
      answered += 1;
      if (performance.now() < until) socket.write(request);
      else {
        socket.destroy();
        resolve(answered);
      }
    });
  });
}
