import assert from 'node:assert/strict';
import type { RealHost } from '../real-host';

export interface Sandbox {
  readonly id: string;
  readonly netns: string | null;
  readonly network?: { readonly policy: string; readonly address: string };
}

/** Forks sandboxes of `py` with a network. */
export function spawnWithNetwork(host: RealHost, n: number, more: object = {}): Promise<Sandbox[]> {
  const body = { snapshot_tag: 'py', n, per_child_netns: true, ...more };
  return host.client.json<Sandbox[]>(201, 'POST', '/v1/sandboxes', body);
}

export async function removeAll(host: RealHost, sandboxes: readonly Sandbox[]): Promise<void> {
  await Promise.all(sandboxes.map(({ id }) => host.client.json(204, 'DELETE', `/v1/sandboxes/${id}`)));
}

/** The `repr` of what the code in a guest gives. */
export async function evaluate(host: RealHost, id: string, code: string): Promise<string | null> {
  const path = `/v1/sandboxes/${id}/eval`;
  const answer = await host.client.json<{ result: string | null; error: string | null }>(200, 'POST', path, {
    code,
  });
  assert.equal(answer.error, null);
  return answer.result;
}

/** Python that defines what a guest can find out about its network. */
export const PROBES = `
import json, socket, struct
from concurrent.futures import ThreadPoolExecutor

def tcp(address, port, seconds=3):
    family = socket.AF_INET6 if ':' in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as connection:
            connection.settimeout(seconds)
            connection.connect((address, port))
            return connection.recv(100).decode()
    except OSError as error:
        return type(error).__name__

def udp(address, port, payload='hello', seconds=3):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as connection:
        connection.settimeout(seconds)
        try:
            connection.sendto(payload.encode(), (address, port))
            return connection.recv(100).decode()
        except OSError as error:
            return type(error).__name__

def arp(address, seconds=1):
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806)) as raw:
        raw.bind(('eth0', 0x0806))
        raw.settimeout(seconds)
        mac = raw.getsockname()[4]
        head = b'\\xff' * 6 + mac + struct.pack('!HHHBBH', 0x0806, 1, 0x0800, 6, 4, 1)
        raw.send(head + mac + socket.inet_aton('10.42.0.2') + bytes(6) + socket.inet_aton(address))
        try:
            while True:
                answer = raw.recv(100)
                if answer[20:22] == b'\\x00\\x02' and answer[28:32] == socket.inet_aton(address):
                    return answer[22:28].hex(':')
        except OSError as error:
            return type(error).__name__

def spoof(source, target, port, payload):
    data = struct.pack('!HHHH', port, port, 8 + len(payload), 0) + payload.encode()
    head = struct.pack('!BBHHHBBH4s4s', 0x45, 0, 20 + len(data), 0, 0, 64, 17, 0,
                       socket.inet_aton(source), socket.inet_aton(target))
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
        raw.sendto(head + data, (target, 0))

def all_of(probes):
    with ThreadPoolExecutor(len(probes)) as pool:
        return json.dumps(list(pool.map(lambda probe: globals()[probe[0]](*probe[1:]), probes)))
`;
