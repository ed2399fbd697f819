import { canonicalJson, isCanonicalText, sha256 } from "./canonical-json.ts";
import {
  type ControlBootloader,
  type ControlBootRecord,
  type ControlFile,
  type ControlTrust,
  MOST_KEYS,
  MOST_SLOTS,
  type Operator,
  type SlotDefinition,
  type TrustedCertificate,
} from "./control.ts";
import { deviceFault } from "./device-reference.ts";
import { Fields } from "./fields.ts";
import { components } from "./image-tree.ts";
import { GREATEST_ID, slotNameFault } from "./operator-rules.ts";
import { togetherFaults } from "./operators-together.ts";
import { BadInput } from "./outcome.ts";
import { missingPartition, neededPartitions } from "./partition-rules.ts";
import { readOperator } from "./read-operator.ts";
import { readInstall, readRecovery } from "./read-recovery.ts";
import { slotFileFault, slotSizeFault } from "./slot-file.ts";

/** Longest wait that a control file may ask for, in seconds. */
const day = 86_400;

const controlKeys = [
  "schema",
  "system",
  "slots",
  "disk",
  "data",
  "bootRecord",
  "chooser",
  "tries",
  "trialDeadline",
  "deviceTimeout",
  "watchdog",
  "commandLine",
  "trust",
  "recovery",
  "install",
  "accounts",
  "operators",
  "digest",
];

/** Reads what only some machines have. */
export interface BootRecordReader {
  /** The value of `bootRecord`. */
  read(value: unknown): ControlBootRecord;
  /** The value of `bootloader`. */
  bootloader(value: unknown): ControlBootloader;
  check(control: ControlFile): void;
}

/** Whether the boot record is nothing but slipway's own partition, so that no {@link BootRecordReader} is needed. */
export function isPlainRecord(text: string): boolean {
  return (
    /"bootRecord":\{"device":"[^"]*","store":"record"\}/.test(text) &&
    !text.includes('"bootname":') &&
    !text.includes('"bootloader":')
  );
}

/** As readControl of read-control.ts, with its part that an ordinary boot does without. */
export function readControlWith(text: string, reader: BootRecordReader | null): ControlFile {
  try {
    return read(text, reader);
  } catch (error) {
    throw error instanceof BadInput ? new BadInput(`control file: ${error.message}`) : error;
  }
}

function read(text: string, reader: BootRecordReader | null): ControlFile {
  const value = parse(text);
  if (typeof value === "object" && value !== null && "schema" in value && value.schema !== 1) {
    throw new BadInput(`schema must be 1, is ${JSON.stringify(value.schema)}; this initrd is older than the file, renew it`);
  }
  const fields = new Fields(value, "", controlKeys, ["kernel", "delegate", ...(reader === null ? [] : ["bootloader"])]);
  const control: ControlFile = {
    schema: fields.oneOf("schema", [1]),
    system: fields.text("system"),
    slots: slots(fields),
    disk: fields.nullable("disk", () => device(fields, "disk")),
    data: fields.nullable("data", () => data(fields.object("data", ["device", "filesystem", "whenReplaced", "grow", "create"]))),
    bootRecord: (reader?.read ?? bootRecord)(fields.value("bootRecord")),
    chooser: fields.oneOf("chooser", ["slipway", "loader"]),
    tries: tries(fields.object("tries", ["trial", "committed"])),
    trialDeadline: fields.integer("trialDeadline", 1, day),
    deviceTimeout: fields.integer("deviceTimeout", 1, day),
    watchdog: fields.nullable("watchdog", () => watchdog(fields.object("watchdog", ["timeout", "after"]))),
    ...(fields.has("kernel") ? { kernel: fields.oneOf("kernel", ["slot"]) } : {}),
    ...(fields.has("delegate") ? { delegate: fields.oneOf("delegate", [true]) } : {}),
    commandLine: fields.oneOf("commandLine", ["open", "locked"]),
    trust: trust(fields.value("trust")),
    recovery: readRecovery(fields.value("recovery")),
    install: fields.nullable("install", () => readInstall(fields.value("install"))),
    ...(reader && fields.has("bootloader") ? { bootloader: reader.bootloader(fields.value("bootloader")) } : {}),
    accounts: accounts(fields.object("accounts", ["users", "groups"])),
    operators: fields.list("operators").map((entry, index) => readOperator(entry, `operators[${index}]`)),
    digest: fields.text("digest"),
  };
  checkDigest(control, value, text);
  checkTogether(control.operators);
  reader?.check(control);
  checkInstall(control);
  return control;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new BadInput(`not JSON (${error instanceof Error ? error.message : error}); write it with slipway state compile`);
  }
}

