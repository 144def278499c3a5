import { writeSync } from 'node:fs';
import { DomainError, errnoOf, errorMessage } from '../../../common/errors/domain-error';
import type { WorkerFailure } from '../domain/jobs';

/** A failure that is told as it is. */
export class WorkerError extends Error {
  constructor(
    readonly code: WorkerFailure['code'],
    message: string,
  ) {
    super(message);
    this.name = 'WorkerError';
  }
}

/** Runs the work of a process that was started with its job as argument; its failure is the last line of stderr. */
export function runWorker(work: (job: unknown) => Promise<void>): void {
  work(JSON.parse(process.argv[2] ?? '{}')).then(
    () => {
      process.exit(0);
    },
    (error: unknown) => {
      writeSync(2, `\n${JSON.stringify(failureOf(error))}\n`);
      process.exit(1);
    },
  );
}

function failureOf(error: unknown): WorkerFailure {
  const message = errorMessage(error);
  if (error instanceof WorkerError) return { code: error.code, message };
  if (error instanceof DomainError && error.code === 'invalid') return { code: 'invalid', message };
  if (['ENOSPC', 'EDQUOT'].includes(errnoOf(error) ?? ''))
    return { code: 'unavailable', message: `no room on the disk: ${message}` };
  return { code: 'internal', message };
}
