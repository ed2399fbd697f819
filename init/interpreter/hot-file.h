/*
 * The hot file: pages of the executable that a boot touches, put together where they are read at once. Its builder is
 * init/builder/initrd/hot-file.ts. Numbers are little-endian.
 */
#pragma once

#define HOT_MAGIC "SLIPHOT1"

/* Padding of e_ident, zero in every other program (elf(5)); here the executable has the beginning of its hot file's digest. */
#define MARK 9
#define MARK_LENGTH 7

/* A run of pages: they lie one after the other from `offset` of the hot file on, and belong at `address`. */
struct hot_range {
  unsigned long address, length, offset; /* bytes, whole pages */
  unsigned long protection;              /* PROT_READ and so on */
};

/* The file begins with this; the ranges follow, then padding up to `header` bytes, then the pages. */
struct hot_header {
  char magic[8];
  /* SHA-256 of all that follows it in the file. */
  unsigned char digest[32];
  unsigned long page, header, size, count; /* bytes of a page, of the header, of the file; number of ranges */
};
