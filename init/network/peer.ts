/** TLS: what a connection shows of itself, and whether the other side is who it should be. */
import { pinOf } from "../../boot/network/public-key-pin.ts";
import type { SourceUrl } from "../../boot/network/source-url.ts";
import type { Identity } from "./identity.ts";
import type { Told } from "./told.ts";
import { codeOf, Trouble } from "./trouble.ts";

declare module "bun" {
  interface Socket<Data> {
    /** As the runtime has it: with false, each certificate names the one that the peer showed for its issuer. */
    getPeerCertificate(abbreviated: false): import("node:tls").DetailedPeerCertificate | null;
  }
}

/** More are no chain. */
const LONGEST_CHAIN = 10;

export function tlsOptions(url: SourceUrl, identity: Identity, own: boolean): Bun.TLSOptions & { serverName?: string } {
  return {
    // Said explicitly: without it a variable of the environment switches verification off. Where dates do not matter it is us
    // who refuse, in judgePeer, since the runtime would for a date.
    rejectUnauthorized: identity.datesMatter,
    ...(identity.ca === null ? {} : { ca: identity.ca }),
    ...(own && identity.client !== null ? { cert: identity.client.certificate, key: identity.client.privateKey } : {}),
    // an address is checked against the certificate's addresses by itself, and is no name to be sent
    ...(/^[0-9.]+$|:/.test(url.host) ? {} : { serverName: url.host }),
  };
}

/**
 * Why the other side is not who it should be; null where it is. The runtime verifies everything and reports one error only, the
 * last: a date's hides an unknown authority and a wrong name. So where dates do not matter, and one is reported, the chain is
 * proven once more without them.
 */
export async function judgePeer(
  socket: Bun.Socket<undefined>,
  sound: boolean,
  error: Error | null,
  url: SourceUrl,
  identity: Identity,
  told: Told,
): Promise<Trouble | null> {
  const code = codeOf(error);
  if (!identity.datesMatter && (code === "CERT_HAS_EXPIRED" || code === "CERT_NOT_YET_VALID")) {
    const chain = shownChain(socket); // before anything is awaited: the socket may be gone by then
    const pin = pinOfPeer(socket);
    const { judgeUndated } = await import("./undated-chain.ts");
    const fault = judgeUndated(chain, identity.ca, url.host);
    if (fault !== null) return refusal(fault);
    told(`${url.origin}: ${dateWords[code]}; a recovery believes it all the same`);
    return judgePin(pin, identity);
  }
  if (!sound || error !== null || !socket.authorized) {
    // no code, or one of the system's: the connection ended before anything was proven
    if (/^(E[A-Z0-9]+)?$/.test(code)) return new Trouble("again", "ends the TLS handshake; is it an https: server?");
    return refusal(refusals[code] ?? code);
  }
  return judgePin(pinOfPeer(socket), identity);
}

function refusal(reason: string): Trouble {
  return new Trouble("stop", `is not proven to be that server: ${reason}`);
}

function judgePin(pin: string | null, { pins }: Identity): Trouble | null {
  if (pins.length === 0 || (pin !== null && pins.includes(pin))) return null;
  return refusal(`its key is ${pin ?? "unreadable"}, none of those that are pinned`);
}

function pinOfPeer(socket: Bun.Socket<undefined>): string | null {
  const certificate = socket.getPeerCertificate();
  const raw = "raw" in certificate && certificate.raw instanceof Uint8Array ? certificate.raw : null;
  return raw === null ? null : pinOf(raw);
}

/** The certificates that the peer showed, its own first, as DER. */
function shownChain(socket: Bun.Socket<undefined>): Uint8Array[] {
  const chain: Uint8Array[] = [];
  let certificate = socket.getPeerCertificate(false);
  while (certificate?.raw instanceof Uint8Array && chain.length < LONGEST_CHAIN) {
    chain.push(new Uint8Array(certificate.raw));
    if (certificate.issuerCertificate === certificate) break;
    certificate = certificate.issuerCertificate;
  }
  return chain;
}

/** What is wrong with the files that a connection was to be made with. */
export const misfits: Record<string, string> = {
  ERR_OSSL_X509_KEY_VALUES_MISMATCH: "--private-key is not the key of --certificate",
  ERR_BORINGSSL: "the certificates of --ca, or --certificate and --private-key, cannot be read; are they PEM files?",
};

const unknownAuthority = "no authority that is believed vouches for its certificate; name yours with --ca";

const dateWords = {
  CERT_HAS_EXPIRED: "its certificate, or one of its authorities', has expired, or the clock is wrong",
  CERT_NOT_YET_VALID: "its certificate, or one of its authorities', is not valid yet, or the clock is wrong",
};

const refusals: Record<string, string> = {
  CERT_HAS_EXPIRED: "its certificate has expired; is the clock right?",
  CERT_NOT_YET_VALID: "its certificate is not valid yet; is the clock right?",
  DEPTH_ZERO_SELF_SIGNED_CERT: "its certificate is self-signed; name it with --ca if you know it",
  ERR_TLS_CERT_ALTNAME_INVALID: "its certificate is for another name",
  SELF_SIGNED_CERT_IN_CHAIN: unknownAuthority,
  UNABLE_TO_GET_ISSUER_CERT: unknownAuthority,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: unknownAuthority,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: unknownAuthority,
};
