/*
 * Stands in the runtime image where programs name their dynamic linker (PT_INTERP), so the kernel starts it in their
 * place, in their process. Where the program is the slipway whose hot pages lie apart, it puts those into the holes that
 * the executable has in their place; then it maps the real dynamic linker (the same name with ".real"), and enters it as
 * the kernel would have. No libc, no relocations: it is linked to a fixed address that no program uses.
 */
#include <linux/mman.h>
#include <linux/auxvec.h>
#include <linux/elf.h>

#include "../preinit/last-words.h"
#include "../preinit/lines.h"
#include "../preinit/system-calls.h"
#include "hot-file.h"
#include "lz4.h"

ENTRY(interpreter)

#define HOT_FILE "/runtime.hot"

static const char *program; /* as it was executed */

static void __attribute__((noreturn)) fail(const char *what, const char *subject, long result, const char *remedy) {
  static struct line line;
  add(&line, "<2>slipway: cannot start ");
  add(&line, program);
  add(&line, ": ");
  add_failure(&line, what, subject, result, remedy);
  end_with(&line, 127);
}

static const char again[] = "build the initrd again", no_memory[] = "is there too little memory?";

static long map(unsigned long address, unsigned long length, unsigned long protection, long flags, long fd, unsigned long offset) {
  return call6(__NR_mmap, (long)address, (long)length, (long)protection, flags, fd, (long)offset);
}

static int failed(long result) { return result < 0 && result > -4096; }

static int same(const void *one, const void *other, unsigned long length) {
  const unsigned char *left = one, *right = other;
  for (unsigned long at = 0; at < length; at++)
    if (left[at] != right[at]) return 0;
  return 1;
}

