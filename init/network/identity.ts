import { optionsFault, type SourceOptions } from "../../boot/network/source-settings.ts";
import type { SourceUrl } from "../../boot/network/source-url.ts";
import { BadInput } from "../../state-ops/outcome.ts";
import { type ProxyUrl, proxyUrl } from "../../state-ops/proxy-url.ts";
import { O } from "../kernel/constants.ts";
import { readText, withOpen } from "../kernel/files.ts";
import { type Kernel, KernelError } from "../kernel/kernel.ts";
import { linuxKernel } from "../kernel/linux.ts";
import type { InRecovery, NetworkContext } from "./context.ts";

/** {@link SourceOptions}, read: what a connection uses. Its secrets are in no message. */
export interface Identity {
  /** PEM; null leaves it to the authorities that are built into the runtime. */
  ca: string | null;
  pins: readonly string[];
  /** For the origin of the source only. */
  client: { certificate: string; privateKey: string } | null;
  token: string | null;
  /** Everything is asked through it; null: nothing is. */
  proxy: ProxyUrl | null;
  /** Whether a certificate is refused for its dates. */
  datesMatter: boolean;
}

/** Where systems keep the authorities they believe: Debian, Arch, Alpine; Fedora; openSUSE. */
const SYSTEM_STORES = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem"];

const LARGEST_FILE = 4 * 1024 * 1024;
/** RFC 6750 2.1. */
const TOKEN = /^[A-Za-z0-9\-._~+/]{1,8192}=*$/;

/**
 * Reads the files that `options` name; in recovery none of them.
 *
 * @throws BadInput for a file that cannot be used, or that others may read and should not, and for what is no proxy
 */
export function readIdentity(
  options: SourceOptions,
  url: SourceUrl,
  { kernel = linuxKernel(), recovery, authorities = null }: NetworkContext,
): Identity {
  if (recovery !== undefined) return identityInRecovery(kernel, options, url, recovery);
  const fault = optionsFault(options, url.secure);
  if (fault !== null) throw new BadInput(`${url.name}: ${fault}`);
  const { ca, pins, certificate, privateKey, tokenFile, proxy } = options;
  const client =
    certificate === null || privateKey === null
      ? null
      : { certificate: readPem(kernel, certificate, "CERTIFICATE"), privateKey: readKey(kernel, privateKey) };
  return {
    ca: ca === null ? (url.secure ? (authorities ?? systemStore(kernel)) : null) : readPem(kernel, ca, "CERTIFICATE"),
    pins,
    client,
    token: tokenFile === null ? null : readToken(kernel, tokenFile),
    proxy: proxy === null ? null : proxyUrl(proxy),
    datesMatter: true,
  };
}

function identityInRecovery(kernel: Kernel, { pins }: SourceOptions, url: SourceUrl, recovery: InRecovery): Identity {
  const { proxy, authorities = null } = recovery;
  return {
    ca: url.secure ? (authorities ?? systemStore(kernel)) : null,
    pins: url.secure ? pins : [],
    client: null,
    token: null,
    proxy: proxy === null ? null : proxyUrl(proxy),
    datesMatter: false,
  };
}

/**
 * The bytes of a file that has none of the permission bits `forbidden`. A special file is not waited for.
 *
 * @throws KernelError where it cannot be read; BadInput where it is not as it should be
 */
export function readOwned(kernel: Kernel, path: string, forbidden: number, remedy: string): Uint8Array {
  return withOpen(kernel, path, O.RDONLY | O.NONBLOCK, (fd) => {
    const { kind, mode, size } = kernel.status(fd);
    if (kind !== "file") throw new BadInput(`${path} is no regular file`);
    if ((mode & forbidden) !== 0) throw new BadInput(`${path} has mode ${mode.toString(8).padStart(4, "0")}; ${remedy} ${path}`);
    if (size > BigInt(LARGEST_FILE)) throw new BadInput(`${path} has ${size} bytes, the most are ${LARGEST_FILE}`);
    return kernel.read(fd, Number(size), null);
  });
}

function systemStore(kernel: Kernel): string | null {
  for (const path of SYSTEM_STORES) {
    try {
      return readText(kernel, path);
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
    }
  }
  return null;
}

function readPem(kernel: Kernel, path: string, label: string): string {
  const pem = new TextDecoder().decode(readNamed(kernel, path, 0, ""));
  if (!pem.includes(`-----BEGIN ${label}-----`)) throw new BadInput(`${path} holds no PEM block "${label}"`);
  return pem;
}

const PRIVATE = 0o027;
const PRIVATE_REMEDY = "it is a secret: chmod o=,g-w";

function readKey(kernel: Kernel, path: string): string {
  const pem = new TextDecoder().decode(readNamed(kernel, path, PRIVATE, PRIVATE_REMEDY));
  if (/^-----BEGIN ENCRYPTED|^Proc-Type:.*ENCRYPTED/m.test(pem)) {
    throw new BadInput(`${path} is encrypted, and nobody is there to give the passphrase; openssl pkey -in ${path} decrypts it`);
  }
  if (!/^-----BEGIN ([A-Z]+ )?PRIVATE KEY-----/m.test(pem)) throw new BadInput(`${path} holds no private key in PEM`);
  return pem;
}

function readToken(kernel: Kernel, path: string): string {
  const token = new TextDecoder().decode(readNamed(kernel, path, PRIVATE, PRIVATE_REMEDY)).trim();
  if (!TOKEN.test(token)) throw new BadInput(`${path} holds no bearer token: one line of letters, digits and - . _ ~ + /`);
  return token;
}

function readNamed(kernel: Kernel, path: string, forbidden: number, remedy: string): Uint8Array {
  try {
    return readOwned(kernel, path, forbidden, remedy);
  } catch (error) {
    if (error instanceof KernelError) throw new BadInput(`${path} cannot be read: ${error.code}`);
    throw error;
  }
}