function device(fields: Fields, key: string): string {
  return fields.sound(key, fields.text(key), deviceFault);
}

function slots(fields: Fields): SlotDefinition[] {
  const list = fields.list("slots").map((entry, index) => slot(entry, `slots[${index}]`));
  if (list.length === 0 || list.length > MOST_SLOTS) {
    fields.fail("slots", `a list of 1 to ${MOST_SLOTS} slots`);
  }
  const twice = list.find((slot, index) => list.findIndex((other) => other.name === slot.name) !== index);
  if (twice !== undefined) {
    throw new BadInput(`slots: two are named "${twice.name}"`);
  }
  const files = list.flatMap((entry) => ("file" in entry ? [entry.file] : []));
  const shared = files.find((file, index) => files.indexOf(file) !== index);
  if (shared !== undefined) {
    throw new BadInput(`slots: two are the file "${shared}"`);
  }
  if (files.length > 0 && fields.value("data") === null) {
    throw new BadInput(`slots: "${files[0]}" lies on the data filesystem, and "data" is null`);
  }
  return list;
}

function slot(value: unknown, where: string): SlotDefinition {
  const either = new Fields(value, where, ["name"], ["device", "file", "size", "bootname", "verity", "signature"]);
  const bootname = either.has("bootname") ? { bootname: either.text("bootname") } : {};
  if (!either.has("file")) {
    const fields = new Fields(value, where, ["name", "device"], ["bootname", "verity", "signature"]);
    const optional = (key: "verity" | "signature") => (fields.has(key) ? { [key]: device(fields, key) } : {});
    const own = { name: fields.sound("name", fields.text("name"), slotNameFault), device: device(fields, "device") };
    return { ...own, ...bootname, ...optional("verity"), ...optional("signature") };
  }
  const fields = new Fields(value, where, ["name", "file", "size"], ["bootname"]);
  return {
    ...bootname,
    name: fields.sound("name", fields.text("name"), slotNameFault),
    file: fields.sound("file", fields.text("file"), slotFileFault),
    size: fields.sound("size", fields.integer("size", 1, Number.MAX_SAFE_INTEGER), slotSizeFault),
  };
}

function data(fields: Fields): NonNullable<ControlFile["data"]> {
  return {
    device: device(fields, "device"),
    filesystem: fields.oneOf("filesystem", ["ext4", "xfs", "btrfs"]),
    whenReplaced: fields.oneOf("whenReplaced", ["refuse", "adopt"]),
    grow: fields.oneOf("grow", [true, false]),
    create: fields.oneOf("create", [true, false]),
  };
}

function accounts(fields: Fields): ControlFile["accounts"] {
  return { users: numbers(fields, "users"), groups: numbers(fields, "groups") };
}

/** Names and their numbers. */
function numbers(fields: Fields, key: string): Record<string, number> {
  const value = fields.value(key);
  if (typeof value !== "object" || value === null || Array.isArray(value)) return fields.fail(key, "an object");
  return Object.fromEntries(
    Object.entries(value).map(([name, number]): [string, number] => {
      const whole = typeof number === "number" && Number.isInteger(number) && number >= 0 && number <= GREATEST_ID;
      return [name, whole ? number : fields.fail(key, "an object of names and whole numbers")];
    }),
  );
}

function bootRecord(value: unknown): ControlBootRecord {
  const fields = new Fields(value, "bootRecord", ["store", "device"]);
  return { store: fields.oneOf("store", ["record"]), device: device(fields, "device") };
}

const trustKeys = ["keys", "threshold", "rollbackFloor", "kernelSignature"];

