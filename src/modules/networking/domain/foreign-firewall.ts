import { formatCidr } from '../../../common/net/ipv4';
import type { AddressPlan } from './address-plan';
import { VETH_PREFIX } from './names';

/** A chain as `nft -j list chains` tells it. */
export interface ForeignChain {
  readonly family: string;
  readonly table: string;
  readonly name: string;
  readonly hook?: string;
  readonly policy?: string;
}

/** Marks rules of ours in the tables of others. */
export const PASS_COMMENT = 'forkd: sandboxes have rules of their own';

/**
 * A packet that one table accepts can still be dropped by another. Docker keeps a chain for what the operator wants
 * passed; of other firewalls only the operator knows how they are told.
 *
 * @returns orders for nft, and what the operator should know.
 */
export function passThroughFirewalls(
  plan: AddressPlan,
  chains: readonly ForeignChain[],
): { orders: string; warnings: string[] } {
  const orders: string[] = [];
  const warnings: string[] = [];
  const range = formatCidr(plan.range);
  for (const { family, table, name, hook, policy } of chains) {
    if (table === 'forkd' || hook !== 'forward') continue;
    const user = chains.find(
      (chain) => chain.family === family && chain.table === table && chain.name === 'DOCKER-USER',
    );
    if (user !== undefined) {
      for (const side of ['iifname', 'oifname']) {
        orders.push(
          `insert rule ${family} ${table} DOCKER-USER ${side} "${VETH_PREFIX}*" accept comment "${PASS_COMMENT}"\n`,
        );
      }
    } else if (table === 'firewalld') {
      warnings.push(
        `firewalld may stop what sandboxes send; have it trust them: firewall-cmd --permanent --zone=trusted --add-source=${range} && firewall-cmd --reload`,
      );
    } else if (policy === 'drop') {
      warnings.push(
        `chain ${name} of table ${family} ${table} drops what is forwarded, so sandboxes reach nothing; accept there what comes from ${range} and goes to it`,
      );
    }
  }
  return { orders: orders.join(''), warnings };
}
