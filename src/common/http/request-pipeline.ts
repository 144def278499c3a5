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
  /** The client's IP address; empty when it was gone before it could be asked for. */
  readonly remoteAddress: string;
  readonly request: FastifyRequest;
}

export interface Refusal {
  readonly status: number;
  readonly error: string;
}

export type RequestGate = (request: FastifyRequest) => Refusal | undefined;
/** May hold an answer back, and have the refusal sent in its place. */
export type AnswerListener = (answer: FinishedRequest) => Promise<Refusal | undefined> | undefined;
export type FinishListener = (finished: FinishedRequest) => void;

/** What is known of a request from its beginning. */
interface Observation {
  readonly started: number;
  readonly path: string;
  readonly remoteAddress: string;
}

const SWITCHING_PROTOCOLS = 101;

/** nginx's status for "the client closed the request". */
export const CLIENT_CLOSED_REQUEST = 499;

/**
 * What happens to every request before routing and after its end, whatever it is: matched or unknown, well-formed or not.
 * Modules plug in here instead of adding hooks of their own, so that requests the framework refuses are seen as well.
 */
export class RequestPipeline {
  private readonly gates: RequestGate[] = [];
  private readonly listeners: FinishListener[] = [];
  private readonly observed = new WeakMap<FastifyRequest, Observation>();
  private answers: { applies: (request: FastifyRequest) => boolean; listener: AnswerListener } | undefined;

  /** Adds a check that may refuse a request before its body is read. */
  addGate(gate: RequestGate): void {
    this.gates.push(gate);
  }

  /**
   * Sets the one listener that is called before the answers of some requests are sent; not for answers that the framework gives
   * by itself.
   */
  onAnswer(applies: (request: FastifyRequest) => boolean, listener: AnswerListener): void {
    if (this.answers !== undefined) throw new Error('there is an answer listener already');
    this.answers = { applies, listener };
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

  /** The end of an answer's way: Fastify's onSend hook. */
  beforeAnswer(
    request: FastifyRequest,
    reply: FastifyReply,
    send: (error?: null, payload?: string) => void,
  ): void {
    const held = this.announce(request, reply.statusCode);
    if (held === undefined) {
      send();
      return;
    }
    // Fastify would take a handler that returns before its answer is out for one that answers with nothing.
    reply.hijack();
    held
      .then((refusal) => {
        if (refusal === undefined) send();
        else {
          void reply.code(refusal.status).header('content-type', 'application/json');
          send(null, JSON.stringify({ error: refusal.error }));
        }
      })
      .catch(() => {
        reply.raw.destroy();
      });
  }

  /** Asks the answer listener before a connection is given to another protocol; a refusal is to be answered in its place. */
  async beforeUpgrade(request: FastifyRequest): Promise<Refusal | undefined> {
    return this.announce(request, SWITCHING_PROTOCOLS);
  }

  private announce(request: FastifyRequest, status: number): ReturnType<AnswerListener> {
    // Most answers interest nobody, and finding out about them costs more than asking.
    if (this.answers?.applies(request) !== true) return undefined;
    const observation = this.observed.get(request);
    return observation && this.answers.listener(finishedRequest(request, observation, status));
  }

  private observe(request: FastifyRequest, reply: FastifyReply): void {
    const observation: Observation = {
      started: performance.now(),
      path: pathOf(request.originalUrl),
      remoteAddress: request.socket.remoteAddress ?? '',
    };
    this.observed.set(request, observation);
    // 'close' comes always and once: also after an abort, when Fastify's onResponse stays silent.
    reply.raw.once('close', () => {
      const { raw } = reply;
      const status = raw.headersSent ? raw.statusCode : CLIENT_CLOSED_REQUEST;
      const finished = finishedRequest(request, observation, status);
      for (const listener of this.listeners) listener(finished);
    });
  }
}

function finishedRequest(request: FastifyRequest, observation: Observation, status: number): FinishedRequest {
  const { started, path, remoteAddress } = observation;
  return {
    id: request.id,
    method: request.method,
    path,
    route: request.routeOptions.url,
    status,
    latencyUs: Math.round((performance.now() - started) * 1000),
    userAgent: request.headers['user-agent'] ?? '',
    remoteAddress,
    request,
  };
}

/** The path of a request target: without query and fragment. */
export function pathOf(url: string): string {
  const end = url.search(/[?#]/);
  return end === -1 ? url : url.slice(0, end);
}
