/**
 * The network as every guest sees it. It is fixed inside a snapshot, so it is the same in all namespaces; the addresses and
 * the MAC address are those of upstream forkd, whose snapshots have them inside as well.
 */
export const GUEST_MAC = 'aa:fc:00:00:00:01';
export const GUEST_ADDRESS = '10.42.0.2';
/** The namespace's own side of the tap. */
export const GATEWAY_ADDRESS = '10.42.0.1';
/** Where a guest asks for names; never an address of a machine. */
export const RESOLVER_ADDRESS = '10.42.0.3';
export const GUEST_PREFIX_LENGTH = 24;

/** The tap inside each namespace, as upstream's host script names it. */
export const TAP_NAME = 'forkd-tap0';

/** The kernel argument that gives a parent its address, in the syntax of Linux's nfsroot documentation. */
export const GUEST_IP_ARGUMENT = `ip=${GUEST_ADDRESS}::${GATEWAY_ADDRESS}:255.255.255.0::eth0:off:${RESOLVER_ADDRESS}`;
