import { parseCidr } from './ipv4';

const MIN_PREFIX = 8;
/** Below this too few sandboxes would fit to be worth a daemon. */
const MAX_PREFIX = 29;

/** Whether a text is a network that the links to sandboxes can take their addresses from. */
export function isNetworkRange(text: string): boolean {
  const range = text.includes('/') ? parseCidr(text) : undefined;
  return range !== undefined && range.prefixLength >= MIN_PREFIX && range.prefixLength <= MAX_PREFIX;
}
