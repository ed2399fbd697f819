/** What initrds of shell scripts do for the state that a control file declares. */
import type { ControlFile } from "../../state-ops/control.ts";
import { LAYOUT } from "../../state-ops/layout.ts";
import { planState, type StateStep } from "../../state-ops/state-plan.ts";

export const overlayOptions = "index=off,metacopy=off,redirect_dir=off,xino=off";

/** Where a script has the root that is to be, the data filesystem, and a place to fill a tmpfs at. */
export interface Places {
  root: string;
  data: string;
  seed: string;
}

export const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;

/** The steps of a boot of `slot`, whose generation is there. */
export function stateSteps(control: ControlFile, slot: string): StateStep[] {
  return planState(control.operators, { generation: `${LAYOUT.slots}/${slot}` });
}

/** The labels of the two partitions that a boot of `slot` needs, and the type of the data filesystem. */
export function partitionsOf(control: ControlFile, slot: string): { root: string; data: string; dataType: string } {
  const definition = control.slots.find(({ name }) => name === slot);
  const device = definition !== undefined && "device" in definition ? definition.device : "";
  if (control.data === null) throw new Error("the control file has no data filesystem, which the bench's has");
  return { root: partLabel(device), data: partLabel(control.data.device), dataType: control.data.filesystem };
}

function partLabel(reference: string): string {
  if (!reference.startsWith("PARTLABEL="))
    throw new Error(`the bench's peers find PARTLABEL= only, the control file says ${reference}`);
  return reference.slice("PARTLABEL=".length);
}

/** Shell lines that mount what `step` says. */
export function linesOf(step: StateStep, { root, data, seed }: Places): string[] {
  const target = quoted(`${root}/${step.path}`);
  const flags = step.flags.join(",");
  switch (step.do) {
    case "tmpfs": {
      if (step.onRun) return [`mkdir -p ${quoted(`/${step.path}`)}`];
      if (step.kind === "file") throw new Error(`/${step.path}: a file in memory is nothing that the bench's peers do`);
      const size = step.size === null ? "" : `,size=${step.size}`;
      const mode = (step.mode ?? 0o755).toString(8);
      const mount = (place: string) => `mount -t tmpfs -o ${flags},mode=${mode}${size} tmpfs ${place}`;
      if (step.seed !== "image") return [mount(target)];
      return [mount(seed), `cp -a ${target}/. ${seed}/`, `mount -o move ${seed} ${target}`];
    }
    case "bind":
      return [
        `mount -o bind ${quoted(`${data}/${step.store}`)} ${target}`,
        `mount -o remount,bind,relatime,${flags} ${quoted(`${data}/${step.store}`)} ${target}`,
      ];
    case "overlay": {
      const [upper, work] = [quoted(`${data}/${step.upper}`), quoted(`${data}/${step.work}`)];
      const layers = `lowerdir=${target},upperdir=${upper},workdir=${work}`;
      return [`mount -t overlay -o ${flags},${layers},${overlayOptions} overlay ${target}`];
    }
    default:
      throw new Error(`/${step.path}: "${step.do}" is nothing that the bench's peers do`);
  }
}

/**
 * A script that lays the state of `slot` over the root that is mounted at `root` already: what people put into an initrd of
 * initramfs-tools or dracut, where udev has made the links by label.
 */
export function stateScript(control: ControlFile, slot: string, root: string): string {
  const { data, dataType } = partitionsOf(control, slot);
  const device = `/dev/disk/by-partlabel/${data}`;
  const places = { root, data: "/bench-data", seed: "/bench-seed" };
  return `[ -e ${device} ] || udevadm settle --exit-if-exists=${device}
mkdir -p ${places.data} ${places.seed}
mount -t ${dataType} -o nosuid,nodev,noatime ${device} ${places.data}
${stateSteps(control, slot)
  .flatMap((step) => linesOf(step, places))
  .join("\n")}
umount -l ${places.data}
`;
}
