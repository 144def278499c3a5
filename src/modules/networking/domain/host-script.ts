import type { AddressPlan } from './address-plan';
import { GATEWAY_ADDRESS, GUEST_ADDRESS, GUEST_MAC, RESOLVER_ADDRESS, TAP_NAME } from './guest-network';
import { netnsName, vethName } from './names';

/** The same in every namespace, so that what a guest knows of its neighbours stays right after a fork. */
const TAP_MAC = '06:fc:00:00:00:01';
const UPLINK_MAC = '06:fc:00:00:00:02';
const HOST_MAC = '06:fc:00:00:00:03';
const UPLINK = 'uplink';

/** Devices of this group are removed by one order; a number that nobody else is likely to use. */
const DOOMED_GROUP = 0x666f_726b;

/**
 * A shell script that makes the namespaces of these slots: one `ip -batch` for what is on the host, one inside each
 * namespace, for a tap can only be made where it is to be.
 */
export function creationScript(plan: AddressPlan, slots: readonly number[]): string {
  const onHost = slots.flatMap((slot) => {
    const [netns, veth, link] = [netnsName(slot), vethName(slot), plan.linkOf(slot)];
    return [
      `netns add ${netns}`,
      `link add ${veth} address ${HOST_MAC} type veth peer name ${UPLINK} netns ${netns} address ${UPLINK_MAC}`,
      `link set ${veth} addrgenmode none up`,
      `addr add ${link.host}/31 dev ${veth}`,
      // Fixed, so that nobody has to be asked who has an address; what leaves is addressed to the guest already.
      `neigh add ${GUEST_ADDRESS} lladdr ${UPLINK_MAC} dev ${veth}`,
    ];
  });
  const inside = slots.map((slot) => {
    const link = plan.linkOf(slot);
    const batch = [
      'link set lo up',
      `tuntap add ${TAP_NAME} mode tap`,
      `link set ${TAP_NAME} address ${TAP_MAC} up`,
      `addr add ${GATEWAY_ADDRESS}/24 dev ${TAP_NAME}`,
      `neigh add ${GUEST_ADDRESS} lladdr ${GUEST_MAC} dev ${TAP_NAME}`,
      `neigh add proxy ${RESOLVER_ADDRESS} dev ${TAP_NAME}`,
      `link set ${UPLINK} up`,
      `addr add ${link.sandbox}/31 dev ${UPLINK}`,
      `neigh add ${link.host} lladdr ${HOST_MAC} dev ${UPLINK}`,
      `route add default via ${link.host}`,
      `route add ${RESOLVER_ADDRESS} via ${link.host}`,
    ];
    return `nsenter --net=/run/netns/${netnsName(slot)} sh -ec '${INSIDE}' <<'END'\n${batch.join('\n')}\nEND\n`;
  });
  return `set -e\nip -batch - <<'END'\n${onHost.join('\n')}\nEND\n${inside.join('')}`;
}

/** The namespace only passes packets on; it speaks no IPv6, and answers for the resolver's address without delay. */
const INSIDE = [
  'echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6 2>/dev/null || :',
  'echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6 2>/dev/null || :',
  'ip -batch -',
  `echo 0 >/proc/sys/net/ipv4/neigh/${TAP_NAME}/proxy_delay`,
  'echo 1 >/proc/sys/net/ipv4/ip_forward',
].join('; ');

/**
 * Removes what there is of these slots; what is gone already is passed over. Devices go together, as each removal alone
 * waits for the whole kernel.
 *
 * @param devices which of the host's ends are there.
 */
export function removalScript(netns: readonly string[], devices: readonly string[]): string {
  const names = netns.map((name) => `netns del ${name}`);
  const marks = devices.map((name) => `link set ${name} group ${DOOMED_GROUP}`);
  const parts = [];
  if (names.length > 0) parts.push(`ip -force -batch - <<'END' || :\n${names.join('\n')}\nEND\n`);
  if (marks.length > 0) {
    parts.push(`ip -force -batch - <<'END' 2>/dev/null || :\n${marks.join('\n')}\nEND\n`);
    parts.push(`ip link del group ${DOOMED_GROUP} || :\n`);
  }
  return parts.join('');
}
