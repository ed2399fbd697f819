import { z } from "zod";
import { RUNGS } from "../recovery.ts";
import { MOST_ADDRESSES, MOST_LINKS, MOST_SOURCES } from "../recovery-rules.ts";
import { device, duration, map, oneOf, text, trueOrFalse } from "./words.ts";

const addresses = (what: string, least: number) => {
  const error = `must be a list of ${what}`;
  return z
    .array(text(what.replace(/s$/, "")), { error })
    .min(least, { error: `must name at least one of the ${what}` })
    .max(MOST_ADDRESSES, { error: `must name at most ${MOST_ADDRESSES} ${what}` });
};

const url = text("an http: or https: URL");

/** `recovery:` of system.yaml. What it leaves out is filled in by compile-recovery.ts. */
export const recoverySchema = z.union(
  [
    oneOf(["off"]),
    map({
      ladder: z
        .array(oneOf(RUNGS), { error: `must be a list of some of ${RUNGS.join(", ")}` })
        .min(1, { error: 'must name at least one rung; "recovery: off" says that nothing is tried' })
        .optional()
        .describe("What is tried where no slot boots, in this order: all of it, gentlest first."),
      sources: z
        .array(url, { error: "must be a list of URLs" })
        .max(MOST_SOURCES, { error: `must name at most ${MOST_SOURCES} URLs` })
        .optional()
        .describe("Channels and images at https: and http: URLs, best first."),
      factory: device
        .optional()
        .describe("Partition with an image, or a filesystem with a channel or an image: PARTLABEL=factory"),
      media: trueOrFalse.optional().describe("Whether removable media are looked at: true where trust has keys, else false."),
      network: z
        .union(
          [
            oneOf(["dhcp", "off"]),
            z
              .array(
                map({
                  link: text("a link's name or its hardware's address")
                    .optional()
                    .describe("The kernel's name or the hardware's address, every link if absent: eth0"),
                  addresses: addresses("addresses", 1).describe("With the length of the prefix: 192.0.2.10/24"),
                  gateways: addresses("gateways", 0)
                    .optional()
                    .describe("Routers, one for IPv4 and one for IPv6 at most: 192.0.2.1"),
                  nameservers: addresses("nameservers", 0).optional().describe("Servers that know names: 192.0.2.53"),
                }),
                { error: "must be a list of links" },
              )
              .min(1, { error: 'must name at least one link; "network: off" says that there is none' })
              .max(MOST_LINKS, { error: `must name at most ${MOST_LINKS} links` }),
          ],
          { error: 'must be "dhcp", "off", or a list of links with their addresses' },
        )
        .optional()
        .describe("How the network is reached: dhcp where there is a source or a report, else off."),
      authorities: text("the name of a PEM file")
        .optional()
        .describe("PEM file, beside this one, of the only authorities that vouch for https: servers."),
      proxy: text('"http://HOST:PORT"')
        .optional()
        .describe("The proxy that every source is asked through: http://proxy.example:3128"),
      report: url.optional().describe("Where each recovery is reported to: https://fleet.example/recoveries"),
      request: z
        .union(
          [
            text("the path of a file"),
            map({
              device: device.describe("The filesystem that the file is on: LABEL=boot"),
              path: text("the path of a file").describe("The file, relative to the filesystem's root: recover"),
            }),
          ],
          { error: "must be the path of a file on the data filesystem, or { device: …, path: … }" },
        )
        .optional()
        .describe("A file that asks for a recovery by being there; it is removed then."),
      patience: duration.optional().describe("What makes no progress for so long is given up for what comes next: 10min."),
      "longest-pause": duration.optional().describe("Longest pause between two attempts: 10min."),
    }),
  ],
  { error: 'must be "off", or a map that says what is tried and from where' },
);

export type RecoveryDefinition = z.infer<typeof recoverySchema>;
