import { DomainError } from '../../../common/errors/domain-error';
import { formatCidr } from '../../../common/net/ipv4';
import type { AddressPlan } from './address-plan';

/** More sandboxes want a network than there are addresses for. */
export function exhausted(plan: AddressPlan, wanted: number, free: number): DomainError {
  return new DomainError(
    'unavailable',
    `${wanted} more sandboxes with a network do not fit: ${formatCidr(plan.range)} has room for ${plan.capacity}, and ${free} are free; delete some, or give the daemon a larger --network-range`,
  );
}
