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

export interface WorkspaceBody {
  readonly name: string;
  readonly source_snapshot_tag: string;
  readonly status: string;
  readonly live_sandbox_id?: string;
  readonly current_state_tag?: string;
}

/** An HTTP server that answers as the REST contract says, with what a test has put into it. */
export class ContractServer {
  readonly seen: SeenRequest[] = [];
  readonly sandboxes = new Map<string, SandboxBody>();
  readonly snapshots = new Map<string, object>();
  /** By tag: the snapshot that one is stored on. */
  readonly parents = new Map<string, string>();
  readonly workspaces = new Map<string, WorkspaceBody>();
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
    // As a daemon without streams, and upstream's.
    const noStreams = request.url.endsWith('/exec/stream') ? { status: 404 } : undefined;
    const { status, body }: Answer = noStreams ?? this.override?.(request) ?? this.answer(request);
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
    if (kind === 'snapshots') return this.snapshotAnswer(request, name, verb);
    if (kind === 'sandboxes') return this.sandboxAnswer(request, name, verb);
    if (kind === 'workspaces') return this.workspaceAnswer(request, name, verb);
    return { status: 404 };
  }

  private snapshotAnswer(request: SeenRequest, name: string | undefined, verb: string | undefined): Answer {
    if (name !== undefined && verb !== undefined) return this.snapshotVerb(request, name, verb);
    if (request.method === 'GET') return { status: 200, body: [...this.snapshots.values()] };
    if (request.method === 'DELETE') {
      const dependents = [...this.parents].filter(([, parent]) => parent === name).map(([tag]) => tag);
      if (dependents.length > 0 && !request.url.includes('?')) {
        const error = `snapshot ${String(name)} has dependents: ${dependents.join(', ')}; use ?cascade=true or ?force=true`;
        return { status: 409, body: { error } };
      }
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

  private snapshotVerb(request: SeenRequest, tag: string, verb: string): Answer {
    if (!this.snapshots.has(tag)) return notFound(`snapshot ${tag} not found`);
    if (verb === 'compact') {
      const { to } = request.body as { to: string };
      if (this.snapshots.has(to)) return taken(to);
      return { status: 200, body: { ...this.addSnapshot(to), branched_from: `compact:${tag}` } };
    }
    const parent = this.parents.get(tag);
    const body = {
      tag,
      dir: `/srv/snapshots/${tag}`,
      created_at_unix: 1_717_000_000,
      memory_logical_bytes: 268_435_456,
      memory_physical_bytes: 1_048_576,
      vmstate_bytes: 12_288,
      chain_depth: parent === undefined ? 0 : 1,
      ...(parent === undefined ? {} : { parent_tag: parent, parent_content_hash: 'ab' }),
      dependents: [...this.parents].filter(([, above]) => above === tag).map(([below]) => below),
      ancestors: parent === undefined ? [] : [parent],
    };
    return { status: 200, body };
  }

  private branchAnswer(request: SeenRequest, id: string): Answer {
    const { tag = `branch-${id}-0`, wait = true } = request.body as { tag?: string; wait?: boolean };
    if (this.snapshots.has(tag)) return taken(tag);
    const made = {
      ...this.addSnapshot(tag, wait ? 'ready' : 'writing'),
      branched_from: id,
      ...(wait ? { pause_ms: 7, diff_ms: 3, diff_physical_bytes: 4096, diff_logical_bytes: 8192 } : {}),
    };
    this.snapshots.set(tag, made);
    return { status: wait ? 201 : 202, body: made };
  }

  private workspaceAnswer(request: SeenRequest, name: string | undefined, verb: string | undefined): Answer {
    if (name === undefined) {
      if (request.method === 'GET') return { status: 200, body: [...this.workspaces.values()] };
      const { name: chosen, snapshot_tag: tag } = request.body as { name: string; snapshot_tag: string };
      if (!this.snapshots.has(tag)) return notFound(`snapshot ${tag} not found`);
      if (this.workspaces.has(chosen)) {
        return { status: 409, body: { error: `workspace ${chosen} already exists; DELETE first` } };
      }
      return this.setWorkspace(201, {
        name: chosen,
        source_snapshot_tag: tag,
        status: 'running',
        live_sandbox_id: this.addSandbox(tag).id,
      });
    }
    const workspace = this.workspaces.get(name);
    if (workspace === undefined) return notFound(`workspace ${name} not found`);
    if (request.method === 'DELETE') {
      this.workspaces.delete(name);
      return { status: 204 };
    }
    const { live_sandbox_id: id, ...rest } = workspace;
    if (verb === 'suspend') {
      if (id !== undefined) {
        return this.setWorkspace(200, {
          ...rest,
          status: 'suspended',
          current_state_tag: `ws-${name}-state`,
        });
      }
      return { status: 400, body: { error: `workspace ${name} is Suspended, not Running - resume it` } };
    }
    if (verb === 'resume') {
      if (id !== undefined) {
        return { status: 400, body: { error: `workspace ${name} is already Running (sandbox ${id})` } };
      }
      const made = this.addSandbox(rest.current_state_tag ?? rest.source_snapshot_tag);
      return this.setWorkspace(200, { ...rest, status: 'running', live_sandbox_id: made.id });
    }
    return { status: 200, body: workspace };
  }

  private setWorkspace(status: number, workspace: WorkspaceBody): Answer {
    const times = { created_at_unix: 1_717_035_200, last_active_unix: 1_717_035_200 };
    const body = { id: `ws-${workspace.name}`, ...workspace, ...times };
    this.workspaces.set(workspace.name, body);
    return { status, body };
  }

  private sandboxAnswer(request: SeenRequest, id: string | undefined, verb: string | undefined): Answer {
    if (id === undefined) return this.sandboxesAnswer(request);
    const sandbox = this.sandboxes.get(id);
    if (sandbox === undefined) return notFound(`sandbox ${id} not found`);
    if (request.method === 'DELETE') {
      this.sandboxes.delete(id);
      return { status: 204 };
    }
    if (verb === 'branch') return this.branchAnswer(request, id);
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

function taken(tag: string): Answer {
  return { status: 409, body: { error: `snapshot ${tag} already exists; DELETE first` } };
}
