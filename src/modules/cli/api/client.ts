import type { IncomingMessage } from 'node:http';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { CliError, ExitCode } from '../errors';
import { HttpTransport, type HttpRequest, type HttpTarget } from './http';
import { refusal } from './refusal';
import {
  toEvalAnswer,
  toExecAnswer,
  toFields,
  toList,
  toNetworkStatus,
  toSandbox,
  toSnapshot,
  toSnapshotDetail,
  toUnpackedSnapshot,
  toVersion,
  toWorkspace,
  type BranchRequest,
  type DaemonVersion,
  type EvalAnswer,
  type ExecAnswer,
  type ForkRequest,
  type NetworkStatus,
  type Sandbox,
  type Snapshot,
  type SnapshotDetail,
  type SnapshotRequest,
  type UnpackedSnapshot,
  type Workspace,
  type WorkspaceRequest,
} from './types';

const LIST_MS = 10_000;
const KILL_MS = 30_000;
const SPAWN_MS = 120_000;
const SNAPSHOT_MS = 600_000;
/** The daemon gives an evaluation 30 s; the answer must still have time to arrive. */
const EVAL_MS = 40_000;
const EXEC_MARGIN_MS = 15_000;

export interface DeleteSnapshotOptions {
  readonly cascade?: boolean;
  readonly force?: boolean;
}

/** The daemon's REST interface. Every failure is a CliError with the exit code it stands for. */
export class ApiClient {
  private readonly transport: HttpTransport;

  constructor(target: HttpTarget) {
    this.transport = new HttpTransport(target);
  }

  close(): void {
    this.transport.close();
  }

  async health(timeoutMs = LIST_MS): Promise<void> {
    const answer = toFields(await this.call({ method: 'GET', path: '/healthz', timeoutMs }));
    if (answer['ok'] !== true) throw new CliError(ExitCode.failed, 'the daemon says that it is not healthy');
  }

  async version(): Promise<DaemonVersion> {
    return toVersion(await this.call({ method: 'GET', path: '/version', timeoutMs: LIST_MS }));
  }

  async snapshots(): Promise<Snapshot[]> {
    return toList(await this.call({ method: 'GET', path: '/v1/snapshots', timeoutMs: LIST_MS }), toSnapshot);
  }

  async createSnapshot(body: SnapshotRequest, signal?: AbortSignal): Promise<Snapshot> {
    const request = { method: 'POST', path: '/v1/snapshots', body, timeoutMs: SNAPSHOT_MS } as const;
    return toSnapshot(await this.call(withSignal(request, signal)));
  }

  async deleteSnapshot(tag: string, options: DeleteSnapshotOptions = {}): Promise<void> {
    const query = options.cascade === true ? '?cascade=true' : options.force === true ? '?force=true' : '';
    const path = `${snapshotPath(tag)}${query}`;
    await this.call({ method: 'DELETE', path, timeoutMs: SPAWN_MS });
  }

  async snapshotDetail(tag: string): Promise<SnapshotDetail> {
    const path = `${snapshotPath(tag)}/info`;
    return toSnapshotDetail(await this.call({ method: 'GET', path, timeoutMs: LIST_MS }));
  }

  async compact(tag: string, to: string): Promise<Snapshot> {
    const path = `${snapshotPath(tag)}/compact`;
    return toSnapshot(await this.call({ method: 'POST', path, body: { to }, timeoutMs: SNAPSHOT_MS }));
  }

  /** The bytes of a pack, and how much is in it before compression. Breaks off with an error when the daemon does. */
  async pack(tag: string, signal: AbortSignal): Promise<{ stream: Readable; contentBytes: number }> {
    const answer = await this.transport.stream({ method: 'GET', path: `${snapshotPath(tag)}/pack`, signal });
    if (answer.statusCode !== 200) throw await refusalOf(answer);
    return { stream: answer, contentBytes: Number(answer.headers['x-forkd-content-bytes'] ?? 0) };
  }

  /** @param as the tag it gets, in place of its own. @param bytes length of the pack, where it is known. */
  async unpack(
    pack: Readable,
    bytes: number | undefined,
    as: string | undefined,
    signal: AbortSignal,
  ): Promise<UnpackedSnapshot> {
    const path = `/v1/snapshots/unpack${as === undefined ? '' : `?as=${encodeURIComponent(as)}`}`;
    const request = {
      method: 'POST',
      path,
      body: pack,
      signal,
      ...(bytes === undefined ? {} : { bytes }),
    } as const;
    const answer = await this.transport.stream(request);
    if (answer.statusCode !== 201) throw await refusalOf(answer);
    return toUnpackedSnapshot(JSON.parse(await text(answer)));
  }

  async sandboxes(): Promise<Sandbox[]> {
    return toList(await this.call({ method: 'GET', path: '/v1/sandboxes', timeoutMs: LIST_MS }), toSandbox);
  }

