/** What `npm run bench -- --scale` measures. */
export const scaleParts = ["operators", "disks", "install", "clone"] as const;
export type ScalePart = (typeof scaleParts)[number];
