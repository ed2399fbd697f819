/*
 * The hot file: pages of the executable that a boot touches, together and packed for speed. Its builder is
 * init/builder/initrd/hot-file.ts. Numbers are little-endian.
 */
#pragma once

#define HOT_MAGIC "SLIPHOT1"

/* Padding of e_ident, zero in every other program (elf(5)); here the executable has the beginning of its hot file's digest. */
#define MARK 9
#define MARK_LENGTH 7

/* A run of pages: behind the pages of the range before it among the unpacked ones, and at `address` in the program. */
struct hot_range {
  unsigned long address, length; /* bytes, whole pages */
  unsigned long protection;      /* PROT_READ and so on */
};

/* The file begins with this; the ranges follow, those of one protection one after the other, then one block of LZ4. */
struct hot_header {
  char magic[8];
  unsigned char digest[32];                     /* SHA-256 of all that follows it in the file */
  unsigned long page, count, packed, unpacked; /* bytes of a page; number of ranges; bytes of the block, and in it */
};
