import { answerDm, DM_CONTROL, type DmTarget, decodeDmRequest } from "../../../boot/image/device-mapper.ts";
import { BLOCK, blockDigestOf, DIGEST, DIGESTS_PER_BLOCK, treeLevels } from "../../../boot/image/verity.ts";
import { readVerityParameters } from "../../../boot/image/verity-table.ts";
import { IOCTL } from "../constants.ts";
import type { Storage } from "./memory-bytes.ts";
import { BlockDevice } from "./memory-devices.ts";
import { Errno } from "./memory-nodes.ts";
import { numberText } from "./memory-status.ts";
import { Ended } from "./script.ts";

/** Device number of /dev/mapper/control. */
export const DM_NUMBER = numberText(DM_CONTROL.number);

/** Major number that the kernel gives to devices of device-mapper, where no other driver was there before. */
const MAJOR = 253;

type Table = NonNullable<ReturnType<typeof readVerityParameters>>;

interface Mapped {
  minor: number;
  /** Waits for its resume. */
  loaded: Table | null;
  storage: VerityStorage | null;
  block: BlockDevice | null;
}

/** The machine, as far as device-mapper needs it. */
interface Host {
  readonly files: { readonly devices: ReadonlyMap<string, BlockDevice> };
  addDevice(device: BlockDevice): void;
  removeDevice(device: BlockDevice): void;
}

/** Device-mapper as far as dm-verity needs it, with tables that do check what is read. */
export class DeviceMapper {
  readonly #machine: Host;
  readonly #version: [number, number, number];
  readonly #mapped = new Map<string, Mapped>();

  constructor(machine: Host, version: [number, number, number]) {
    this.#machine = machine;
    this.#version = version;
  }

  /** Names of the devices there are. */
  get names(): string[] {
    return [...this.#mapped.keys()];
  }

  /** Does what a request says, and answers it in its buffer. Throws Errno. */
  answer(request: number, bytes: Uint8Array): void {
    const { name, target } = decodeDmRequest(bytes);
    if (request === IOCTL.DM_GET_TARGET_VERSION) {
      answerDm(bytes, { version: this.#version });
      return;
    }
    if (request === IOCTL.DM_DEV_CREATE) this.#create(name);
    const mapped = this.#mapped.get(name);
    if (mapped === undefined) throw new Errno("ENXIO");
    if (request === IOCTL.DM_TABLE_LOAD) mapped.loaded = this.#table(target);
    if (request === IOCTL.DM_DEV_SUSPEND) this.#resume(mapped);
    if (request === IOCTL.DM_DEV_REMOVE) this.#remove(name, mapped);
    const { storage } = mapped;
    const status = { length: (storage?.size ?? 0) / 512, type: "verity", parameters: storage?.corrupted ? "C" : "V" };
    const device = { major: MAJOR, minor: mapped.minor };
    answerDm(bytes, request === IOCTL.DM_TABLE_STATUS ? { device, target: status } : { device });
  }

  #create(name: string): void {
    if (this.#mapped.has(name)) throw new Errno("EBUSY");
    const taken = new Set([...this.#mapped.values()].map(({ minor }) => minor));
    let minor = 0;
    while (taken.has(minor)) minor++;
    this.#mapped.set(name, { minor, loaded: null, storage: null, block: null });
  }

  #table(target: DmTarget | null): Table {
    const table = target?.type === "verity" ? readVerityParameters(target.parameters) : null;
    const [, minor] = this.#version;
    if (table === null || (table.options.includes("restart_on_error") && minor < 11)) throw new Errno("EINVAL");
    return table;
  }

  #resume(mapped: Mapped): void {
    const { loaded, minor } = mapped;
    if (loaded === null) return;
    mapped.loaded = null;
    const under = this.#machine.files.devices.get(loaded.device);
    if (under === undefined) throw new Errno("ENXIO");
    mapped.storage ??= new VerityStorage(under.storage, loaded);
    mapped.storage.take(loaded);
    if (mapped.block !== null) return;
    const over = { block: under, storage: mapped.storage };
    mapped.block = new BlockDevice({
      path: `/dev/dm-${minor}`,
      number: { major: MAJOR, minor },
      size: mapped.storage.size,
      over,
    });
    this.#machine.addDevice(mapped.block);
    mapped.block.readOnly = true;
  }

  #remove(name: string, { block }: Mapped): void {
    if (block !== null) this.#machine.removeDevice(block);
    this.#mapped.delete(name);
  }
}

/** What a dm-verity device shows of the storage under it, block by block. */
class VerityStorage implements Storage {
  readonly #under: Storage;
  #table: Table;
  corrupted = false;

  constructor(under: Storage, table: Table) {
    this.#under = under;
    this.#table = table;
  }

  /** Another table takes effect. */
  take(table: Table): void {
    this.#table = table;
    this.corrupted = false;
  }

  get size(): number {
    return this.#table.dataBlocks * BLOCK;
  }

  read(offset: number, length: number): Uint8Array<ArrayBuffer> {
    const end = Math.min(offset + length, this.size);
    for (let block = Math.floor(offset / BLOCK); block * BLOCK < end; block++) this.#check(block);
    return this.#under.read(offset, Math.max(0, end - offset));
  }

  write(): void {
    throw new Errno("EROFS");
  }

  #check(block: number): void {
    const { rootHash, salt, treeStart, dataBlocks } = this.#table;
    const digest = blockDigestOf(Uint8Array.fromHex(salt));
    let expected = Uint8Array.fromHex(rootHash);
    const isRight = (at: number): boolean => Buffer.compare(digest(this.#under.read(at * BLOCK, BLOCK)), expected) === 0;
    for (const [level, { start }] of [...treeLevels(dataBlocks).entries()].reverse()) {
      const hashed = Math.floor(block / DIGESTS_PER_BLOCK ** level);
      const at = treeStart + start + Math.floor(hashed / DIGESTS_PER_BLOCK);
      if (!isRight(at)) this.#refuse();
      expected = this.#under.read(at * BLOCK + (hashed % DIGESTS_PER_BLOCK) * DIGEST, DIGEST);
    }
    if (!isRight(block)) this.#refuse();
  }

  #refuse(): never {
    this.corrupted = true;
    if (this.#table.options.includes("restart_on_corruption")) throw new Ended({ kind: "reboot", how: "restart" });
    throw new Errno("EIO");
  }
}
