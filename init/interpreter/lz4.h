/* Unpacks a block of LZ4, https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md; packed by init/builder/initrd/lz4.ts. */
#pragma once

typedef unsigned long __attribute__((may_alias, aligned(1))) eight_bytes;

static void copy_eight(unsigned char *to, const unsigned char *from) { *(eight_bytes *)to = *(const eight_bytes *)from; }

/* Copies `length` bytes, eight at a time, so that up to seven behind them are overwritten. Returns where they end. */
static unsigned char *copy_eights(unsigned char *to, const unsigned char *from, unsigned long length) {
  unsigned char *end = to + length;
  for (; to < end; to += 8, from += 8) copy_eight(to, from);
  return end;
}

/* Copies `length` bytes that were unpacked `distance` bytes before, which may reach into the copy itself. */
static unsigned char *copy_bytes(unsigned char *to, unsigned long distance, unsigned long length) {
  for (unsigned char *end = to + length; to < end; to++) *to = *(to - distance);
  return to;
}

/* The rest of a length whose first four bits are all set. Reads no byte at or behind `end`. */
static const unsigned char *read_length(const unsigned char *from, const unsigned char *end, unsigned long *length) {
  while (from < end) {
    *length += *from;
    if (*from++ != 255) break;
  }
  return from;
}

/* Returns how many bytes it unpacked, no more than `room`; 0 where the block is damaged. */
static unsigned long unpack_lz4(const unsigned char *from, unsigned long length, unsigned char *to, unsigned long room) {
  const unsigned char *end = from + length;
  unsigned char *start = to, *full = to + room;
  while (from < end) {
    unsigned long token = *from++, literals = token >> 4, match = token & 15, distance;
    if (literals < 15 && match < 15 && end - from >= 32 && full - to >= 48) { /* most are short: copied without counting */
      copy_eight(to, from);
      copy_eight(to + 8, from + 8);
      from += literals;
      to += literals;
      distance = from[0] | (unsigned long)from[1] << 8;
      from += 2;
      if (distance == 0 || distance > (unsigned long)(to - start)) return 0;
      if (distance < 8) {
        to = copy_bytes(to, distance, match + 4);
        continue;
      }
      for (unsigned long at = 0; at < 24; at += 8) copy_eight(to + at, to - distance + at);
      to += match + 4;
      continue;
    }
    if (literals == 15) from = read_length(from, end, &literals);
    if (literals > (unsigned long)(end - from) || literals > (unsigned long)(full - to)) return 0;
    if ((unsigned long)(end - from) >= literals + 8 && (unsigned long)(full - to) >= literals + 8) to = copy_eights(to, from, literals);
    else
      for (unsigned long at = 0; at < literals; at++) *to++ = from[at];
    from += literals;
    if (from == end) return (unsigned long)(to - start);
    if (end - from < 2) return 0;
    distance = from[0] | (unsigned long)from[1] << 8;
    from += 2;
    if (match == 15) from = read_length(from, end, &match);
    match += 4;
    if (distance == 0 || distance > (unsigned long)(to - start) || match > (unsigned long)(full - to)) return 0;
    to = distance >= 8 && (unsigned long)(full - to) >= match + 8 ? copy_eights(to, to - distance, match)
                                                                  : copy_bytes(to, distance, match);
  }
  return 0; /* the last sequence has no match */
}
