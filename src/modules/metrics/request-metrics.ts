import { Injectable } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import { Counter, Gauge, Histogram } from 'prom-client';
import { HttpAdapter } from '../../common/http/http-adapter';
import { type FinishedRequest, RequestPipeline } from '../../common/http/request-pipeline';
import { MetricsService } from './metrics.service';

/** From an answer out of memory to a snapshot that boots a VM. */
const BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];
const METHODS: ReadonlySet<string> = new Set(['DELETE', 'GET', 'HEAD', 'POST']);

/** Counts and times all requests, those the framework refuses and those that clients give up included. */
@Injectable()
export class RequestMetrics {
  private readonly total: Counter;
  private readonly duration: Histogram;

  constructor(pipeline: RequestPipeline, { registry }: MetricsService, host: HttpAdapterHost) {
    const registers = [registry];
    this.total = new Counter({
      name: 'forkd_http_requests_total',
      help: 'Requests that are over. 499: the client went away; route (unmatched): unknown path or wrong method.',
      labelNames: ['method', 'route', 'status'],
      registers,
    });
    this.duration = new Histogram({
      name: 'forkd_http_request_duration_seconds',
      help: 'From the headers of a request to the end of its answer.',
      labelNames: ['method', 'route'],
      buckets: BUCKETS,
      registers,
    });
    new Gauge({
      name: 'forkd_tls_certificate_expiry_timestamp_seconds',
      help: 'When the certificate in use expires; absent for plain HTTP.',
      registers,
      collect() {
        const adapter: unknown = host.httpAdapter;
        const end = adapter instanceof HttpAdapter ? adapter.certificateValidTo : undefined;
        if (end === undefined) this.remove();
        else this.set(end.getTime() / 1000);
      },
    });
    pipeline.onFinished((finished) => {
      this.observe(finished);
    });
  }

  /** Labels are what the daemon itself knows: its routes' patterns, never a path that somebody sent. */
  private observe({ method: sent, route: pattern, status, latencyUs }: FinishedRequest): void {
    const method = METHODS.has(sent) ? sent : 'other';
    const route = pattern ?? '(unmatched)';
    this.total.inc({ method, route, status });
    this.duration.observe({ method, route }, latencyUs / 1e6);
  }
}
