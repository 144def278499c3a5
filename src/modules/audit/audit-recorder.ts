import { Injectable } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { DaemonConfig } from '../../common/config/daemon-config';
import { DomainError, errorMessage } from '../../common/errors/domain-error';
import { type FinishedRequest, type Refusal, RequestPipeline } from '../../common/http/request-pipeline';
import { auditDetailOf } from './audit-detail';
import { auditLine } from './audit-line';
import { AuditSink } from './audit-sink';

/** Room for the lines of the requests that are under way. */
const MIN_FREE_BYTES = 64 * 1024;

/**
 * Gives each request its one line: a mutating one before its answer is sent, so that a daemon which is killed afterwards has it
 * in its log; all others when they are over.
 */
@Injectable()
export class AuditRecorder {
  /** Requests for a change that have their line, or are waiting for it to be written. */
  private readonly recorded = new WeakSet<FastifyRequest>();
  private readonly over = new WeakSet<FastifyRequest>();

  constructor(
    private readonly sink: AuditSink,
    private readonly config: DaemonConfig,
    pipeline: RequestPipeline,
  ) {
    pipeline.onAnswer(isChange, (answer) =>
      this.recorded.has(answer.request) ? undefined : this.record(answer),
    );
    pipeline.onFinished((finished) => {
      if (!isChange(finished.request)) {
        this.sink.append(auditLine(finished, Date.now()));
        return;
      }
      this.over.add(finished.request);
      if (!this.recorded.has(finished.request)) this.append(finished);
    });
  }

  /** @throws DomainError `unavailable` when a line is required for a change and could not be written. */
  async requireWritable(): Promise<void> {
    if (!this.config.auditRequired) return;
    const reason = this.sink.failure ?? (await this.lackOfRoom());
    if (reason !== undefined)
      throw new DomainError('unavailable', `nothing was changed: ${this.refusal(reason)}`);
  }

  private append(finished: FinishedRequest): ReturnType<AuditSink['append']> {
    this.recorded.add(finished.request);
    return this.sink.append(auditLine(finished, Date.now(), auditDetailOf(finished)));
  }

  private async record(answer: FinishedRequest): Promise<Refusal | undefined> {
    const { request } = answer;
    const line = this.append(answer);
    const written = await this.sink.written(line);
    if (written || !this.config.auditRequired || answer.status >= 400) return undefined;
    // The line must say what the client was told, so this one goes and the refusal's comes when the request is over.
    if (!this.over.has(request) && this.sink.withdraw(line)) this.recorded.delete(request);
    const reason = this.sink.failure ?? 'too many lines wait for it';
    return { status: 503, error: `the change was made, but not recorded: ${this.refusal(reason)}` };
  }

  private refusal(reason: string): string {
    return `the audit log ${this.sink.path} cannot be written (${reason}), and this daemon runs with --audit-required`;
  }

  private async lackOfRoom(): Promise<string | undefined> {
    try {
      const { blocks, bavail, bsize } = await statfs(dirname(this.sink.path));
      // Some file systems have no size and report none.
      if (blocks === 0 || bavail * bsize >= MIN_FREE_BYTES) return undefined;
      return 'its file system is full';
    } catch (error) {
      return errorMessage(error);
    }
  }
}

function isChange({ routeOptions }: FastifyRequest): boolean {
  return routeOptions.config.auditAction !== undefined;
}
