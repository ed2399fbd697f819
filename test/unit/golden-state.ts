/** Machines of the golden boots whose systems wrote state, and what their data filesystem holds while they are off. */
import { O } from "../../init/kernel/constants.ts";
import type { RecordingKernel } from "../../init/kernel/recording/recording.ts";
import type { ControlFile } from "../../state-ops/control.ts";
import { formatRequests, NO_REQUESTS, REQUESTS, type StateRequests } from "../../state-ops/requests.ts";
import { image } from "./golden-machine.ts";
import { type Boot, World } from "./golden-world.ts";

const [v1, v2] = [image(1), image(2)];
/** Where {@link withData} mounts the data filesystem. */
export const DATA_AT = "/sysroot";

/** Runs `use` with the data filesystem of a machine that is off mounted at /sysroot. */
export function withData<Result>(world: World, use: (kernel: RecordingKernel) => Result): Result {
  const kernel = world.kernel();
  kernel.mount("/dev/vda4", DATA_AT, "ext4", 0, "");
  const result = use(kernel);
  const root = kernel.open(DATA_AT, O.RDONLY);
  kernel.syncFilesystem(root);
  kernel.close(root);
  return result;
}

export function put(world: World, path: string, text: string): void {
  withData(world, (kernel) => {
    const file = kernel.open(`${DATA_AT}/${path}`, O.WRONLY | O.CREAT | O.TRUNC, { mode: 0o600 });
    kernel.write(file, new TextEncoder().encode(text), 0n);
    kernel.close(file);
  });
}

export function ask(world: World, requests: Partial<StateRequests> | string): void {
  withData(world, (kernel) => kernel.makeDirectory(`${DATA_AT}/${REQUESTS.directory}`, 0o700));
  const text = typeof requests === "string" ? requests : formatRequests({ ...NO_REQUESTS, ...requests });
  put(world, `${REQUESTS.directory}/${REQUESTS.file}`, text);
}

export const names = (world: World, directory: string): string[] =>
  withData(world, (kernel) => {
    const fd = kernel.open(`${DATA_AT}/${directory}`, O.RDONLY | O.DIRECTORY);
    return kernel.readDirectory(fd).map(({ name }) => Buffer.from(name).toString());
  });
export const text = (world: World, path: string): string | null => withData(world, (kernel) => kernel.peek(`${DATA_AT}/${path}`));
export const notesOf = (boot: Boot): string =>
  JSON.parse(boot.kernel.peek("/run/slipway/boot.json") ?? "{}").stateNotes.join(" | ");
export const warningsOf = (boot: Boot): string =>
  JSON.parse(boot.kernel.peek("/run/slipway/boot.json") ?? "{}").warnings.join(" | ");

/** Slot a is committed, and its system wrote to a persistent store and to the overlay of /etc. */
export async function used(control: Partial<ControlFile> = {}): Promise<World> {
  const world = new World({ a: v1, control });
  await world.boot();
  world.commitAndShutDown("a", v1.id);
  put(world, "gens/000001/tree/var-lib-app/own", "written in a\n");
  put(world, "gens/000001/ovl/etc/upper/hostname", "gateway\n");
  return world;
}

/** As {@link used}; then slot b was updated to, committed, and its system wrote as well. */
export async function updated(control: Partial<ControlFile> = {}): Promise<World> {
  const world = await used(control);
  world.installInB(v2);
  await world.boot();
  world.commitAndShutDown("b", v2.id);
  put(world, "gens/000002/tree/var-lib-app/own", "written in b\n");
  return world;
}
