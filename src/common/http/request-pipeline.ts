import type { FastifyReply, FastifyRequest } from 'fastify';

/** A request whose response has ended, was cut off, or was given up by the client. */
export interface FinishedRequest {
  readonly id: string;
  readonly method: string;
  /** As the client sent it, still percent-encoded, without the query. */
  readonly path: string;
  /** The route's pattern, e.g. "/v1/sandboxes/:id"; undefined where none matched. */
  readonly route: string | undefined;
  /** 499 when the client went away before a response began. */
  readonly status: number;
  readonly latencyUs: number;
  readonly userAgent: string;
  readonly request: FastifyRequest;
}

export interface Refusal {
  readonly status: number;
  readonly error: string;
}

export type RequestGate = (request: FastifyRequest) => Refusal | undefined;
export type FinishListener = (finished: FinishedRequest) => void;

/** nginx's status for "the client closed the request". */
export const CLIENT_CLOSED_REQUEST = 499;

/**
 * What happens to every request before routing and after its end, whatever it is: matched or unknown, well-formed or not.
 * Modules plug in here instead of adding hooks of their own, so that requests the framework refuses are seen as well.
 */
export class RequestPipeline {
  private readonly gates: RequestGate[] = [];
  private readonly listeners: FinishListener[] = [];

  /** Adds a check that may refuse a request before its body is read. */
  addGate(gate: RequestGate): void {
    this.gates.push(gate);
  }

  /** Adds a listener that is called exactly once per request, when its connection is done with it. It must not throw. */
  onFinished(listener: FinishListener): void {
    this.listeners.push(listener);
  }

  /** Starts observing the request and asks the gates; a refusal must be answered by the caller. */
  admit(request: FastifyRequest, reply: FastifyReply): Refusal | undefined {
    this.observe(request, reply);
    for (const gate of this.gates) {
      const refusal = gate(request);
      if (refusal !== undefined) return refusal;
    }
    return undefined;
  }

  private observe(request: FastifyRequest, reply: FastifyReply): void {
    const started = performance.now();
    const path = pathOf(request.originalUrl);
    // 'close' comes always and once: also after an abort, when Fastify's onResponse stays silent.
    reply.raw.once('close', () => {
      const { raw } = reply;
      const finished: FinishedRequest = {
        id: request.id,
        method: request.method,
        path,
        route: request.routeOptions.url,
        status: raw.headersSent ? raw.statusCode : CLIENT_CLOSED_REQUEST,
        latencyUs: Math.round((performance.now() - started) * 1000),
        userAgent: request.headers['user-agent'] ?? '',
        request,
      };
      for (const listener of this.listeners) listener(finished);
    });
  }
}

/** The path of a request target: without query and fragment. */
export function pathOf(url: string): string {
  const end = url.search(/[?#]/);
  return end === -1 ? url : url.slice(0, end);
}
