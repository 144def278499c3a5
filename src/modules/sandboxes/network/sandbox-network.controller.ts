import { Controller, Get, Param, Put } from '@nestjs/common';
import { Documented } from '../../../common/http/documented.decorator';
import { JsonBody } from '../../../common/http/json-body.decorator';
import { Audited } from '../../audit/audited.decorator';
import { Authenticated } from '../../auth/access.decorator';
import { NetworkDto } from '../dto/network.dto';
import { NETWORK_STATUS, SANDBOX_PARAMS } from '../wire-schemas';
import { type NetworkStatus, SandboxNetworkService } from './sandbox-network.service';

const NO_SANDBOX = 'No such sandbox.';
const NO_NETWORK = 'It has no network, or one whose rules are not the daemon’s.';
const ENDED = 'Its VM has ended, or the rules of the host cannot be changed; the text says which.';

@Controller('v1/sandboxes')
@Authenticated()
export class SandboxNetworkController {
  constructor(private readonly networks: SandboxNetworkService) {}

  @Get(':id/network')
  @Documented({
    id: 'getSandboxNetwork',
    summary: "A sandbox's network: its policy, its address, and the bytes that went over it",
    params: SANDBOX_PARAMS,
    success: { status: 200, description: 'The network.', schema: NETWORK_STATUS },
    errors: { 404: NO_SANDBOX, 409: NO_NETWORK, 500: ENDED },
  })
  status(@Param('id') id: string): Promise<NetworkStatus> {
    return this.networks.status(id);
  }

  @Put(':id/network')
  @Audited('sandbox.network')
  @Documented({
    id: 'setSandboxNetwork',
    summary: 'Has another policy hold for a sandbox',
    description: 'At once, and for connections that are open as well.',
    params: SANDBOX_PARAMS,
    success: { status: 200, description: 'It holds.', schema: NETWORK_STATUS },
    errors: {
      400: '`allow` holds what is no address or may not be allowed, or comes with another policy.',
      404: NO_SANDBOX,
      409: NO_NETWORK,
      500: ENDED,
    },
    example: { policy: 'allow', allow: ['203.0.113.7:443'] },
  })
  change(@Param('id') id: string, @JsonBody() body: NetworkDto): Promise<NetworkStatus> {
    return this.networks.change(id, body.policy, body.allow);
  }
}
