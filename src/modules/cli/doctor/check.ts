export type CheckStatus = 'pass' | 'warn' | 'fail';

/** What was found about one prerequisite or running part. */
export interface Finding {
  /** fail: forkd does not work here; warn: it works, but slower, less safely, or nobody could tell. */
  readonly status: CheckStatus;
  readonly detail: string;
  /** A command that puts it right; for a warning it may be absent where there is nothing to do. */
  readonly fix?: string;
}

export interface Check {
  readonly name: string;
  readonly run: () => Promise<Finding>;
}

export interface CheckResult extends Finding {
  readonly name: string;
}

export function pass(detail: string): Finding {
  return { status: 'pass', detail };
}

export function warn(detail: string, fix?: string): Finding {
  return { status: 'warn', detail, ...(fix === undefined ? {} : { fix }) };
}

export function fail(detail: string, fix: string): Finding {
  return { status: 'fail', detail, fix };
}

/** Runs a check; one that could not be carried out is a warning that says why. */
export async function runCheck({ name, run }: Check): Promise<CheckResult> {
  try {
    return { name, ...(await run()) };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return { name, ...warn(`could not be found out: ${reason}`) };
  }
}
