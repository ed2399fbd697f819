/** A new content of /etc/machine-id (machine-id(5)): a random UUID of version 4 as 32 lower-case hex digits and a newline. */
export function newMachineId(): string {
  return `${crypto.randomUUID().replaceAll("-", "")}\n`;
}

/** Whether `text` is a machine id that systemd takes: 32 hex digits, not all zero, and a newline or nothing after them. */
export function validMachineId(text: string): boolean {
  return /^[0-9a-f]{32}\n?$/.test(text) && !/^0{32}/.test(text);
}
