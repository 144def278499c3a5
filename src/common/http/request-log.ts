import { Logger } from '@nestjs/common';
import { runInRequest } from './request-context';
import type { RequestPipeline } from './request-pipeline';

/** Logs each request at debug level when it is over. */
export function logRequests(pipeline: RequestPipeline): void {
  const logger = new Logger('Request');
  pipeline.onFinished(({ id, method, path, status, latencyUs }) => {
    runInRequest(id, () => {
      logger.debug({ msg: 'request', method, path, status, latency_us: latencyUs });
    });
  });
}
