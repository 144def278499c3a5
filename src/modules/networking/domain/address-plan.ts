import { type Cidr, formatIpv4, parseCidr, sizeOf } from '../../../common/net/ipv4';
import { isNetworkRange } from '../../../common/net/network-range';

/** Both ends of the link between the host and one sandbox: a network of two addresses (RFC 3021). */
export interface Link {
  /** The host's end. */
  readonly host: string;
  /** The sandbox's end, by which the host reaches the guest. */
  readonly sandbox: string;
}

/**
 * Which addresses sandbox number `slot` has. Slots count from 1, as upstream's namespaces do; the pair of slot 0 belongs to
 * the daemon itself.
 */
export class AddressPlan {
  readonly range: Cidr;
  /** How many sandboxes fit: slots 1 to this. */
  readonly capacity: number;

  private constructor(range: Cidr) {
    this.range = range;
    this.capacity = sizeOf(range.prefixLength) / 2 - 1;
  }

  /** Undefined unless the text is a network of 8 to 29 bits. */
  static parse(text: string): AddressPlan | undefined {
    const range = isNetworkRange(text) ? parseCidr(text) : undefined;
    return range === undefined ? undefined : new AddressPlan(range);
  }

  /** Where the daemon itself listens for sandboxes. */
  get daemonAddress(): string {
    return formatIpv4(this.range.base + 1);
  }

  /** @throws RangeError for a slot outside the plan. */
  linkOf(slot: number): Link {
    if (!Number.isInteger(slot) || slot < 1 || slot > this.capacity) {
      throw new RangeError(`slot ${slot} is not one of 1 to ${this.capacity}`);
    }
    const host = this.range.base + 2 * slot;
    return { host: formatIpv4(host), sandbox: formatIpv4(host + 1) };
  }
}
