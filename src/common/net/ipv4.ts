/** IPv4 addresses as unsigned 32-bit numbers, most significant byte first. */

export interface Cidr {
  readonly base: number;
  readonly prefixLength: number;
}

/** "10.1.2.3" as a number; undefined for anything else. */
export function parseIpv4(text: string): number | undefined {
  if (!/^\d{1,3}(\.\d{1,3}){3}$/.test(text)) return undefined;
  const parts = text.split('.').map(Number);
  if (parts.some((part) => part > 255)) return undefined;
  return parts.reduce((sum, part) => sum * 256 + part, 0);
}

export function formatIpv4(address: number): string {
  return [24, 16, 8, 0].map((shift) => (address >>> shift) & 0xff).join('.');
}

/** "10.0.0.0/8" with no bit set behind the prefix; a bare address is a /32. Undefined for anything else. */
export function parseCidr(text: string): Cidr | undefined {
  const [addressText = '', lengthText = '32', ...rest] = text.split('/');
  const base = parseIpv4(addressText);
  if (base === undefined || rest.length > 0 || !/^\d{1,2}$/.test(lengthText)) return undefined;
  const prefixLength = Number(lengthText);
  if (prefixLength > 32 || base % sizeOf(prefixLength) !== 0) return undefined;
  return { base, prefixLength };
}

export function formatCidr({ base, prefixLength }: Cidr): string {
  return `${formatIpv4(base)}/${prefixLength}`;
}

export function overlap(left: Cidr, right: Cidr): boolean {
  return (
    left.base < right.base + sizeOf(right.prefixLength) && right.base < left.base + sizeOf(left.prefixLength)
  );
}

/** How many addresses a prefix of this length has. */
export function sizeOf(prefixLength: number): number {
  return 2 ** (32 - prefixLength);
}
