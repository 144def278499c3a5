import { ApiClient } from '../api/client';
import type { Installation } from '../installation';
import type { Output } from '../output/output';
import type { Environment } from '../settings';
import type { Layout } from './layout';

export const DEFAULT_PORT = 8889;
/** The image, and the tag of the snapshot made from it. */
export const IMAGE = 'python';
export const TAG = 'python';

export interface QuickstartContext {
  readonly layout: Layout;
  readonly installation: Installation;
  readonly output: Output;
  readonly env: Environment;
  readonly signal: AbortSignal;
}

/** A client for the quickstart's daemon, which listens on loopback and wants no token. */
export function clientFor(context: QuickstartContext, port: number): ApiClient {
  return new ApiClient({
    url: new URL(`http://127.0.0.1:${port}`),
    userAgent: `forkd-quickstart/${context.installation.version}`,
  });
}
