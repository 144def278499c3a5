import { formatCidr } from '../../../common/net/ipv4';
import type { AddressPlan } from './address-plan';
import { GUEST_ADDRESS, RESOLVER_ADDRESS } from './guest-network';
import { vethName, VETH_PREFIX } from './names';
import { NEVER, type NetworkPolicy, PRIVATE, withoutOverlap } from './policy';

export const TABLE = 'inet forkd';

/** Where the daemon's resolver listens on its own address. */
export const RESOLVER_PORT = 5353;

/** What of a slot the table knows. */
export interface SlotRules {
  readonly slot: number;
  readonly policy: NetworkPolicy;
  /**
   * Marks the connections that this policy let through. Another number makes the table judge all of them anew, so a
   * sandbox gets no way out that was opened for an earlier one.
   */
  readonly generation: number;
}

/**
 * The whole table, with these slots in it, as one transaction: it takes the place of an earlier one without a moment in
 * between. Its rules are always the same number; what belongs to a sandbox is in maps and sets, by its device.
 *
 * Every guest has the same address. It is exchanged for the sandbox's own where packets come in, before anything else looks at
 * them, and back where they leave for it.
 */
export function tableScript(plan: AddressPlan, slots: readonly SlotRules[]): string {
  const ours = `"${VETH_PREFIX}*"`;
  const resolver = plan.daemonAddress;
  return `add table ${TABLE}
delete table ${TABLE}
table ${TABLE} {
  map sources { type ifname : ipv4_addr; }
  map policies { type ifname : verdict; }
  map generations { type ifname : mark; }
  set approved { type ifname . mark; }
  set resolving { type ifname; }
  set confined { type ifname; }
  set allowed { type ifname . ipv4_addr . inet_proto . inet_service; flags interval; }
  set allowed_hosts { type ifname . ipv4_addr; flags interval; }
  set never { type ipv4_addr; flags interval; auto-merge; elements = { ${[...NEVER, plan.range].map(formatCidr).join(', ')} }
  }
  set private { type ipv4_addr; flags interval; elements = { ${PRIVATE.map(formatCidr).join(', ')} }
  }
  chain incoming {
    type filter hook prerouting priority raw; policy accept;
    iifname != ${ours} accept
    ip saddr != ${GUEST_ADDRESS} drop
    meta nfproto != ipv4 drop
    ip saddr set iifname map @sources accept
    drop
  }
  chain outgoing {
    type filter hook postrouting priority 300; policy accept;
    oifname ${ours} ip daddr set ${GUEST_ADDRESS}
  }
  chain names {
    type nat hook prerouting priority dstnat; policy accept;
    iifname != ${ours} accept
    iifname @confined meta l4proto { tcp, udp } th dport 53 dnat ip to ${resolver}:${RESOLVER_PORT}
    ip daddr ${RESOLVER_ADDRESS} meta l4proto { tcp, udp } th dport 53 dnat ip to ${resolver}:${RESOLVER_PORT}
  }
  chain masquerading {
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr ${formatCidr(plan.range)} oifname != ${ours} masquerade
  }
  chain to_host {
    type filter hook input priority filter - 10; policy accept;
    iifname != ${ours} accept
    ct state established,related ct direction reply accept
    iifname @resolving ip daddr ${resolver} meta l4proto { tcp, udp } th dport ${RESOLVER_PORT} accept
    drop
  }
  chain forwarding {
    type filter hook forward priority filter - 10; policy accept;
    iifname ${ours} tcp flags syn tcp option maxseg size set rt mtu
    iifname ${ours} jump egress
    oifname ${ours} jump ingress
  }
  chain egress {
    oifname ${ours} drop
    ip daddr @never drop
    iifname . ct mark @approved accept
    iifname vmap @policies
    drop
  }
  chain ingress {
    ct state established,related oifname . ct mark @approved accept
    drop
  }
  chain approve {
    ct mark set iifname map @generations
    accept
  }
  chain internet {
    ip daddr @private drop
    goto approve
  }
  chain allow {
    iifname . ip daddr @allowed_hosts goto approve
    iifname . ip daddr . meta l4proto . th dport @allowed goto approve
    drop
  }
  chain open {
    goto approve
  }
}
${addScript(plan, slots)}`;
}

/** Orders that make the table know these slots. */
export function addScript(plan: AddressPlan, slots: readonly SlotRules[]): string {
  return slots
    .map((rules) =>
      elementsOf(plan, rules)
        .map((element) => `add ${element}\n`)
        .join(''),
    )
    .join('');
}

/** Orders that make the table forget these slots, which it must know as they are given here. */
export function deleteScript(plan: AddressPlan, slots: readonly SlotRules[]): string {
  return slots
    .map((rules) =>
      elementsOf(plan, rules)
        .map((element) => `delete ${element}\n`)
        .join(''),
    )
    .join('');
}

function elementsOf(plan: AddressPlan, { slot, policy, generation }: SlotRules): string[] {
  const veth = vethName(slot);
  const element = (set: string, content: string): string => `element ${TABLE} ${set} { ${content} }`;
  return [
    element('sources', `${veth} : ${plan.linkOf(slot).sandbox}`),
    element('generations', `${veth} : ${generation}`),
    element('approved', `${veth} . ${generation}`),
    ...(policy.kind === 'none'
      ? []
      : [element('policies', `${veth} : goto ${policy.kind}`), element('resolving', veth)]),
    ...(policy.kind === 'allow' ? [element('confined', veth)] : []),
    ...[...withoutOverlap(policy.allow)].flatMap(([port, networks]) =>
      networks.map((network) =>
        port === ''
          ? element('allowed_hosts', `${veth} . ${formatCidr(network)}`)
          : element('allowed', `${veth} . ${formatCidr(network)} . ${port}`),
      ),
    ),
  ];
}
