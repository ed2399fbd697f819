import { type Lock, lock, lockOneOf } from "./lock.ts";
import { cache } from "./places.ts";

/** At most this many machines run at a time, over all processes that use this checkout. */
export const machinesAtATime = 2;

/**
 * Waits until `count` more machines may run, and takes their places; each is given back with `release`. Places are taken
 * together: two tests that each need two machines cannot wait for each other with one place each.
 */
export async function takePlaces(count: number): Promise<Lock[]> {
  if (count > machinesAtATime) throw new Error(`${count} machines at once, but only ${machinesAtATime} may run at a time`);
  const gate = await lock(`${cache}/pool/gate`);
  try {
    const places: Lock[] = [];
    const free = new Set(Array.from({ length: machinesAtATime }, (_, index) => `${cache}/pool/place-${index}`));
    while (places.length < count) {
      const { path, lock } = await lockOneOf([...free]);
      free.delete(path);
      places.push(lock);
    }
    return places;
  } finally {
    gate.release();
  }
}
