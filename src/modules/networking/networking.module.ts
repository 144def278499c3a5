import { join } from 'node:path';
import { Module } from '@nestjs/common';
import { ConfigError } from '../../common/config/config-error';
import { DaemonConfig } from '../../common/config/daemon-config';
import { FileNamespaceJournal } from './adapters/file-namespace-journal';
import { LinuxNetworkHost } from './adapters/linux-network-host';
import { AddressPlan } from './domain/address-plan';
import { NamespacePool } from './namespace-pool';
import { NETWORK_PROVIDER, NetworkingService, type NetworkProvider } from './networking.service';
import { NetworkHost } from './ports/network-host';

function createProvider(config: DaemonConfig, host: NetworkHost): NetworkProvider | null {
  if (config.network === 'off') return null;
  const plan = AddressPlan.parse(config.networkRange);
  if (plan === undefined) throw new ConfigError(`--network-range is '${config.networkRange}', no range`);
  const journal = new FileNamespaceJournal(join(config.runDir, '.namespaces.json'));
  return { plan, pool: new NamespacePool(host, journal, plan, config.networkPool) };
}

@Module({
  providers: [
    NetworkingService,
    { provide: NetworkHost, useClass: LinuxNetworkHost },
    { provide: NETWORK_PROVIDER, inject: [DaemonConfig, NetworkHost], useFactory: createProvider },
  ],
  exports: [NetworkingService],
})
export class NetworkingModule {}
