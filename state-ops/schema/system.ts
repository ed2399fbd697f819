import { z } from "zod";
import { MOST_KEYS } from "../control.ts";
import { MOST_PARTITIONS } from "../partition-rules.ts";
import { PARTITION_TYPES } from "../partition-types.ts";
import { bootRecordSchema } from "./boot-record.ts";
import { bootloaderSchema } from "./bootloader.ts";
import { recoverySchema } from "./recovery.ts";
import { count, device, duration, map, numberOr, oneOf, size, text, trueOrFalse, wholeNumber } from "./words.ts";

const sizeOrRest = numberOr(
  /^(rest|[1-9][0-9]*(K|M|G)?(iB)?)$/,
  4096,
  Number.MAX_SAFE_INTEGER,
  'must be a size such as "600M", or "rest"',
);

/** system.yaml: what the integrator says of the machine. The editor's JSON Schema and the messages come from here. */
export const systemSchema = map({
  system: text("the product's name")
    .regex(/^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$/, { error: "must be a product name: up to 64 letters, digits, . _ + -" })
    .describe("Name of the product. Images for another system are refused."),
  slots: z
    .record(
      z.string().regex(/^[A-Za-z][A-Za-z0-9_-]{0,31}$/),
      map({
        device: device.optional().describe("The partition that the slot is: PARTLABEL=root-a"),
        file: text("a file below images/")
          .optional()
          .describe("The file that the slot is, at the root of the data filesystem: images/c.img"),
        size: size.optional().describe("What the file is allocated with: 600M"),
        verity: device
          .optional()
          .describe(
            "The partition with the slot's hash tree, of the Discoverable Partitions Specification: PARTLABEL=root-a-verity",
          ),
        signature: device.optional().describe("The partition with the signature of its root hash: PARTLABEL=root-a-verity-sig"),
        bootname: text("a name")
          .optional()
          .describe("What the bootloader calls the slot, RAUC's word: A, for BOOT_A_LEFT. The slot's name if absent."),
      }).meta({ oneOf: [{ required: ["device"] }, { required: ["file", "size"] }] }),
      {
        error:
          "must be a map from slot names to { device: … } or { file: …, size: … }; a name has up to 32 letters, digits, - and _, a letter first",
      },
    )
    .describe("The places that hold a system image, in the order they are tried in without a boot record."),
  data: map({
    device: device.describe("Partition that holds all state."),
    filesystem: oneOf(["ext4", "xfs", "btrfs"]).describe("The type that it is formatted with."),
    "when-replaced": oneOf(["refuse", "adopt"])
      .optional()
      .describe(
        "A data filesystem that is not the one the boot record knows is not used (refuse), or used and reported (adopt).",
      ),
    grow: trueOrFalse.optional().describe("Make it as large as its disk allows, at each boot: false."),
    create: trueOrFalse
      .optional()
      .describe("Make it where there is none yet and the boot record knows of none: true with install: blank, else false."),
  })
    .optional()
    .describe("The data filesystem. Without one only ephemeral state can be declared."),
  "boot-record": bootRecordSchema.describe("Where slots' priorities and tries are kept."),
  disk: device.optional().describe("The disk on which labels are resolved; the one that holds a valid boot record if absent."),
  chooser: oneOf(["slipway", "loader"])
    .optional()
    .describe("Who picks the slot and counts tries: slipway, or a bootloader that names the slot on the command line."),
  kernel: oneOf(["loader", "slot"])
    .optional()
    .describe(
      "slot: a slot runs on the kernel in its image, which is started by kexec where another one runs. loader: on that one.",
    ),
  delegate: trueOrFalse
    .optional()
    .describe("Whether the initrd in a slot's image may have other keys and another policy than the one that started: false."),
  tries: map({
    trial: count.optional().describe("Boots of an image that was not committed yet: 3."),
    committed: count.optional().describe("Boots of a committed image without a good one: 10."),
  })
    .optional()
    .describe("Boots that a slot gets before it is left: on trial (3) and once committed (10)."),
  "trial-deadline": duration.optional().describe("A trial that was not committed by then is rebooted: 10min."),
  "device-timeout": duration.optional().describe("How long to wait for a device: 30s."),
  watchdog: map({
    timeout: duration.describe("The hardware restarts the machine when it was not fed for so long."),
    after: oneOf(["systemd", "keep", "stop"]).optional().describe("What becomes of it at the handover: systemd feeds it on."),
  })
    .optional()
    .describe("The hardware watchdog. None is used if absent."),
  "command-line": oneOf(["open", "locked"])
    .optional()
    .describe("locked: init= and debugging words are refused. The default where trust has keys."),
  trust: z
    .union(
      [
        oneOf(["unsigned"]),
        map({
          keys: z
            .array(text("the name of a public key's PEM file"), { error: "must be a list of public keys' PEM files" })
            .min(1, { error: "must name at least one key" })
            .max(MOST_KEYS, { error: `must name at most ${MOST_KEYS} keys` })
            .optional()
            .describe("Ed25519 public keys: release.pub.pem, beside this file or below its directory."),
          certificates: z
            .array(text("the name of a certificate's PEM file"), { error: "must be a list of certificates' PEM files" })
            .min(1, { error: "must name at least one certificate" })
            .max(MOST_KEYS, { error: `must name at most ${MOST_KEYS} certificates` })
            .optional()
            .describe(
              "X.509 certificates (RSA, or ECDSA on P-256, P-384, P-521) that sign root hashes of slots with verity:. One signature is enough. Nothing tells an older image from a newer one: each that was ever signed boots.",
            ),
          threshold: wholeNumber(1, MOST_KEYS).optional().describe("How many of the keys must have signed an image: 1."),
          "rollback-floor": wholeNumber(0, Number.MAX_SAFE_INTEGER)
            .optional()
            .describe("No image with a lower rollback index boots or is installed: 0."),
          "kernel-signature": oneOf(["ignored", "required"])
            .optional()
            .describe("Whether the kernel has to check a signature of the root hash as well: ignored."),
        }),
      ],
      { error: 'must be "unsigned", or a map with the keys that images are signed with' },
    )
    .optional()
    .describe("Which images are believed. unsigned: any. Absent means the same, with a warning."),
  bootloader: bootloaderSchema
    .optional()
    .describe("Where the bootloader lies twice, so that slipway upgrades it and the firmware falls back. UEFI only."),
  recovery: recoverySchema.optional().describe("What a machine does whose slots do not boot. off: it waits and tries again."),
  install: oneOf(["blank"]).optional().describe("blank: a disk that holds nothing is partitioned as layout says, and installed."),
  layout: z
    .array(
      map({
        label: text("a partition's label").describe("PARTLABEL of the partition: root-a"),
        size: sizeOrRest.describe("A multiple of 1M, or rest for the last one: 600M"),
        type: text(`${Object.keys(PARTITION_TYPES).join(", ")}, or a GUID`)
          .optional()
          .describe("What the partition table says it is, by name or as a GUID: linux"),
      }),
      { error: "must be a list of { label: …, size: … }" },
    )
    .min(1, { error: "must name at least one partition" })
    .max(MOST_PARTITIONS, { error: `must name at most ${MOST_PARTITIONS} partitions` })
    .optional()
    .describe("The partitions that a blank disk gets, in their order."),
});

export type SystemDefinition = z.infer<typeof systemSchema>;