function trust(value: unknown): ControlTrust {
  const word = new Fields(value, "trust", ["mode"], [...trustKeys, "certificates"]);
  const mode = word.oneOf("mode", ["signed", "unsigned"]);
  if (mode === "unsigned") {
    new Fields(value, "trust", ["mode"]);
    return { mode };
  }
  const fields = new Fields(value, "trust", ["mode", ...trustKeys], ["certificates"]);
  const certificates = fields.has("certificates") ? trustedCertificates(fields) : null;
  const list = fields.list("keys");
  const keys = list.map((key) =>
    typeof key === "string" && /^[0-9a-f]{64}$/.test(key) ? key : fields.fail("keys", "a list of 64 hex digits each"),
  );
  if ((keys.length < 1 && !certificates) || keys.length > MOST_KEYS || new Set(keys).size !== keys.length) {
    fields.fail("keys", `a list of 1 to ${MOST_KEYS} different keys`);
  }
  return {
    mode,
    keys,
    threshold: fields.integer("threshold", 1, Math.max(1, keys.length)),
    rollbackFloor: fields.integer("rollbackFloor", 0, Number.MAX_SAFE_INTEGER),
    kernelSignature: fields.oneOf("kernelSignature", ["ignored", "required"]),
    ...(certificates ? { certificates } : {}),
  };
}

function trustedCertificates(trust: Fields): TrustedCertificate[] {
  const list = trust.list("certificates").map((value, index) => {
    const fields = new Fields(value, `trust.certificates[${index}]`, ["fingerprint", "key"]);
    const matching = (key: "fingerprint" | "key", form: RegExp, wanted: string) =>
      form.test(fields.text(key)) ? fields.text(key) : fields.fail(key, wanted);
    return {
      fingerprint: matching("fingerprint", /^[0-9a-f]{64}$/, "64 hex digits"),
      key: matching("key", /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/, "base64"),
    };
  });
  const different = new Set(list.map(({ fingerprint }) => fingerprint)).size;
  if (list.length >= 1 && list.length <= MOST_KEYS && different === list.length) return list;
  return trust.fail("certificates", `a list of 1 to ${MOST_KEYS} different certificates`);
}

function tries(fields: Fields): ControlFile["tries"] {
  return { trial: fields.integer("trial", 1, 100), committed: fields.integer("committed", 1, 100) };
}

function watchdog(fields: Fields): NonNullable<ControlFile["watchdog"]> {
  return { timeout: fields.integer("timeout", 1, day), after: fields.oneOf("after", ["systemd", "keep", "stop"]) };
}

function checkDigest(control: ControlFile, value: unknown, text: string): void {
  if (!isCanonicalText(text, value, control) && canonicalJson(control) !== text) {
    throw new BadInput("not in canonical form (RFC 8785 and a newline); write it with slipway state compile");
  }
  // In a canonical text quotes inside strings are escaped, so this is the key itself; it is never the last one.
  const wanted = sha256(text.replace(`"digest":${JSON.stringify(control.digest)},`, ""));
  if (control.digest !== wanted) {
    throw new BadInput(`digest is ${control.digest}, the content has ${wanted}; it was changed or damaged, compile it again`);
  }
}

function checkTogether(operators: Operator[]): void {
  const later = new Set(operators.map((entry) => entry.path));
  for (const { path } of operators) {
    later.delete(path);
    const hidden = componentsAbove(path).find((above) => later.has(above));
    if (hidden !== undefined) {
      throw new BadInput(`operator ${path} comes before ${hidden}, which would hide it; parents come first`);
    }
  }
  const [fault] = togetherFaults(operators);
  if (fault !== undefined) {
    throw new BadInput(`${fault.text(`at ${fault.other?.origin ?? ""}`)} (${fault.operator.origin})`);
  }
}

function checkInstall({ install, ...control }: ControlFile): void {
  if (install === null) return;
  const fault = neededPartitions(control).flatMap((needed) => missingPartition(needed, install.partitions) ?? [])[0];
  if (fault !== undefined) throw new BadInput(`install.partitions: ${fault}`);
  if (control.data?.create === false)
    throw new BadInput("install: a blank disk has no data filesystem, and data.create is false");
}

function componentsAbove(path: string): string[] {
  return components(path).slice(0, -1);
}
