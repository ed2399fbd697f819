/** What resolv.conf(5) says. */

/** glibc asks no more than these: MAXNS. */
const MOST_SERVERS = 3;
const MOST_DOMAINS = 6;

/**
 * The file for these name servers, best first: addresses as text, those of links with their zone ("fe80::1%eth0").
 * A server that does not answer is left for the next one after two seconds, instead of glibc's five.
 */
export function resolvConf(nameservers: readonly string[], search: readonly string[]): string {
  const servers = [...new Set(nameservers)].slice(0, MOST_SERVERS).map((server) => `nameserver ${server}\n`);
  const domains = [...new Set(search)].slice(0, MOST_DOMAINS);
  return [...servers, ...(domains.length > 0 ? [`search ${domains.join(" ")}\n`] : []), "options timeout:2 attempts:2\n"].join(
    "",
  );
}
