/** What a source over the network may ask for beside its URL: whom to believe, and who we are. */

/** For one origin; what is null or empty is not used. Files are named, so that no secret is in an argument list. */
export interface SourceOptions {
  /** PEM file with the only authorities that may vouch for the server; null: those of the system. */
  ca: string | null;
  /** "sha256//BASE64" of public keys: the server's must be one of them. On top of the certificate's check, never instead. */
  pins: readonly string[];
  /** PEM files of the certificate that we show, with its chain, and its key. */
  certificate: string | null;
  privateKey: string | null;
  /** File with a bearer token. */
  tokenFile: string | null;
}

/** No authority but the system's, and no credentials. */
export const PLAIN: SourceOptions = { ca: null, pins: [], certificate: null, privateKey: null, tokenFile: null };