/* Puts the pages in their places that the executable with `mark` lacks. */
static void lay_hot_pages(const unsigned char *mark, unsigned long page) {
  long fd = open_file(HOT_FILE, O_RDONLY);
  if (fd < 0) fail("cannot open ", HOT_FILE, fd, again);
  long size = CALL(__NR_lseek, fd, 0, 2 /* SEEK_END */, 0, 0);
  if (size < (long)sizeof(struct hot_header)) fail("not the pages of an executable: ", HOT_FILE, 0, again);
  long file = map(0, (unsigned long)size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
  if (failed(file)) fail("cannot map ", HOT_FILE, file, no_memory);
  close_file(fd);
  const struct hot_header *header = (const struct hot_header *)file;
  if (!same(header->magic, HOT_MAGIC, sizeof header->magic)) fail("not the pages of an executable: ", HOT_FILE, 0, again);
  if (!same(header->digest, mark, MARK_LENGTH)) fail("made of another executable: ", HOT_FILE, 0, again);
  const struct hot_range *range = (const struct hot_range *)(header + 1), *end = range + header->count;
  if ((unsigned long)size != sizeof *header + header->count * sizeof *range + header->packed) fail("cut short: ", HOT_FILE, 0, no_memory);
  if (header->page % page != 0)
    fail("the kernel's pages are larger than those of ", HOT_FILE, 0, "build the initrd with --hot-pages none");
  long unpacked = map(0, header->unpacked, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (failed(unpacked)) fail("cannot unpack ", HOT_FILE, unpacked, no_memory);
  if (unpack_lz4((const unsigned char *)end, header->packed, (unsigned char *)unpacked, header->unpacked) != header->unpacked)
    fail("damaged: ", HOT_FILE, 0, again);
  for (unsigned long at = (unsigned long)unpacked; range < end;) {
    const struct hot_range *next = range;
    unsigned long length = 0;
    for (; next < end && next->protection == range->protection; next++) length += next->length;
    long result = CALL(__NR_mprotect, at, length, range->protection, 0, 0);
    for (; range < next && !failed(result); at += range++->length)
      result = CALL(__NR_mremap, at, range->length, range->length, MREMAP_MAYMOVE | MREMAP_FIXED, range->address);
    if (failed(result)) fail("cannot place pages of ", HOT_FILE, result, no_memory);
  }
  CALL(__NR_munmap, file, size, 0, 0, 0);
}

static unsigned long protection_of(const Elf64_Phdr *segment) {
  return (segment->p_flags & PF_R ? PROT_READ : 0) | (segment->p_flags & PF_W ? PROT_WRITE : 0) |
         (segment->p_flags & PF_X ? PROT_EXEC : 0);
}

static void map_segment(const Elf64_Phdr *segment, unsigned long base, unsigned long page, long fd, const char *path) {
  unsigned long from = (base + segment->p_vaddr) & -page, skew = (base + segment->p_vaddr) - from;
  unsigned long file_end = base + segment->p_vaddr + segment->p_filesz, end = base + segment->p_vaddr + segment->p_memsz;
  unsigned long file_pages = (file_end + page - 1) & -page, pages = (end + page - 1) & -page;
  unsigned long protection = protection_of(segment);
  if (segment->p_filesz > 0) {
    long mapped = map(from, segment->p_filesz + skew, protection, MAP_PRIVATE | MAP_FIXED, fd, segment->p_offset - skew);
    if (failed(mapped)) fail("cannot map ", path, mapped, no_memory);
  }
  if (end <= file_end) return;
  for (char *at = (char *)file_end; at < (char *)file_pages; at++) *at = 0;
  if (pages <= file_pages) return;
  long mapped = map(file_pages, pages - file_pages, protection, MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS, -1, 0);
  if (failed(mapped)) fail("cannot map ", path, mapped, no_memory);
}

/* Maps the dynamic linker as the kernel's load_elf_interp does. Returns its base; `entry` becomes where it begins. */
static unsigned long map_linker(const char *path, unsigned long page, unsigned long *entry) {
  static union {
    Elf64_Ehdr header;
    char bytes[4096];
  } start __attribute__((aligned(16)));
  long fd = open_file(path, O_RDONLY);
  if (fd < 0) fail("cannot open ", path, fd, again);
  long length = CALL(__NR_read, fd, &start, sizeof start, 0, 0);
  if (length < 0) fail("cannot read ", path, length, again);
  const Elf64_Ehdr *header = &start.header;
  if (length < (long)sizeof *header || !same(header->e_ident, ELFMAG, SELFMAG) || header->e_type != ET_DYN ||
      header->e_phentsize != sizeof(Elf64_Phdr) ||
      header->e_phoff + header->e_phnum * sizeof(Elf64_Phdr) > (unsigned long)length)
    fail("not a dynamic linker: ", path, 0, again);
  const Elf64_Phdr *first = (const Elf64_Phdr *)(start.bytes + header->e_phoff), *end = first + header->e_phnum;
  unsigned long span = 0;
  for (const Elf64_Phdr *segment = first; segment < end; segment++)
    if (segment->p_type == PT_LOAD && segment->p_vaddr + segment->p_memsz > span) span = segment->p_vaddr + segment->p_memsz;
  long base = map(0, span, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (failed(base)) fail("cannot map ", path, base, no_memory);
  for (const Elf64_Phdr *segment = first; segment < end; segment++)
    if (segment->p_type == PT_LOAD) map_segment(segment, (unsigned long)base, page, fd, path);
  close_file(fd);
  *entry = (unsigned long)base + header->e_entry;
  return (unsigned long)base;
}

/* Enters the dynamic linker with the stack that the kernel made, and registers as the kernel leaves them. */
static void __attribute__((noreturn)) enter(unsigned long entry, const long *stack) {
#if defined(__x86_64__)
  __asm__ volatile("mov %1, %%rsp\n xor %%edx, %%edx\n xor %%ebp, %%ebp\n jmp *%0" : : "r"(entry), "r"(stack) : "memory", "rdx");
#else
  register unsigned long to __asm__("x16") = entry;
  __asm__ volatile("mov sp, %1\n mov x0, xzr\n mov x29, xzr\n mov x30, xzr\n br %0" : : "r"(to), "r"(stack) : "memory", "x0");
#endif
  __builtin_unreachable();
}

__attribute__((noreturn, used)) void interpreter(long *start) {
  static struct line linker;
  long *at = start + 1 + start[0] + 1; /* behind the arguments and their null */
  unsigned long headers = 0, count = 0, page = 4096, bias = 0, *base = 0, entry;
  while (*at != 0) at++;
  program = "a program";
  for (at++; *at != AT_NULL; at += 2) {
    if (*at == AT_PHDR) headers = (unsigned long)at[1];
    if (*at == AT_PHNUM) count = (unsigned long)at[1];
    if (*at == AT_PAGESZ) page = (unsigned long)at[1];
    if (*at == AT_BASE) base = (unsigned long *)at + 1;
    if (*at == AT_EXECFN) program = (const char *)at[1];
  }
  const Elf64_Phdr *first = (const Elf64_Phdr *)headers, *end = first + count;
  for (const Elf64_Phdr *segment = first; segment < end; segment++)
    if (segment->p_type == PT_PHDR) bias = headers - segment->p_vaddr;
  for (const Elf64_Phdr *segment = first; segment < end; segment++)
    if (segment->p_type == PT_INTERP) add(&linker, (const char *)(bias + segment->p_vaddr));
  if (linker.length == 0) fail("it names no dynamic linker", "", 0, "it cannot be started so");
  add(&linker, ".real");
  const Elf64_Ehdr *header = (const Elf64_Ehdr *)(headers & -page); /* usually in one page with the program headers */
  static const unsigned char unmarked[MARK_LENGTH];
  if ((headers & (page - 1)) == sizeof *header && same(header->e_ident, ELFMAG, SELFMAG) &&
      !same(header->e_ident + MARK, unmarked, MARK_LENGTH))
    lay_hot_pages(header->e_ident + MARK, page);
  *base = map_linker(linker.text, page, &entry);
  enter(entry, start);
}