  async sandbox(id: string): Promise<Sandbox> {
    return toSandbox(await this.call({ method: 'GET', path: sandboxPath(id), timeoutMs: LIST_MS }));
  }

  async fork(body: ForkRequest, signal?: AbortSignal): Promise<Sandbox[]> {
    const request = { method: 'POST', path: '/v1/sandboxes', body, timeoutMs: SPAWN_MS } as const;
    return toList(await this.call(withSignal(request, signal)), toSandbox);
  }

  async remove(id: string): Promise<void> {
    await this.call({ method: 'DELETE', path: sandboxPath(id), timeoutMs: KILL_MS });
  }

  /** With `wait: false` it comes back at once, with the status `writing`. */
  async branch(id: string, body: BranchRequest): Promise<Snapshot> {
    const path = `${sandboxPath(id)}/branch`;
    return toSnapshot(await this.call({ method: 'POST', path, body, timeoutMs: SNAPSHOT_MS }));
  }

  async workspaces(): Promise<Workspace[]> {
    return toList(
      await this.call({ method: 'GET', path: '/v1/workspaces', timeoutMs: LIST_MS }),
      toWorkspace,
    );
  }

  async workspace(name: string): Promise<Workspace> {
    return toWorkspace(await this.call({ method: 'GET', path: workspacePath(name), timeoutMs: LIST_MS }));
  }

  async createWorkspace(body: WorkspaceRequest): Promise<Workspace> {
    const path = '/v1/workspaces';
    return toWorkspace(await this.call({ method: 'POST', path, body, timeoutMs: SPAWN_MS }));
  }

  /** @param diff copies only the memory that changed since the VM was started. */
  async suspend(name: string, diff: boolean): Promise<Workspace> {
    const path = `${workspacePath(name)}/suspend`;
    return toWorkspace(await this.call({ method: 'POST', path, body: { diff }, timeoutMs: SNAPSHOT_MS }));
  }

  async resume(name: string): Promise<Workspace> {
    const path = `${workspacePath(name)}/resume`;
    return toWorkspace(await this.call({ method: 'POST', path, timeoutMs: SPAWN_MS }));
  }

  async deleteWorkspace(name: string): Promise<void> {
    await this.call({ method: 'DELETE', path: workspacePath(name), timeoutMs: SPAWN_MS });
  }

  async network(id: string): Promise<NetworkStatus> {
    const path = `${sandboxPath(id)}/network`;
    return toNetworkStatus(await this.call({ method: 'GET', path, timeoutMs: LIST_MS }));
  }

  async setNetwork(id: string, policy: string, allow: readonly string[]): Promise<NetworkStatus> {
    const path = `${sandboxPath(id)}/network`;
    const body = { policy, allow };
    return toNetworkStatus(await this.call({ method: 'PUT', path, body, timeoutMs: LIST_MS }));
  }

  /** The agent's own answer. */
  async ping(id: string): Promise<Readonly<Record<string, unknown>>> {
    const path = `${sandboxPath(id)}/ping`;
    return toFields(await this.call({ method: 'POST', path, timeoutMs: LIST_MS }));
  }

  async exec(id: string, args: readonly string[], timeoutSecs: number): Promise<ExecAnswer> {
    const body = { args, timeout_secs: timeoutSecs };
    const timeoutMs = timeoutSecs * 1000 + EXEC_MARGIN_MS;
    return toExecAnswer(
      await this.call({ method: 'POST', path: `${sandboxPath(id)}/exec`, body, timeoutMs }),
    );
  }

  async eval(id: string, code: string, signal?: AbortSignal): Promise<EvalAnswer> {
    const path = `${sandboxPath(id)}/eval`;
    const request = { method: 'POST', path, body: { code }, timeoutMs: EVAL_MS } as const;
    return toEvalAnswer(await this.call(withSignal(request, signal)));
  }

  /** The parsed body of a 2xx answer; undefined when it is empty. */
  private async call(request: HttpRequest): Promise<unknown> {
    const answer = await this.transport.send(request);
    if (answer.status < 200 || answer.status > 299) throw refusal(answer);
    if (answer.text === '') return undefined;
    try {
      return JSON.parse(answer.text);
    } catch (error) {
      throw new CliError(
        ExitCode.failed,
        'the answer is not JSON, so this is no forkd daemon',
        'Check FORKD_URL or --url.',
        { cause: error },
      );
    }
  }
}

async function refusalOf(answer: IncomingMessage): Promise<CliError> {
  return refusal({ status: answer.statusCode ?? 0, text: await text(answer) });
}

function withSignal(request: HttpRequest, signal: AbortSignal | undefined): HttpRequest {
  return signal === undefined ? request : { ...request, signal };
}

function sandboxPath(id: string): string {
  return `/v1/sandboxes/${encodeURIComponent(id)}`;
}

function snapshotPath(tag: string): string {
  return `/v1/snapshots/${encodeURIComponent(tag)}`;
}

function workspacePath(name: string): string {
  return `/v1/workspaces/${encodeURIComponent(name)}`;
}
