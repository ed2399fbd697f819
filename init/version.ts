declare const SLIPWAY_VERSION: string | undefined;

/** Version of this executable, from package.json; "development" when the sources run without being built. */
export const version = typeof SLIPWAY_VERSION === "string" ? SLIPWAY_VERSION : "development";
