/** Numbers of rtnetlink(7). Sources: include/uapi/linux/netlink.h, rtnetlink.h, if_link.h, if_addr.h. */

export const TYPE = {
  ...{ ERROR: 2, DONE: 3 },
  ...{ NEWLINK: 16, DELLINK: 17, GETLINK: 18 },
  ...{ NEWADDR: 20, DELADDR: 21, GETADDR: 22 },
  ...{ NEWROUTE: 24, DELROUTE: 25, GETROUTE: 26 },
  NEWNDUSEROPT: 68,
} as const;

export const FLAG = {
  REQUEST: 1,
  ACK: 4,
  INTERRUPTED: 0x10,
  DUMP: 0x300,
  REPLACE: 0x100,
  EXCLUSIVE: 0x200,
  CREATE: 0x400,
} as const;

export const IFLA = { ADDRESS: 1, IFNAME: 3, MTU: 4, MASTER: 10, CARRIER: 33 } as const;
export const IFA = { ADDRESS: 1, LOCAL: 2, BROADCAST: 4, CACHEINFO: 6, FLAGS: 8 } as const;
export const RTA = { DST: 1, OIF: 4, GATEWAY: 5, PRIORITY: 6, PREFSRC: 7, TABLE: 15 } as const;

export const IFF = { UP: 1, LOWER_UP: 0x10000 } as const;
/** Of the table that ordinary routes are in, and of RTN_UNICAST. */
export const MAIN_TABLE = 254;
export const UNICAST = 1;
export const RTNH_F_ONLINK = 4;
export const SCOPE = { UNIVERSE: 0, LINK: 253, NOWHERE: 255 } as const;

export const FAMILY = { any: 0, ipv4: 2, ipv6: 10 } as const;
