import { OneOf, TextArray } from '../../../common/http/dto-members';
import { POLICY_KINDS, type PolicyKind } from '../../networking/domain/policy';

/** PUT /v1/sandboxes/:id/network */
export class NetworkDto {
  @OneOf(POLICY_KINDS, { description: 'What it may reach from now on.' })
  policy!: PolicyKind;

  @TextArray({
    default: [],
    description: 'For `allow`: IPv4 addresses and networks, with a port or without: 10.1.0.0/16:443.',
  })
  allow!: string[];
}
