/**
 * Sizes of `count` files that come to `total` bytes: seven of ten are small, a twentieth makes half of the bytes.
 * @param random numbers from 0 to 1
 */
export function fileSizes(count: number, total: number, random: () => number): number[] {
  const weights = Array.from({ length: count }, () => {
    const kind = random();
    return (0.5 + random()) * (kind < 0.7 ? 8 : kind < 0.95 ? 88 : 500);
  });
  const scale = total / weights.reduce((sum, weight) => sum + weight, 0);
  const sizes = weights.map((weight) => Math.floor(weight * scale));
  const missing = total - sizes.reduce((sum, size) => sum + size, 0);
  return sizes.map((size, index) => (index === 0 ? size + missing : size));
}
