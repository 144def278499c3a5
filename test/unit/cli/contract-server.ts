import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';

export interface SeenRequest {
  readonly method: string;
  readonly url: string;
  readonly authorization: string | undefined;
  readonly body: unknown;
}

export interface Answer {
  readonly status: number;
  readonly body?: unknown;
}

export interface SandboxBody {
  readonly id: string;
  readonly snapshot_tag: string;
  readonly pid: number | null;
}

/** An HTTP server that answers as the REST contract says, with what a test has put into it. */
export class ContractServer {
  readonly seen: SeenRequest[] = [];
  readonly sandboxes = new Map<string, SandboxBody>();
  readonly snapshots = new Map<string, object>();
  token: string | undefined;
  /** Answers of a test's own, tried before the contract's. */
  override: ((request: SeenRequest) => Answer | undefined) | undefined;
  private sequence = 0;

  private constructor(private readonly server: Server) {}

  static async start(port = 0): Promise<ContractServer> {
    const server = createServer();
    const contract = new ContractServer(server);
    server.on('request', (request, response) => {
      void contract.handle(request, response);
    });
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, '127.0.0.1', resolve);
    });
    return contract;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise<void>((resolve) => {
      this.server.close(() => {
        resolve();
      });
    });
  }

  addSandbox(tag: string): SandboxBody {
    const id = `sb-6657e0c0-${(this.sequence++).toString(16).padStart(4, '0')}`;
    const sandbox = {
      id,
      snapshot_tag: tag,
      netns: null,
      guest_addr: '10.42.0.2:8888',
      created_at_unix: 1_717_035_200,
      pid: null,
      memory_limit_mib: null,
      has_branched: false,
      last_branch_memory_path: null,
      branch_count: 0,
    };
    this.sandboxes.set(id, sandbox);
    return sandbox;
  }

  addSnapshot(tag: string, status = 'ready'): object {
    const snapshot = {
      tag,
      dir: `/srv/snapshots/${tag}`,
      created_at_unix: 1_717_000_000,
      status,
      bootable: status === 'ready',
    };
    this.snapshots.set(tag, snapshot);
    return snapshot;
  }

  private async handle(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const raw = await text(incoming);
    const request: SeenRequest = {
      method: incoming.method ?? '',
      url: incoming.url ?? '',
      authorization: incoming.headers.authorization,
      body: raw === '' ? undefined : JSON.parse(raw),
    };
    this.seen.push(request);
    const { status, body } = this.override?.(request) ?? this.answer(request);
    const payload = body === undefined ? '' : typeof body === 'string' ? body : JSON.stringify(body);
    response.writeHead(status, { 'content-type': 'application/json' }).end(payload);
  }

  private answer(request: SeenRequest): Answer {
    const path = request.url.split('?')[0] ?? '';
    if (path === '/healthz') return { status: 200, body: { ok: true } };
    if (this.token !== undefined && request.authorization !== `Bearer ${this.token}`) {
      const error = request.authorization === undefined ? 'missing bearer token' : 'invalid bearer token';
      return { status: 401, body: { error } };
    }
    if (path === '/version') return { status: 200, body: { version: '0.5.3', api: 'v1' } };
    const [, , kind, name, verb] = path.split('/');
    if (kind === 'snapshots') return this.snapshotAnswer(request, name);
    if (kind === 'sandboxes') return this.sandboxAnswer(request, name, verb);
    return { status: 404 };
  }

  private snapshotAnswer(request: SeenRequest, name: string | undefined): Answer {
    if (request.method === 'GET') return { status: 200, body: [...this.snapshots.values()] };
    if (request.method === 'DELETE') {
      return this.snapshots.delete(name ?? '')
        ? { status: 204 }
        : notFound(`snapshot ${String(name)} not found`);
    }
    const { tag } = request.body as { tag: string };
    if (this.snapshots.has(tag)) {
      return { status: 400, body: { error: `snapshot ${tag} already exists; DELETE first` } };
    }
    return { status: 201, body: this.addSnapshot(tag) };
  }

  private sandboxAnswer(request: SeenRequest, id: string | undefined, verb: string | undefined): Answer {
    if (id === undefined) return this.sandboxesAnswer(request);
    const sandbox = this.sandboxes.get(id);
    if (sandbox === undefined) return notFound(`sandbox ${id} not found`);
    if (request.method === 'DELETE') {
      this.sandboxes.delete(id);
      return { status: 204 };
    }
    if (verb === 'ping')
      return { status: 200, body: { pong: true, pid: 1, agent_lang: 'python', warmup_ready: true } };
    if (verb === 'exec') return { status: 200, body: { stdout: 'out\n', stderr: 'err\n', exit_code: 0 } };
    if (verb === 'eval') return { status: 200, body: { result: '45', error: null, exit_code: 0 } };
    return { status: 200, body: sandbox };
  }

  private sandboxesAnswer(request: SeenRequest): Answer {
    if (request.method === 'GET') return { status: 200, body: [...this.sandboxes.values()] };
    const { snapshot_tag: tag, n } = request.body as { snapshot_tag: string; n: number };
    if (!this.snapshots.has(tag)) return notFound(`snapshot ${tag} not found`);
    return { status: 201, body: Array.from({ length: n }, () => this.addSandbox(tag)) };
  }
}

function notFound(error: string): Answer {
  return { status: 404, body: { error } };
}
