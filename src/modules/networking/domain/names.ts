/** Names on the host. Those of namespaces are upstream's, on which its clients depend; devices have at most 15 characters. */

const NETNS_PREFIX = 'forkd-child-';
/** No prefix of a device that upstream's host script makes. */
export const VETH_PREFIX = 'forkd-n';

export function netnsName(slot: number): string {
  return `${NETNS_PREFIX}${slot}`;
}

/** The host's end of the link to a sandbox. */
export function vethName(slot: number): string {
  return `${VETH_PREFIX}${slot}`;
}

/** The slot of a namespace's name; undefined when it is no such name. */
export function slotOfNetns(name: string): number | undefined {
  return numberAfter(NETNS_PREFIX, name);
}

/** The slot of a device's name; undefined when it is no such name. */
export function slotOfVeth(name: string): number | undefined {
  return numberAfter(VETH_PREFIX, name);
}

function numberAfter(prefix: string, name: string): number | undefined {
  const digits = name.startsWith(prefix) ? name.slice(prefix.length) : '';
  return /^[1-9]\d{0,6}$/.test(digits) ? Number(digits) : undefined;
}
