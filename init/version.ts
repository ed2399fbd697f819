import { type Architecture, architectureOfRuntime } from "../boot/architecture.ts";

declare const SLIPWAY_VERSION: string | undefined;

/** Version of this executable, from package.json; "development" when the sources run without being built. */
export const version = typeof SLIPWAY_VERSION === "string" ? SLIPWAY_VERSION : "development";

/** The machine that this executable is for, and runs on. */
export const ownArchitecture: Architecture = architectureOfRuntime(process.arch);
