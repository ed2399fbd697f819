/** The two ways in which a command ends without having done its work. Both messages name the thing, what was seen, and the remedy. */

/** The caller gave something wrong: exit code 2. Nothing was changed. */
export class BadInput extends Error {
  override readonly name = "BadInput";
}

/** The machine's state forbids it: exit code 3. Nothing was changed. */
export class Refusal extends Error {
  override readonly name = "Refusal";
}
