/** Channels in memory, signed by test keys. */
import { type Channel, encodeChannel, type Release } from "../../boot/channel/channel.ts";
import { encodeEnvelope, PAYLOAD_TYPE, preAuthenticationEncoding, type Signature } from "../../boot/image/envelope.ts";
import type { TestKey } from "./sealed-image.ts";

/** A release for all machines. Its root hash is made from `version`. */
export function release(version: string, change: Partial<Release> = {}): Release {
  return {
    version,
    image: `acme-${version}.img`,
    imageSize: 1024 * 4096,
    rootHash: new Bun.CryptoHasher("sha256").update(version).digest("hex"),
    rollbackIndex: 0,
    minimumVersion: null,
    rollout: 100,
    ...change,
  };
}

export function channel(change: Partial<Channel> = {}): Channel {
  return { schema: 1, system: "acme", channel: "stable", serial: 5, releases: [release("2.0"), release("1.0")], ...change };
}

/** The file of a channel's `payload`, signed by `keys`. */
export async function signedPayload(payload: Uint8Array, keys: readonly TestKey[]): Promise<Uint8Array> {
  const message = preAuthenticationEncoding(PAYLOAD_TYPE.channel, payload);
  const signatures: Signature[] = [];
  for (const { key, sign } of keys) signatures.push({ keyId: key.id, signature: await sign(message) });
  return encodeEnvelope({ payloadType: PAYLOAD_TYPE.channel, payload, signatures });
}

export function signedChannel(content: Channel, keys: readonly TestKey[] = []): Promise<Uint8Array> {
  return signedPayload(encodeChannel(content), keys);
}
