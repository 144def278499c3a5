import { DomainError } from '../../../common/errors/domain-error';
import { type Cidr, formatCidr, overlap, parseCidr } from '../../../common/net/ipv4';

export const POLICY_KINDS = ['none', 'internet', 'allow', 'open'] as const;
export type PolicyKind = (typeof POLICY_KINDS)[number];

/** What a sandbox may reach. No policy leads to the host, to other sandboxes or to link-local addresses. */
export interface NetworkPolicy {
  readonly kind: PolicyKind;
  /** Only for `allow`: what it leads to, see {@link parseAllowed}. */
  readonly allow: readonly string[];
}

export const DEFAULT_POLICY: NetworkPolicy = { kind: 'internet', allow: [] };

/** No policy leads there: nobody, the host itself, link-local (and the cloud's metadata), multicast and broadcast. */
export const NEVER = ['0.0.0.0/8', '127.0.0.0/8', '169.254.0.0/16', '224.0.0.0/3'].map(cidr);

/** What is not the public internet (IANA's special-purpose registry): private networks, shared and test address space. */
export const PRIVATE = [
  '10.0.0.0/8',
  '100.64.0.0/10',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
].map(cidr);

export const PROTOCOLS = ['tcp', 'udp'] as const;
export type Protocol = (typeof PROTOCOLS)[number];

const MAX_ALLOWED = 256;

/** One entry of an `allow` policy: a network, and a port of it or all that it has. */
export interface Allowed {
  readonly network: Cidr;
  readonly port?: { readonly number: number; readonly protocols: readonly Protocol[] };
}

/** "10.1.2.0/24", "1.2.3.4:443", "1.2.3.4:53/udp". @throws DomainError invalid, with the text. */
export function parseAllowed(text: string): Allowed {
  const [, target = '', port, protocol] = /^([^:]+?)(?::(\d{1,5})(?:\/(tcp|udp))?)?$/.exec(text) ?? [];
  const network = parseCidr(target);
  if (network === undefined) {
    throw refused(
      text,
      'an IPv4 address or network, with a port or without: 203.0.113.7, 10.1.0.0/16:443, 1.1.1.1:53/udp',
    );
  }
  const never = NEVER.find((each) => overlap(each, network) && each.prefixLength <= network.prefixLength);
  if (never !== undefined) throw refused(text, `outside ${formatCidr(never)}, which no policy leads to`);
  if (port === undefined) return { network };
  const number = Number(port);
  if (number < 1 || number > 65_535) throw refused(text, 'with a port of 1 to 65535');
  const protocols = PROTOCOLS.filter((each) => protocol === undefined || each === protocol);
  return { network, port: { number, protocols } };
}

/**
 * The policy a request asks for; undefined when it asks for none.
 *
 * @throws DomainError invalid when the members contradict each other or an entry of `allow` is none.
 */
export function policyOf(kind: PolicyKind | null, allow: readonly string[]): NetworkPolicy | undefined {
  if (kind !== 'allow' && allow.length > 0) {
    throw new DomainError('invalid', 'what is allowed is only told with the policy `allow`');
  }
  if (kind === null) return undefined;
  if (allow.length > MAX_ALLOWED) {
    throw new DomainError('invalid', `at most ${MAX_ALLOWED} entries may be allowed, not ${allow.length}`);
  }
  for (const text of allow) parseAllowed(text);
  return { kind, allow };
}

/** Entries without those that others contain, as overlapping ones cannot be in one set; by protocol and port. */
export function withoutOverlap(allow: readonly string[]): Map<string, Cidr[]> {
  const byPort = new Map<string, Cidr[]>();
  const entries = allow.map(parseAllowed);
  for (const { network, port } of entries.sort((a, b) => a.network.prefixLength - b.network.prefixLength)) {
    for (const key of port?.protocols.map((protocol) => `${protocol} . ${port.number}`) ?? ['']) {
      const known = byPort.get(key) ?? [];
      if (!known.some((each) => overlap(each, network))) byPort.set(key, [...known, network]);
    }
  }
  return byPort;
}

function refused(text: string, expected: string): DomainError {
  return new DomainError('invalid', `'${text}' cannot be allowed: it must be ${expected}`);
}

function cidr(text: string): Cidr {
  const parsed = parseCidr(text);
  if (parsed === undefined) throw new Error(`${text} is no network`);
  return parsed;
}
