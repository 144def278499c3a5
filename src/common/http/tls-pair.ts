import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createSecureContext, type SecureContextOptions } from 'node:tls';
import { DomainError, errorMessage } from '../errors/domain-error';

/** A certificate chain and its key that belong together. */
export interface TlsPair {
  /** What Node's TLS servers take. */
  readonly options: Readonly<
    Required<Pick<SecureContextOptions, 'cert' | 'key' | 'minVersion' | 'maxVersion'>>
  >;
  /** Tells one pair from another. */
  readonly fingerprint: string;
  /** When the server's certificate ends to be valid. */
  readonly validTo: Date;
}

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g;

/**
 * Reads a certificate chain and its private key, both PEM.
 *
 * @throws DomainError naming the file and what is wrong with it.
 */
export async function readTlsPair(certPath: string, keyPath: string): Promise<TlsPair> {
  const certFile = `--tls-cert ${certPath}`;
  const keyFile = `--tls-key ${keyPath}`;
  const [cert, key] = await Promise.all([read(certFile, certPath), read(keyFile, keyPath)]);
  const chain = parseChain(cert, certFile);
  const privateKey = parseKey(key, keyFile);
  const owner = chain.findIndex((certificate) => certificate.checkPrivateKey(privateKey));
  const [leaf] = chain;
  if (leaf === undefined || owner === -1) {
    throw refusal(`${keyFile} is not the key of the certificate in ${certFile}`);
  }
  if (owner > 0) {
    throw refusal(
      `${certFile} has the certificate of ${keyFile} as number ${owner + 1}; it must come first, then its issuers`,
    );
  }
  const options = { cert, key, minVersion: 'TLSv1.2', maxVersion: 'TLSv1.3' } as const;
  try {
    createSecureContext(options);
  } catch (error) {
    throw refusal(`${certFile} cannot be used: ${errorMessage(error)}`);
  }
  const fingerprint = chain.map(({ fingerprint256 }) => fingerprint256).join();
  return { options, fingerprint, validTo: new Date(leaf.validTo) };
}

async function read(file: string, path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    throw refusal(`${file} cannot be read: ${errorMessage(error)}`);
  }
}

function parseChain(text: string, file: string): X509Certificate[] {
  const blocks = text.match(CERTIFICATE) ?? [];
  if (blocks.length === 0) throw refusal(`${file} holds no PEM certificate`);
  return blocks.map((block, index) => {
    try {
      return new X509Certificate(block);
    } catch (error) {
      throw refusal(
        `${file}: certificate ${index + 1} of ${blocks.length} is damaged: ${errorMessage(error)}`,
      );
    }
  });
}

function parseKey(text: string, file: string): KeyObject {
  if (!/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(text)) throw refusal(`${file} holds no PEM private key`);
  if (/-----BEGIN ENCRYPTED |Proc-Type: 4,ENCRYPTED/.test(text)) {
    throw refusal(`${file} is encrypted; the daemon needs a key without a passphrase`);
  }
  try {
    return createPrivateKey(text);
  } catch (error) {
    throw refusal(`${file} is damaged: ${errorMessage(error)}`);
  }
}

function refusal(text: string): DomainError {
  return new DomainError('invalid', text);
}
